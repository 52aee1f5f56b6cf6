"""Train the missing trials, chunk by chunk, and describe what happened in records."""

import hashlib
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from initbench import __version__, records
from initbench.data import Samples, samples
from initbench.data_driven import DATA_LAWS
from initbench.engine import compiled, stacked
from initbench.engine.compiled import blas
from initbench.engine.job import History, Networks, Orders, Rule, Schedule
from initbench.engine.stacked.mlp import MLP
from initbench.engine.stacked.module import StackedModule
from initbench.engine.stacked.network import Network
from initbench.errors import InputError
from initbench.experiment import start as drawing
from initbench.experiment.plan import Trial
from initbench.experiment.start import Params, Start
from initbench.initializers.plugins import law_of
from initbench.initializers.schemes import BRANCHES
from initbench.models import Architecture, modules
from initbench.seeding import permutation
from initbench.trial import Cell, Init, Named

# A chunk on a CPU is about this much work of its threads: what a kill may cost.
_CHUNK_SECONDS = 10.0
# What one thread makes of a network of middling size, compiled and with torch; only the size of a chunk follows.
_FLOPS_PER_SECOND, _FLOPS_PER_SECOND_WITH_TORCH = 1e11, 2e10
# The part of a GPU's free memory that one stack may fill, and the most trials of a chunk anywhere.
_MEMORY_SHARE = 0.6
_CHUNK_TRIALS = 1024

_SPLITS = ("train", "val", "test")


def chunks(todo: Iterable[Trial], device: torch.device) -> list[list[Trial]]:
    """Trials of one shape, side by side; all initializers of a seed together, since they see the same batches.

    Raises:
        InputError: a data set cannot be read.
    """
    shapes: dict[Cell, list[Trial]] = {}
    for trial in todo:
        shape = replace(
            trial.cell, init=Init("", ""), init_first=None, init_output=None, bias=Named(""), lr=0.0, stage=""
        )
        shapes.setdefault(shape, []).append(trial)
    result = []
    for cell, trials in shapes.items():
        trials.sort(key=lambda trial: trial.seed)
        size, work = chunk_size(cell, device), 0.0
        # No thread is without work.
        least = compiled.n_threads() if device.type == "cpu" else 1
        chunk: list[Trial] = []
        for trial in trials:
            # An initializer that trains makes a trial longer; in a stack on a GPU it makes it no larger.
            longer = drawing.n_steps(trial.cell) / _steps(cell) if device.type == "cpu" else 0.0
            if len(chunk) >= least and work + 1 + longer > size:
                result.append(chunk)
                chunk, work = [], 0.0
            chunk.append(trial)
            work += 1 + longer
        result.append(chunk)
    return result


def chunk_size(cell: Cell, device: torch.device) -> int:
    """How many trials of a cell to train, and write to disk, together, if drawing them takes no time.

    On a CPU each thread trains one network at a time, and a chunk is some seconds of that. On a GPU a chunk is one
    stack, as large as the memory allows.
    """
    n_weights = sum(math.prod(shape) for shape in drawing.shapes(cell).values())
    of = drawing.architecture(cell)
    flops, n_outputs = (2 * n_weights, sum(cell.width)) if of.is_plain else modules.cost(of)
    if device.type == "cpu":
        # The backward pass is twice the forward pass.
        flops *= 3 * len(samples(cell.dataset).train) * cell.epochs
        rate = _FLOPS_PER_SECOND if of.is_plain else _FLOPS_PER_SECOND_WITH_TORCH
        each = max(1, round(_CHUNK_SECONDS * rate / flops))
        return min(_CHUNK_TRIALS, each * compiled.n_threads())
    # Parameters with the most state an optimizer keeps, and inputs, outputs and gradients of a batch.
    numbers = 4 * n_weights + cell.batch_size * (2 * samples(cell.dataset).x.shape[1] + 4 * n_outputs)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(_CHUNK_TRIALS, int(_MEMORY_SHARE * free / (4 * numbers))))


def n_steps(chunk: Sequence[Trial]) -> int:
    """Optimizer steps of a chunk, summed over its trials, and those of their initializers."""
    return sum(_steps(trial.cell) + drawing.n_steps(trial.cell) for trial in chunk)


def _steps(cell: Cell) -> int:
    return cell.epochs * -(-len(samples(cell.dataset).train) // cell.batch_size)


def find_device(name: str) -> torch.device:
    """The torch device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means here.

    Raises:
        InputError: this machine has no such device.
    """
    n_gpus = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if n_gpus else "cpu"
    if name not in ("cpu", *["cuda"][:n_gpus], *(f"cuda:{index}" for index in range(n_gpus))):
        there = f"{n_gpus} CUDA device{'s' if n_gpus > 1 else ''}" if n_gpus else "no CUDA device"
        raise InputError(f"device={name}: torch finds {there} here; use device=cpu or device=auto")
    return torch.device(name)


def how(todo: Sequence[Sequence[Trial]], device: torch.device) -> list[str]:
    """Where and how these chunks will be trained, for people."""
    sizes = sorted({len(chunk) for chunk in todo})
    lines = [f"{len(todo)} chunk{'s' * (len(todo) > 1)} of {' or '.join(map(str, sizes))} trials"]
    if device.type == "cpu":
        rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in blas.rates().items())
        lines.append(f"{compiled.n_threads()} threads, a network each; products by {blas.chosen().name} ({rates})")
    return lines


def run(
    todo: Sequence[list[Trial]], device: torch.device, folder: Path, progress: Callable[[int], None]
) -> Iterator[Path]:
    """Train chunk after chunk; each is on disk before it is yielded.

    Args:
        todo: chunks, from :func:`chunks`.
        device: where to train.
        folder: the records folder.
        progress: called after every step with the number of trials that made it.

    Raises:
        StorageError: a finished chunk cannot be written.
    """
    for chunk in todo:
        started = _now()
        result = _train(chunk, device, progress)
        header = {"started": started, "finished": _now(), "environment": environment(device)}
        yield records.publish(folder, header, result)


def environment(device: torch.device) -> dict[str, Any]:
    """Where the numbers were made: recorded beside them, part of no key."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else blas.processor()
    return {
        "initbench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "processor": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        **({"threads": compiled.n_threads(), "blas": blas.chosen().name} if device.type == "cpu" else {}),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _train(chunk: Sequence[Trial], device: torch.device, progress: Callable[[int], None]) -> list[records.Record]:
    """Draw, train, and describe what happened to every trial; one whose initializer fails costs no other anything."""
    initial, failed, drawn = [], [], []
    for trial, start in zip(chunk, drawing.starts(chunk, progress), strict=True):
        if isinstance(start, InputError):
            failed.append(_failure(trial, str(start)))
        else:
            initial.append(start)
            drawn.append(trial)
    return [*(_train_from(initial, drawn, device, progress) if drawn else ()), *failed]


def _train_from(
    initial: Sequence[Start], chunk: Sequence[Trial], device: torch.device, progress: Callable[[int], None]
) -> list[records.Record]:
    cell, n_trials = chunk[0].cell, len(chunk)
    data = samples(cell.dataset)
    networks = Networks(
        # A law may give a transposed view, and a stack of those alone would be one too.
        {name: np.ascontiguousarray(np.stack([start.params[name] for start in initial])) for name in initial[0].params},
        cell.activation.name,
        dict(cell.activation.params),
    )
    schedule = Schedule(
        lr=np.array([trial.cell.lr for trial in chunk]),
        epochs=np.full(n_trials, cell.epochs),
        batch_size=cell.batch_size,
        name=cell.schedule,
        warmup=cell.warmup,
    )
    seeds = list(dict.fromkeys(trial.seed for trial in chunk))
    orders = Orders(np.array([seeds.index(trial.seed) for trial in chunk]), _order(data, seeds))
    rule = _rule(cell.optimizer, n_trials)
    of = drawing.architecture(cell)
    if device.type != "cpu":
        history = stacked.train(data, networks, _build(of), rule, schedule, orders, progress, device)
    elif of.is_plain:
        history = compiled.train(data, networks, rule, schedule, orders, progress)
    else:
        history = stacked.train_each(data, networks, _build(of), rule, schedule, orders, progress)
    return _describe(chunk, initial, history)


def _order(data: Samples, seeds: Sequence[int]) -> Callable[[int, int], Any]:
    # All initializers of a seed follow one order, at about the same time.
    @lru_cache(maxsize=64)
    def rows(order: int, epoch: int) -> Any:
        return data.train[permutation(len(data.train), seeds[order], "order", f"epoch.{epoch}")]

    return rows


def _build(of: Architecture) -> Callable[[Mapping[str, torch.Tensor]], Network]:
    if of.is_plain:
        return lambda params: MLP(params, of.activation, dict(of.activation_params))
    module = modules.template(of)
    return lambda params: StackedModule(module, params, of.sample_shape)


def _rule(named: Named, n_trials: int) -> Rule:
    hyper = {
        name: np.full(n_trials, float(value))
        for name, value in named.params
        if name != "nesterov" and (name != "weight_decay" or value)
    }
    return Rule(named.name, hyper, nesterov=bool(dict(named.params).get("nesterov")))


def _failure(trial: Trial, error: str) -> records.Record:
    """The record of a trial that could not start."""
    return {
        **_about(trial),
        "outcome": "failed",
        "error": error,
        "diverged_at": None,
        "n_correct": None,
        "loss": None,
        "history": {name: [] for name in ("train_loss", "train_correct", "val_loss", "val_correct")},
        "weights": {"initial": None, "final": None},
    }


def _about(trial: Trial) -> records.Record:
    """What is known of a trial before it starts."""
    data = samples(trial.cell.dataset)
    return {
        "key": trial.key,
        "trial": trial.identity,
        "formula": _formula(trial.cell.init),
        "n_total": {name: len(getattr(data, name)) for name in _SPLITS},
        "n_majority": data.n_majority,
    }


def _describe(chunk: Sequence[Trial], initial: Sequence[Start], history: History) -> list[records.Record]:
    """One record per trial: integers where things are counted, null where there is no number.

    ``n_correct`` and ``loss`` are those of the final weights; on the training samples, as these were seen during the
    last epoch.
    """
    last = chunk[0].cell.epochs
    curves = {
        name: getattr(history, name).tolist() for name in ("train_loss", "train_correct", "val_loss", "val_correct")
    }
    n_correct = [history.train_correct[:, last - 1], history.val_correct[:, last], history.test_correct]
    loss = [history.train_loss[:, last - 1], history.val_loss[:, last], history.test_loss]
    result = []
    for i, (trial, start, at) in enumerate(zip(chunk, initial, history.diverged_at.tolist(), strict=True)):
        ok = at < 0
        end = {name: values[i] for name, values in history.params.items()}
        result.append(
            {
                **_about(trial),
                "outcome": "ok" if ok else "diverged",
                "diverged_at": None if ok else at,
                "n_correct": dict(zip(_SPLITS, (int(v[i]) for v in n_correct), strict=True)) if ok else None,
                "loss": dict(zip(_SPLITS, (_number(float(v[i])) for v in loss), strict=True)) if ok else None,
                "history": {name: [_number(v) for v in curve[i]] for name, curve in curves.items()},
                "weights": {"initial": _hash(start.params), "final": _hash(end) if ok else None},
                "certificate": drawing.certificate(trial.cell, start.params),
                **({} if start.cost is None else {"init_cost": start.cost}),
            }
        )
    return result


def _formula(init: Init) -> str:
    formula = (DATA_LAWS.get(init.law) or law_of(init.law, init.code, init.file)).formula
    return f"{formula}; {BRANCHES[init.branches].formula}" if init.branches else formula


def _number(value: float) -> float | int | None:
    """A count of -1 and a loss that is not finite stand for "not measured", which JSON calls null."""
    return None if value == -1 or not np.isfinite(value) else value


def _hash(params: Params) -> str:
    """16 hex digits of the parameters' bytes: the cheapest check of reproducibility there is."""
    digest = hashlib.sha256()
    for values in params.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]
