"""Train the missing trials, chunk by chunk, and describe what happened in records."""

import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from initbench import __version__, records
from initbench.activations import torch_linearized
from initbench.data import DatasetSpec, Split, load, split, statistics
from initbench.engine.optimizers import Optimizer
from initbench.engine.stack import Data
from initbench.engine.train import SPLITS, History, Schedule, train
from initbench.errors import InputError
from initbench.initializers import LAWS, draw, draw_bias
from initbench.models.mlp import layer_shapes
from initbench.seeding import permutation, stream
from initbench.sweep import Trial
from initbench.trial import Cell, Named

# Parameters of one stack, in bytes. On two cores 10 to 40 networks of 784-128-128-10 (4.7 to 19 MB) train equally fast
# per network, and a small chunk loses little to a kill; on a GPU, not measured yet, a stack should fill the device.
_STACK_BYTES = {"cpu": 5_000_000, "cuda": 500_000_000}
_STACK_TRIALS = 256

Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def chunks(todo: Iterable[Trial], device: str) -> list[list[Trial]]:
    """Trials of one shape, side by side; all initializers of a seed together, since they see the same batches.

    Raises:
        InputError: a data set cannot be read.
    """
    shapes: dict[Cell, list[Trial]] = {}
    for trial in todo:
        shape = replace(trial.cell, init=replace(trial.cell.init, name="", law="", params=(), bias=""), lr=0.0)
        shapes.setdefault(shape, []).append(trial)
    result = []
    for cell, trials in shapes.items():
        trials.sort(key=lambda trial: trial.seed)
        n_params = sum(out * (fan_in + 1) for out, fan_in in _layer_shapes(cell))
        size = stack_size(n_params, device)
        result += [trials[i : i + size] for i in range(0, len(trials), size)]
    return result


def stack_size(n_params: int, device: str) -> int:
    """How many networks of ``n_params`` parameters to train side by side on a ``cpu`` or ``cuda`` device.

    On a CPU at least one for each thread: the engine never uses more threads than it has trials.
    """
    least = torch.get_num_threads() if device == "cpu" else 1
    return max(least, min(_STACK_TRIALS, _STACK_BYTES[device] // (4 * n_params)))


def n_steps(chunk: Sequence[Trial]) -> int:
    """Optimizer steps of a chunk, summed over its trials."""
    cell = chunk[0].cell
    n_train = len(_split(cell.dataset).train)
    return len(chunk) * cell.epochs * -(-n_train // cell.batch_size)


def check(todo: Iterable[Trial]) -> None:
    """Draw every initializer once for its layers, so that one that cannot serve is told before any training.

    Raises:
        InputError: a law refuses a layer's shape, or draws something that is not finite.
    """
    seen = set()
    for trial in todo:
        shapes = tuple(_layer_shapes(trial.cell))
        if (trial.cell.init, shapes) in seen:
            continue
        seen.add((trial.cell.init, shapes))
        _draw(trial)


def find_device(name: str) -> torch.device:
    """The torch device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means here.

    Raises:
        InputError: this machine has no such device.
    """
    n_gpus = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if n_gpus else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        there = f"{n_gpus} CUDA device{'s' if n_gpus > 1 else ''}" if n_gpus else "no CUDA device"
        raise InputError(f"device={name}: torch finds {there} here; use device=cpu or device=auto")
    return device


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
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "initbench": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "processor": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@lru_cache(maxsize=4)
def _split(spec: DatasetSpec) -> Split:
    return split(load(spec), spec)


def _layer_shapes(cell: Cell) -> list[tuple[int, int]]:
    arrays = load(cell.dataset)
    return layer_shapes(arrays.x.shape[1], cell.width, arrays.n_classes)


def _draw(trial: Trial) -> Weights:
    """The initial weight ``[out, in]`` and bias ``[out]`` of every layer, each from a stream of its own."""
    init, layers = trial.cell.init, []
    for number, shape in enumerate(_layer_shapes(trial.cell)):
        try:
            weight = draw(init.law, shape, stream(trial.seed, "init", f"layers.{number}.weight"), **dict(init.params))
        except ValueError as error:
            raise InputError(f"init '{init.name}' on layer {number} of shape {shape}: {error}") from None
        if weight.shape != shape or not np.isfinite(weight).all():
            raise InputError(f"init '{init.name}' on layer {number}: not a finite weight of shape {shape}")
        layers.append((weight, draw_bias(init.bias, shape, stream(trial.seed, "init", f"layers.{number}.bias"))))
    return layers


@lru_cache(maxsize=2)
def _data_on(spec: DatasetSpec, device: torch.device) -> Data:
    arrays, parts = load(spec), _split(spec)
    mean, std = statistics(arrays.x, parts.train, spec.standardize)

    def tensor(array: NDArray[Any]) -> torch.Tensor:
        return torch.tensor(array, device=device)

    return Data(
        x=tensor(arrays.x),
        y=tensor(arrays.y),
        mean=tensor(mean.astype(np.float32)),
        std=tensor(std.astype(np.float32)),
        train=tensor(parts.train),
        val=tensor(parts.val),
        test=tensor(parts.test),
        n_classes=arrays.n_classes,
    )


def _train(chunk: Sequence[Trial], device: torch.device, progress: Callable[[int], None]) -> list[records.Record]:
    """Draw, stack, train, and describe what happened to every trial."""
    cell, data = chunk[0].cell, _data_on(chunk[0].cell.dataset, device)
    layers = [_draw(trial) for trial in chunk]
    weights = [torch.tensor(np.stack([w.T for w, _ in layer]), device=device) for layer in zip(*layers, strict=True)]
    biases = [torch.tensor(np.stack([b for _, b in layer]), device=device) for layer in zip(*layers, strict=True)]
    seeds = list(dict.fromkeys(trial.seed for trial in chunk))
    train_rows = _split(cell.dataset).train

    def orders(epoch: int) -> torch.Tensor:
        rows = [train_rows[permutation(len(train_rows), seed, "order", f"epoch.{epoch}")] for seed in seeds]
        return torch.tensor(np.stack(rows), device=device)

    history = train(
        data,
        weights,
        biases,
        torch_linearized(cell.activation.name, dict(cell.activation.params)),
        orders,
        torch.tensor([seeds.index(trial.seed) for trial in chunk], device=device),
        _optimizer(cell.optimizer, len(chunk), device),
        Schedule(
            lr=torch.tensor([trial.cell.lr for trial in chunk], device=device),
            epochs=cell.epochs,
            batch_size=cell.batch_size,
            name=cell.schedule,
            warmup=cell.warmup,
        ),
        progress,
    )
    return _describe(chunk, layers, history)


def _optimizer(named: Named, n_trials: int, device: torch.device) -> Optimizer:
    hyper = {
        name: torch.full((n_trials,), float(value), device=device)
        for name, value in named.params
        if name != "nesterov" and (name != "weight_decay" or value)
    }
    return Optimizer(named.name, hyper, nesterov=bool(dict(named.params).get("nesterov")))


def _describe(chunk: Sequence[Trial], initial: Sequence[Weights], history: History) -> list[records.Record]:
    """One record per trial: integers where things are counted, null where there is no number."""
    spec = chunk[0].cell.dataset
    parts = _split(spec)
    n_total = {name: len(getattr(parts, name)) for name in SPLITS}
    n_majority = int(np.bincount(load(spec).y[parts.test]).max())
    final_weights = [w.cpu().numpy() for w in history.weights]
    final_biases = [b.cpu().numpy() for b in history.biases]
    curves = {
        name: getattr(history, name).tolist() for name in ("train_loss", "train_correct", "val_loss", "val_correct")
    }
    final_loss = {name: values.tolist() for name, values in history.final_loss.items()}
    final_correct = {name: values.tolist() for name, values in history.final_correct.items()}
    result = []
    for i, (trial, start, at) in enumerate(zip(chunk, initial, history.diverged_at.tolist(), strict=True)):
        ok = at < 0
        end = [(w[i].T, b[i]) for w, b in zip(final_weights, final_biases, strict=True)]
        result.append(
            {
                "key": trial.key,
                "trial": trial.identity,
                "formula": LAWS[trial.cell.init.law].formula,
                "outcome": "ok" if ok else "diverged",
                "diverged_at": None if ok else at,
                "n_total": n_total,
                "n_majority": n_majority,
                "n_correct": {name: values[i] for name, values in final_correct.items()} if ok else None,
                "loss": {name: _number(values[i]) for name, values in final_loss.items()} if ok else None,
                "history": {name: [_number(v) for v in curve[i]] for name, curve in curves.items()},
                "weights": {"initial": _hash(start), "final": _hash(end) if ok else None},
            }
        )
    return result


def _number(value: float) -> float | int | None:
    """A count of -1 and a loss that is not finite stand for "not measured", which JSON calls null."""
    return None if value == -1 or not np.isfinite(value) else value


def _hash(layers: Weights) -> str:
    """16 hex digits of the parameters' bytes: the cheapest check of reproducibility there is."""
    digest = hashlib.sha256()
    for weight, bias in layers:
        digest.update(np.ascontiguousarray(weight).data)
        digest.update(np.ascontiguousarray(bias).data)
    return digest.hexdigest()[:16]
