"""Execute a request: plan, train what is missing, plan again where a search goes on, give back what was asked for."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass

from initbench.errors import StorageError
from initbench.experiment import checkpoints
from initbench.experiment.plan import Plan, budget, plan
from initbench.experiment.progress import progress, say
from initbench.experiment.requests import keep
from initbench.records import columns, index, store
from initbench.records.columns import Columns
from initbench.records.schema import Labels
from initbench.settings.request import Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class Executed:
    """What became of a request.

    Attributes:
        plan: the last one: all trials, none of them to do.
        columns: its trials, each as it was asked for.
    """

    plan: Plan
    columns: Columns


def planned(request: Request, tell: Say = say) -> tuple[Plan, Columns]:
    """What a request asks for and lacks, and what is in its results folder; damaged files are told of.

    Raises:
        InputError: a data set without a known content hash cannot be read.
        StorageError: the results folder cannot be read.
    """
    there, damaged = index.load([request.results], cached=False)
    for line in damaged:
        tell(line)
    return plan(request, columns.done(there)), there


def execute(request: Request, tell: Say = say, verbose: bool = False, quiet: bool = False) -> Executed:
    """Train whatever of a request has no record yet.

    Whoever interrupts it loses the chunk in training; the same request again goes on.

    Args:
        request: what is asked for.
        tell: takes a line for the user.
        verbose: also tell where and how the training is done.
        quiet: show no progress.

    Raises:
        InputError: what is asked for cannot be trained here.
        StorageError: the results folder cannot be read or written.
    """
    now, there = planned(request, tell)
    done = {trial.key for trial in now.trials} - {trial.key for trial in now.todo}
    checkpoints.sweep(request.folder.with_name("checkpoints"), done)
    if not now.todo:
        keep(request)
        tell(f"nothing to train: all {now.n_distinct} trials have their records in {request.results}")
    # Where a protocol searches, what is to do next follows from what was done.
    while now.todo:
        # What a user's model or law prints is no result.
        with redirect_stdout(sys.stderr):
            _train(now, request, tell, verbose, quiet)
        trained = {trial.key for trial in now.todo}
        now, there = planned(request, tell=lambda line: None)
        if trained & {trial.key for trial in now.todo}:
            raise StorageError(f"records just written cannot be read back from {request.results}")
    there = _labelled(now, request, there)
    return Executed(now, there.of(now.asked().keys()))


def _train(now: Plan, request: Request, tell: Say, verbose: bool, quiet: bool) -> None:
    from initbench.experiment import chunks, start, train

    device = train.find_device(request.device)
    for line in start.check(now.todo):
        tell(line)
    todo = chunks.chunks(now.todo, device)
    folder = request.folder
    store.check_writable(folder)
    keep(request)
    for line in budget(now):
        tell(line)
    tell(
        f"{now.n_distinct} trials: {now.n_distinct - len(now.todo)} already done, {len(now.todo)} to train on {device}"
    )
    if verbose:
        for line in train.how(todo, device):
            tell(line)
    with progress(sum(map(chunks.n_steps, todo)), quiet) as advance:
        for _ in train.run(todo, device, folder, advance):
            pass


def _labelled(now: Plan, request: Request, there: Columns) -> Columns:
    """The records, after those of the trials that were asked for in a new way have been told of it."""
    missing = now.asked().keys() - there.pairs()
    if not missing:
        return there
    keys: dict[bytes, list[str]] = {}
    for key, text in sorted(missing):
        keys.setdefault(text, []).append(key)
    cells = {trial.cell.asked().text(): trial.cell.asked() for trial in now.trials}
    store.publish(request.folder, [Labels(cells[text], of) for text, of in keys.items()])
    return index.load([request.results], cached=False)[0]
