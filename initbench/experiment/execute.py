"""Execute a request: plan, train what is missing, plan again where a search goes on, give back what was asked for."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, get_args

from initbench.errors import StorageError, unknown
from initbench.experiment import checkpoints, process
from initbench.experiment.coordinator import Chunk, Coordinator, Failure
from initbench.experiment.plan import Plan, budget, plan
from initbench.experiment.progress import progress, say
from initbench.experiment.requests import keep
from initbench.experiment.sharing import Sharing
from initbench.files import sweep
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
    """What a request asks for and lacks, and what is in its results folder; what is passed over there is told of.

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
    there, told = index.load([request.results])
    for line in told:
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
    sweep(store.leftover_folders([request.results]))
    sharing = Sharing(request.results)
    now, there = planned(request, tell, retry)
    checkpoints.sweep(request.folder, lambda: now.done)
    if not now.todo:
        sharing.sweep()
        keep(request)
        tell(f"nothing to train: all {now.n_distinct} trials have their records in {request.results}")
        return Executed(now, _labelled(now, request, there))
    trained = set[str]()
    with sharing:
        process.start()
        meanwhile()
        # Where a protocol searches, what is to do next follows from what was done.
        while now.todo:
            _train(now, request, sharing, tell, verbose, quiet)
            trained |= {trial.key for trial in now.todo}
            now, there = planned(request, lambda line: None, retry, trained)
            if trained & {trial.key for trial in now.todo}:
                raise StorageError(f"records just written cannot be read back from {request.results}")
    return Executed(now, _labelled(now, request, there))


def _train(now: Plan, request: Request, sharing: Sharing, tell: Say, verbose: bool, quiet: bool) -> None:
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
            _share(coordinator, todo, sharing, tell, advance)


def _share(
    coordinator: Coordinator, chunks: Sequence[Chunk], sharing: Sharing, tell: Say, advance: Callable[[int], None]
) -> None:
    """Train what no other process trains, until all have their records."""
    number = {trial.key: number for number, trial in enumerate(coordinator.todo)}
    steps = {trial: chunk.steps // len(chunk.trials) for chunk in chunks for trial in chunk.trials}

    def elsewhere(keys: Set[str]) -> None:
        advance(sum(steps[number[key]] for key in keys))

    keys = [[coordinator.todo[trial].key for trial in chunk.trials] for chunk in chunks]
    for part in sharing.parts(keys, tell, elsewhere):
        trials = tuple(number[key] for key in part)
        _log.info("%d trials to train", len(trials))
        coordinator.train(Chunk(trials, sum(steps[trial] for trial in trials)), advance)


def _by_reason(refused: Mapping[int, Failure]) -> dict[str, list[int]]:
    reasons: dict[str, list[int]] = {}
    for trial, failure in refused.items():
        reasons.setdefault(failure.reason, []).append(trial)
    return reasons


def _labelled(now: Plan, request: Request, there: Columns) -> Columns:
    """What was asked for, after the records of trials that were asked for in a new way have been told of it."""
    wanted = now.asked()
    found = there.of(wanted)
    missing = found.lacking(wanted)
    if not missing:
        return found
    ways = {cell.asked().text(): cell.asked() for cell, _ in now.by_cell()}
    store.publish(request.folder, [Labels(ways[text], sorted(missing[text])) for text in sorted(missing)])
    return index.load([request.results])[0].of(wanted)
