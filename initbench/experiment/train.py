"""Train a chunk of trials: draw, train, describe."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from initbench.data import Samples, samples
from initbench.engine.checkpoints import Checkpoints
from initbench.engine.choose import choose
from initbench.engine.compiled.blas import chosen, reason
from initbench.engine.job import Job, Networks, Orders, Schedule
from initbench.errors import InputError
from initbench.experiment.describe import computed_by, described, failed
from initbench.experiment.plan import Trial
from initbench.experiment.start import Start, architecture_of, starts
from initbench.models import modules
from initbench.processors import processors
from initbench.records.schema import TrialRecord
from initbench.seeding import permutation, stream
from initbench.trial import RECIPE

_log = logging.getLogger(__name__)


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


def how(todo: Sequence[Sequence[Trial]], device: torch.device, blas: str = "auto") -> list[str]:
    """Where and how these chunks will be trained, for people."""
    sizes = sorted({len(chunk) for chunk in todo})
    lines = [f"{len(todo)} chunk{'s' * (len(todo) > 1)} of {' or '.join(map(str, sizes))} trials"]
    if device.type == "cpu":
        product = f"products by {chosen(blas).name} ({reason(blas)})"
        lines.append(f"{processors()} threads, a network each; {product}")
        cells = [chunk[0].cell for chunk in todo]
        reasons = [choose(architecture_of(cell), cell.optimizer.name, device).why for cell in cells]
        lines += [f"trained by torch: {why}" for why in dict.fromkeys(reasons) if why]
    return lines


def now() -> str:
    """The date and time that records have."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def train(
    chunk: Sequence[Trial],
    device: torch.device,
    progress: Callable[[int], None],
    kept: Callable[[Sequence[str], Mapping[str, Any]], Checkpoints],
    blas: str = "auto",
) -> list[TrialRecord]:
    """Draw, train, and describe what happened to every trial; one whose initializer fails costs no other anything.

    Args:
        chunk: from :func:`initbench.experiment.chunks.chunks`.
        device: where to train.
        progress: called now and then with how many steps were made, summed over the trials that made them.
        kept: the checkpoints of some trials, by their keys and by what computes their numbers.
        blas: whose matrix product to train with on a CPU, see :func:`initbench.engine.compiled.blas.chosen`.

    Raises:
        BaseException: what a user's module or law raises in training, which may be anything.
    """
    initial, could_not, drawn = [], [], []

    def of_initializers(keys: Sequence[str]) -> Checkpoints:
        # Wherever networks are trained, initializers work on a CPU.
        computed = computed_by(torch.device("cpu"), blas, "compiled")
        return kept(keys, {"recipe": RECIPE, "engine": "initializers", **computed})

    for trial, start in zip(chunk, starts(chunk, progress, blas, of_initializers), strict=True):
        if isinstance(start, InputError):
            _log.info("trial %s cannot start", trial.key, exc_info=start)
            could_not.append(failed(trial, str(start)))
        else:
            initial.append(start)
            drawn.append(trial)
    return [*(_train_from(initial, drawn, device, progress, kept, blas) if drawn else ()), *could_not]


def _train_from(
    initial: Sequence[Start],
    chunk: Sequence[Trial],
    device: torch.device,
    progress: Callable[[int], None],
    kept: Callable[[Sequence[str], Mapping[str, Any]], Checkpoints],
    blas: str,
) -> list[TrialRecord]:
    cell, n_trials = chunk[0].cell, len(chunk)
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
    data = [samples(cell.dataset, seed) for seed in seeds]
    orders = Orders(np.array([seeds.index(trial.seed) for trial in chunk]), _order(data, seeds))
    hyper = {name: np.full(n_trials, value) for name, value in cell.optimizer.params}
    architecture = architecture_of(cell)
    draws = partial(_draws, chunk) if modules.draws(architecture) else None
    job = Job(data, networks, cell.optimizer.name, hyper, schedule, orders, blas, draws)
    engine = choose(architecture, job.optimizer, device)
    more = f"products by {chosen(blas).name}" if engine.name == "compiled" else engine.why
    _log.info(
        "%d networks of %s on %s, engine: %s%s", n_trials, architecture.model, device, engine.name, more and f", {more}"
    )
    computed = {"recipe": RECIPE, "engine": engine.name, **computed_by(device, blas, engine.name)}
    history = engine.train(job, progress, kept([trial.key for trial in chunk], computed))
    return described(chunk, initial, history)


def _draws(chunk: Sequence[Trial], trial: int, step: int) -> np.random.Generator:
    return stream(chunk[trial].seed, "dropout", f"step.{step}")


def _order(data: Sequence[Samples], seeds: Sequence[int]) -> Callable[[int, int], Any]:
    # All initializers of a seed follow one order, at about the same time.
    @lru_cache(maxsize=64)
    def rows(order: int, epoch: int) -> Any:
        train = data[order].train
        return train[permutation(len(train), seeds[order], "order", f"epoch.{epoch}")]

    return rows
