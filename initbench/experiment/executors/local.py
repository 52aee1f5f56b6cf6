"""Processes on this machine that train side by side; by default one, with a network per processor."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from initbench.errors import InputError
from initbench.experiment import process
from initbench.experiment.coordinator import Chunk, Coordinator, Failure, NoPlace, Stopping, Workers
from initbench.experiment.executors import Sweep
from initbench.experiment.plan import budget
from initbench.experiment.progress import progress
from initbench.experiment.requests import keep
from initbench.experiment.sharing import Sharing
from initbench.experiment.standing import Standing
from initbench.processors import processors
from initbench.records import TrialRecord, store

_log = logging.getLogger(__name__)

# Of networks that take turns: eight seconds or more, where to start a process takes two.
_STEPS = 40_000


def train(sweep: Sweep) -> None:
    """As :func:`initbench.experiment.executors.train` has it."""
    if sweep.detach:
        raise InputError("--detach is for an executor that goes on without this command: executor=slurm")
    number = dict(sweep.request.executor.params)["processes"]
    with sweep.sharing:
        process.start(number or 1)
        sweep.meanwhile()
        train_in(process, number, max(1, processors() // number) if number and number > 1 else None, sweep)


def train_in(workers: Workers, number: int | None, threads: int | None, sweep: Sweep) -> None:
    """Have it trained by some workers at a time; the sharing is entered.

    Args:
        workers: where they come from.
        number: of workers; None: one process here, or one for each processor where networks would take turns.
        threads: of each; None: all that it finds.
        sweep: what is to do.
    """
    now, request, tell = sweep.now, sweep.request, sweep.tell
    with Coordinator(request, now.todo, tell, workers, threads) as coordinator:
        coordinator.check(number - 1 if number and workers is process else 0)
        refused = coordinator.refused
        if len(refused) == len(now.todo) == now.n_distinct:
            # Of such a request there would be nothing but failures.
            raise next(iter(refused.values())).error()
        todo, how = coordinator.chunks(sweep.verbose, number or 1)
        if number is None:
            number = _side_by_side(coordinator, todo)
            if number > 1:
                coordinator.limit(1)
                process.start(number)
                todo, how = coordinator.chunks(sweep.verbose, number)
                how = [*how, f"{number} processes, as these networks take turns in one (executor.processes=1: one)"]
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
        standing = Standing(now.todo)
        with progress(sum(chunk.steps for chunk in todo), sweep.quiet, more=standing.text) as advance:
            _share(coordinator, todo, number, sweep, advance, standing)


def _side_by_side(coordinator: Coordinator, chunks: Sequence[Chunk]) -> int:
    """How many processes are worth their start."""
    worth = coordinator.turns and sum(chunk.steps for chunk in chunks) >= _STEPS
    return min(processors(), sum(len(chunk.trials) for chunk in chunks)) if worth else 1


def _share(
    coordinator: Coordinator,
    chunks: Sequence[Chunk],
    number: int,
    sweep: Sweep,
    advance: Callable[[int], None],
    standing: Standing,
) -> None:
    """Train what no other process trains, until all have their records."""
    of = {trial.key: number for number, trial in enumerate(coordinator.todo)}
    steps = {trial: chunk.steps // len(chunk.trials) for chunk in chunks for trial in chunk.trials}
    keys = [[coordinator.todo[trial].key for trial in chunk.trials] for chunk in chunks]
    # Of which it is known whose steps they are.
    counted, counting = set[str](), threading.Lock()

    def made(n_steps: int) -> None:
        with counting:
            advance(n_steps)

    def elsewhere(others: Set[str]) -> None:
        if coordinator.stopping:
            raise Stopping
        with counting:
            fresh = others - counted
            counted.update(fresh)
            advance(sum(steps[of[key]] for key in fresh))

    def ended(records: Mapping[str, TrialRecord]) -> None:
        with counting:
            standing.add(records)

    working = number

    def work(sharing: Sharing) -> None:
        nonlocal working
        try:
            train_parts(sharing)
        except NoPlace:
            with counting:
                working -= 1
                if not working:
                    raise
            # For those that have one.
            sharing.release()

    def train_parts(sharing: Sharing) -> None:
        for part in sharing.parts(keys, sweep.tell, elsewhere, ended):
            with counting:
                counted.update(part)
            trials = tuple(of[key] for key in part)
            _log.info("%d trials to train", len(trials))
            coordinator.train(Chunk(trials, sum(steps[trial] for trial in trials)), made, str(sharing.claim.absolute()))

    def work_beside() -> None:
        with sweep.sharing.beside() as sharing:
            work(sharing)

    if number == 1:
        work(sweep.sharing)
        return
    with ThreadPoolExecutor(number) as pool:
        try:
            lanes = [pool.submit(work, sweep.sharing), *(pool.submit(work_beside) for _ in range(number - 1))]
            for future in wait(lanes, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            coordinator.stop()
            raise


def _by_reason(refused: Mapping[int, Failure]) -> dict[str, list[int]]:
    reasons: dict[str, list[int]] = {}
    for trial, failure in refused.items():
        reasons.setdefault(failure.reason, []).append(trial)
    return reasons
