"""Run laws of whole networks side by side, a network per processor; each result depends on its own task only."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from initbench.data_dependent.catalogue import DATA_LAWS
from initbench.data_dependent.problem import Prepared, Problem

_SECONDS_BETWEEN_PROGRESS = 0.05


@dataclass(frozen=True, eq=False)
class Task:
    """A law of :data:`DATA_LAWS` with its parameters, and the network it shall prepare."""

    law: str
    params: Mapping[str, Any]
    problem: Problem


def prepare(
    tasks: Sequence[Task], progress: Callable[[int], None] = lambda n_steps: None, threads: int | None = None
) -> list[Prepared | ValueError]:
    """What each law made of its network, with the seconds it took, or why it could not.

    Args:
        tasks: of inputs of one type.
        progress: called from the calling thread with numbers of optimizer steps.
        threads: how many networks to work on at once; all processors if None.
    """
    from initbench.engine import compiled
    from initbench.engine.compiled import blas

    steps, stop = np.zeros((len(tasks), 1), np.int64), np.zeros(1, np.int64)
    with blas.single_threaded(), _torch_alone():
        for task in {task.law: task for task in tasks}.values():
            _warm_up(task)
        with ThreadPoolExecutor(min(threads or compiled.n_threads(), len(tasks))) as pool:
            futures: list[Future[Prepared | ValueError]] = [
                pool.submit(_timed, replace(task, problem=replace(task.problem, steps=made, stop=stop)))
                for task, made in zip(tasks, steps, strict=True)
            ]
            told, pending = 0, set(futures)
            try:
                while pending:
                    _, pending = wait(pending, _SECONDS_BETWEEN_PROGRESS)
                    total = int(steps.sum())
                    progress(total - told)
                    told = total
            except BaseException:
                stop[0] = 1
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [future.result() for future in futures]


def _timed(task: Task) -> Prepared | ValueError:
    started = time.perf_counter()
    try:
        result = _run(task)
    except ValueError as error:
        return error
    return replace(result, seconds=time.perf_counter() - started)


def _run(task: Task, **changed: Any) -> Prepared:
    result = DATA_LAWS[task.law].function(task.problem, **{**task.params, **changed})
    for name, values in result.params.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite")
    return result


def _warm_up(task: Task) -> None:
    """Load, and where it is new compile, what a law calls, so that no task's seconds include that."""
    few = replace(task.problem.inputs, x=task.problem.inputs.x[:8])
    with suppress(ValueError):
        _run(replace(task, problem=replace(task.problem, inputs=few)), **DATA_LAWS[task.law].shortest)


@contextmanager
def _torch_alone() -> Iterator[None]:
    """Threads that start meanwhile run torch's operations by themselves: sums do not depend on the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
