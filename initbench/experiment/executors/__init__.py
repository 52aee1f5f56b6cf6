"""Executors: who has the trials of a plan trained. Each is a file here with one function, ``train(sweep)``.

Those of installed packages are functions too: :mod:`initbench.settings.executors`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, get_args

from initbench.experiment.plan import Plan
from initbench.experiment.sharing import Sharing
from initbench.settings.executors import EXECUTORS, function_of
from initbench.settings.request import Request

Say = Callable[[str], None]
# What may be trained again.
Retry = Literal["failed"]
RETRY = get_args(Retry)


@dataclass(frozen=True)
class Sweep:
    """What an executor is given.

    Attributes:
        now: the plan, of which something is to do. Where a protocol searches, more follows once that is done.
        request: what is asked for; the executor and its settings among it.
        sharing: made before the records were read; not entered.
        tell: takes a line for the user.
        verbose: also tell where and how the training is done.
        quiet: show no progress.
        meanwhile: to be called while something starts that takes a second or two.
        detach: do not wait for what is trained elsewhere.
        retry: what is to be trained again.
    """

    now: Plan
    request: Request
    sharing: Sharing
    tell: Say
    verbose: bool
    quiet: bool
    meanwhile: Callable[[], object]
    detach: bool
    retry: Retry | None


class Detached(Exception):
    """What was asked for is trained elsewhere, and nobody waits for it here."""


def train(sweep: Sweep) -> None:
    """Have what is to do trained by the executor that is asked for; afterwards each of these trials has a record.

    Raises:
        InputError: it cannot be trained there, or not without whoever asks for it.
        Detached: it is trained elsewhere, and not waited for.
        StorageError: the results folder cannot be written.
    """
    asked = sweep.request.executor
    if asked.name in EXECUTORS:
        import_module(f"{__name__}.{asked.name}").train(sweep)
    else:
        function_of(asked.name)(sweep, **dict(asked.params))
