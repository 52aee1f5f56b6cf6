"""Chunks: trials of one shape that are trained, and written to disk, together."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from initbench.data import samples
from initbench.engine.choose import choose
from initbench.experiment import start
from initbench.experiment.plan import Trial
from initbench.models import modules
from initbench.processors import processors
from initbench.trial import Cell, Init, Named

# A chunk on a CPU is about this much work of its threads: what a kill may cost.
_CHUNK_SECONDS = 10.0
# The part of a GPU's free memory that one stack may fill, and the most trials of a chunk anywhere.
_MEMORY_SHARE = 0.6
_CHUNK_TRIALS = 1024
# With fewer chunks for each of several workers, the last ones to come decide when all is done: they are made equal.
_CHUNKS_OF_WORKER = 4


def chunks(todo: Iterable[Trial], device: torch.device, workers: int = 1) -> list[list[Trial]]:
    """Trials of one shape, side by side; all initializers of a seed together, since they see the same batches.

    Args:
        todo: the trials.
        device: where they are trained.
        workers: how many train chunks at a time; each gets as much, where there are few chunks.

    Raises:
        InputError: a data set cannot be read.
    """
    shapes: dict[Cell, list[Trial]] = {}
    for trial in todo:
        drawn = replace(trial.cell, init=Init("", ""), init_first=None, init_output=None, bias=Named(""))
        shape = replace(drawn, lr=0.0, protocol=Named(""), stage="", chosen=(), settings=())
        shapes.setdefault(shape, []).append(trial)
    result: list[list[list[Trial]]] = []
    # No thread is without work.
    least = processors() if device.type == "cpu" else 1
    for cell, trials in shapes.items():
        trials.sort(key=lambda trial: trial.seed)
        size, work = chunk_size(cell, device), 0.0
        made: list[list[Trial]] = []
        chunk: list[Trial] = []
        for trial in trials:
            # An initializer that trains makes a trial longer; in a stack on a GPU it makes it no larger.
            longer = start.n_steps(trial.cell) / _steps(cell) if device.type == "cpu" else 0.0
            if len(chunk) >= least and work + 1 + longer > size:
                made.append(chunk)
                chunk, work = [], 0.0
            chunk.append(trial)
            work += 1 + longer
        result.append([*made, chunk])
    if workers > 1 and sum(map(len, result)) < _CHUNKS_OF_WORKER * workers:
        result = [_equal(made, workers, least) for made in result]
    return [chunk for made in result for chunk in made]


def _equal(made: list[list[Trial]], workers: int, least: int) -> list[list[Trial]]:
    """The chunks of one shape as equal ones, as many for each worker, if there is enough for that."""
    trials = [trial for chunk in made for trial in chunk]
    number = -(-len(made) // workers) * workers
    if len(trials) < number * least:
        return made
    return [trials[len(trials) * i // number : len(trials) * (i + 1) // number] for i in range(number)]


def chunk_size(cell: Cell, device: torch.device) -> int:
    """How many trials of a cell to train, and write to disk, together, if drawing them takes no time.

    On a CPU each thread trains one network at a time, and a chunk is some seconds of that. On a GPU a chunk is one
    stack, as large as the memory allows.
    """
    n_weights = sum(math.prod(shape) for shape in start.shapes(cell).values())
    architecture = start.architecture_of(cell)
    flops, n_outputs = modules.cost(architecture)
    if device.type == "cpu":
        # The backward pass is twice the forward pass.
        flops *= 3 * len(samples(cell.dataset).train) * cell.epochs
        rate = choose(architecture, cell.optimizer.name, device).flops_per_second
        each = max(1, round(_CHUNK_SECONDS * rate / flops))
        return min(_CHUNK_TRIALS, each * processors())
    # Parameters with the most state an optimizer keeps, and inputs, outputs and gradients of a batch.
    numbers = 4 * n_weights + cell.batch_size * (2 * samples(cell.dataset).x.shape[1] + 4 * n_outputs)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(_CHUNK_TRIALS, int(_MEMORY_SHARE * free / (4 * numbers))))


def n_steps(chunk: Sequence[Trial]) -> int:
    """Optimizer steps of a chunk, summed over its trials, and those of their initializers."""
    return sum(_steps(trial.cell) + start.n_steps(trial.cell) for trial in chunk)


def _steps(cell: Cell) -> int:
    return cell.epochs * -(-len(samples(cell.dataset).train) // cell.batch_size)
