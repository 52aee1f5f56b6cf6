"""Run laws of whole networks side by side, a network per processor; each result depends on its own task only."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from initbench.data_driven.data_laws import DATA_LAWS
from initbench.data_driven.problem import Kept, Prepared, Problem
from initbench.engine.checkpoints import NONE, Checkpoints


@dataclass(frozen=True, eq=False)
class Task:
    """A law of :data:`DATA_LAWS` with its parameters, and the network it shall prepare."""

    law: str
    params: Mapping[str, Any]
    problem: Problem


def prepare(
    tasks: Sequence[Task],
    progress: Callable[[int], None] = lambda n_steps: None,
    threads: int | None = None,
    checkpoints: Checkpoints = NONE,
) -> list[Prepared | ValueError]:
    """What each law made of its network, with the seconds it took, or why it could not.

    Args:
        tasks: of inputs of one type.
        progress: called from the calling thread with numbers of optimizer steps.
        threads: how many networks to work on at once; all processors if None.
        checkpoints: asked and told from the threads that work; the tasks are numbered as they are given.
    """
    from initbench.engine.compiled import blas
    from initbench.engine.threads import each

    steps, stop = np.zeros(len(tasks), np.int64), np.zeros(1, np.int64)
    results: dict[int, Prepared | ValueError] = {}

    def prepare_one(number: int) -> None:
        task, kept = tasks[number], Kept(checkpoints, number)
        problem = replace(task.problem, steps=steps[number : number + 1], stop=stop, kept=kept)
        results[number] = _timed(replace(task, problem=problem))

    with blas.single_threaded():
        for task in {task.law: task for task in tasks}.values():
            _warm_up(task)
        each(prepare_one, steps, stop, progress, threads)
    return [results[number] for number in range(len(tasks))]


def _timed(task: Task) -> Prepared | ValueError:
    try:
        result = _run(task)
    except ValueError as error:
        return error
    return replace(result, seconds=task.problem.kept.seconds)


def _run(task: Task, **changed: Any) -> Prepared:
    result = DATA_LAWS[task.law].function(task.problem, **{**task.params, **changed})
    for name, values in result.params.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite")
    return result


def _warm_up(task: Task) -> None:
    """Load, and where it is new compile, what a law calls, so that no task's seconds include that."""
    few = replace(task.problem.inputs, source=task.problem.inputs.x[:8], rows=None)
    with suppress(ValueError):
        _run(replace(task, problem=replace(task.problem, inputs=few)), **DATA_LAWS[task.law].shortest)
