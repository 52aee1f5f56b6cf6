"""From a request to a plan: which trials are asked for, and which of them no record has yet. Needs no torch."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from initbench.data import load
from initbench.request import Request
from initbench.trial import Cell, trial_key


@dataclass(frozen=True)
class Trial:
    """One network to train: its cell, its seed, its identity and key."""

    cell: Cell
    seed: int
    identity: dict[str, Any]
    key: str


@dataclass(frozen=True)
class Plan:
    """All trials of a request, and those of them that no record has yet."""

    trials: tuple[Trial, ...]
    todo: tuple[Trial, ...]


def plan(request: Request, done: Collection[str]) -> Plan:
    """What a request asks for and what of it is missing from the keys that are ``done``.

    Raises:
        InputError: a data set without a known content hash cannot be read.
    """
    trials = []
    for cell in request.cells:
        sha256 = cell.dataset.sha256 or load(cell.dataset).sha256
        for seed in request.seeds:
            identity = cell.identity(seed, sha256)
            trials.append(Trial(cell, seed, identity, trial_key(identity)))
    return Plan(tuple(trials), tuple(trial for trial in trials if trial.key not in done))
