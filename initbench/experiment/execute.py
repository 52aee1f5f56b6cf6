"""Execute a request: plan, train what is missing, plan again where a search goes on, give back what was asked for."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from initbench.errors import StorageError, unknown
from initbench.experiment import checkpoints
from initbench.experiment.executors import RETRY, Sweep, train
from initbench.experiment.executors import Retry as Retry
from initbench.experiment.executors import Say as Say
from initbench.experiment.plan import Plan, plan
from initbench.experiment.progress import say
from initbench.experiment.requests import keep
from initbench.experiment.sharing import Sharing
from initbench.files import sweep
from initbench.records import columns, index, store
from initbench.records.columns import Columns
from initbench.records.schema import Labels
from initbench.settings.request import Request


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
    detach: bool = False,
    turn: tuple[int, int] = (0, 1),
) -> Executed:
    """Train whatever of a request has no record yet.

    Whoever interrupts it loses the chunk in training; the same request again goes on.

    Args:
        request: what is asked for.
        tell: takes a line for the user.
        verbose: also tell where and how the training is done.
        quiet: show no progress.
        retry: ``failed``: also train again what could not be trained before.
        meanwhile: called while who trains starts, which takes a second or two; not where nothing is to train.
        detach: do not wait for what is trained elsewhere.
        turn: which one this is of how many that begin together, as :class:`Sharing` has it.

    Raises:
        InputError: what is asked for cannot be trained here.
        Detached: it is trained elsewhere, and not waited for.
        StorageError: the results folder cannot be read or written.
    """
    sweep(store.leftover_folders([request.results]))
    sharing = Sharing(request.results, turn=turn)
    now, there = planned(request, tell, retry)
    checkpoints.sweep(request.folder, lambda: now.done)
    if not now.todo:
        sharing.sweep()
        keep(request)
        tell(f"nothing to train: all {now.n_distinct} trials have their records in {request.results}")
        return Executed(now, _labelled(now, request, there))
    trained = set[str]()
    # Where a protocol searches, what is to do next follows from what was done.
    while now.todo:
        train(Sweep(now, request, sharing, tell, verbose, quiet, meanwhile, detach, retry))
        trained |= {trial.key for trial in now.todo}
        now, there = planned(request, lambda line: None, retry, trained)
        if trained & {trial.key for trial in now.todo}:
            raise StorageError(f"records just written cannot be read back from {request.results}")
    return Executed(now, _labelled(now, request, there))


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
