"""Execute a request: plan, train what is missing, plan again where a search goes on, give back what was asked for."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from initbench.errors import StorageError, unknown
from initbench.experiment import process
from initbench.experiment.coordinator import Coordinator, Failure
from initbench.experiment.plan import Plan, budget, plan
from initbench.experiment.progress import progress, say
from initbench.experiment.requests import keep
from initbench.records import columns, index, store
from initbench.records.columns import Columns
from initbench.records.schema import Labels
from initbench.settings.request import Request

_log = logging.getLogger(__name__)

Say = Callable[[str], None]
# What may be trained again.
Retry = Literal["failed"]
RETRY = get_args(Retry)


@dataclass(frozen=True)
class Executed:
    """What became of a request.

    Attributes:
        plan: the last one: all trials, none of them to do.
        columns: its trials, each as it was asked for.
    """

    plan: Plan
    columns: Columns


def planned(
    request: Request, tell: Say = say, retry: Retry | None = None, tried: Collection[str] = ()
) -> tuple[Plan, Columns]:
    """What a request asks for and lacks, and what is in its results folder; damaged files are told of.

    Args:
        request: what is asked for.
        tell: takes a line for the user.
        retry: ``failed``: what could not be trained counts as lacking.
        tried: the keys of trials that are not lacking again.

    Raises:
        InputError: a data set without a known content hash cannot be read, or there is no such ``retry``.
        StorageError: the results folder cannot be read.
    """
    if retry not in (None, *RETRY):
        raise unknown("retry", str(retry), RETRY)
    there, damaged = index.load([request.results], cached=False)
    for line in damaged:
        tell(line)
    known = columns.done(there)
    again = columns.failed(there).difference(tried) if retry else ()
    return plan(request, {key: score for key, score in known.items() if key not in again} if again else known), there


def execute(
    request: Request,
    tell: Say = say,
    verbose: bool = False,
    quiet: bool = False,
    retry: Retry | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Executed:
    """Train whatever of a request has no record yet.

    Whoever interrupts it loses the chunk in training; the same request again goes on.

    Args:
        request: what is asked for.
        tell: takes a line for the user.
        verbose: also tell where and how the training is done.
        quiet: show no progress.
        retry: ``failed``: also train again what could not be trained before.
        meanwhile: called while a worker starts, which takes a second or two; not where nothing is to train.

    Raises:
        InputError: what is asked for cannot be trained here.
        StorageError: the results folder cannot be read or written.
    """
    trained = set[str]()
    now, there = planned(request, tell, retry)
    if not now.todo:
        keep(request)
        tell(f"nothing to train: all {now.n_distinct} trials have their records in {request.results}")
    else:
        process.start()
        meanwhile()
    # Where a protocol searches, what is to do next follows from what was done.
    while now.todo:
        _train(now, request, tell, verbose, quiet)
        trained |= {trial.key for trial in now.todo}
        now, there = planned(request, lambda line: None, retry, trained)
        if trained & {trial.key for trial in now.todo}:
            raise StorageError(f"records just written cannot be read back from {request.results}")
    there = _labelled(now, request, there)
    return Executed(now, there.of(now.asked().keys()))


def _train(now: Plan, request: Request, tell: Say, verbose: bool, quiet: bool) -> None:
    with Coordinator(request, now.todo, tell) as coordinator:
        coordinator.check()
        refused = coordinator.refused
        if len(refused) == len(now.todo) == now.n_distinct:
            # Of such a request there would be nothing but failures.
            raise next(iter(refused.values())).error()
        todo, how = coordinator.chunks(verbose)
        store.check_writable(request.folder)
        keep(request)
        for line in budget(now):
            tell(line)
        n_done, device = now.n_distinct - len(now.todo), coordinator.device
        tell(f"{now.n_distinct} trials: {n_done} already done, {len(now.todo)} to train on {device}")
        for line in how:
            tell(line)
        for reason, trials in _by_reason(refused).items():
            tell(f"{len(trials)} of them cannot be trained: {reason}")
            coordinator.fail(trials, reason)
        with progress(sum(chunk.steps for chunk in todo), quiet) as advance:
            for number, chunk in enumerate(todo, 1):
                _log.info("chunk %d of %d: %d trials", number, len(todo), len(chunk.trials))
                coordinator.train(chunk, advance)


def _by_reason(refused: Mapping[int, Failure]) -> dict[str, list[int]]:
    reasons: dict[str, list[int]] = {}
    for trial, failure in refused.items():
        reasons.setdefault(failure.reason, []).append(trial)
    return reasons


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
