"""Which engine trains a network: the compiled one where it can, torch everywhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from initbench.engine import compiled, stacked
from initbench.engine.checkpoints import Checkpoints
from initbench.engine.job import History, Job, Progress
from initbench.engine.stacked.module import StackedModule
from initbench.engine.stacked.perceptrons import MLP
from initbench.engine.stacked.single import SingleModule
from initbench.models import Architecture, modules


@dataclass(frozen=True)
class Engine:
    """A way to train the networks of one architecture.

    Attributes:
        name: ``compiled`` or ``torch``.
        why: what the compiled engine lacks, where torch trains on a CPU; empty elsewhere.
        flops_per_second: what one thread makes of a network of middling size, roughly.
        train: the engine, from a job, whom to tell of its progress, and where unfinished networks are kept.
    """

    name: str
    why: str
    flops_per_second: float
    train: Callable[[Job, Progress, Checkpoints], History]


def choose(architecture: Architecture, optimizer: str, device: torch.device) -> Engine:
    """The engine for networks of an architecture.

    Args:
        architecture: what they compute.
        optimizer: a name of :data:`initbench.engine.optimizers.OPTIMIZERS`.
        device: where they shall be trained.
    """
    if device.type != "cpu" and (architecture.model == "lstm" or modules.draws(architecture)):
        # What a network draws is its own, and a stack would share it; cuDNN's LSTM has no stack.
        return Engine("torch", "", 1e12, partial(_each, architecture, device, 1))
    if device.type != "cpu":
        return Engine("torch", "", 1e13, partial(_stack, architecture, device))
    lack = compiled.lack(architecture, optimizer)
    if lack is None:
        return Engine("compiled", "", 1e11, partial(compiled.train, images=_images(architecture)))
    return Engine("torch", lack, 2e10, partial(_each, architecture, device, None))


def _images(architecture: Architecture) -> compiled.Images | None:
    if architecture.is_plain:
        return None
    channels, height, width = architecture.sample_shape
    return compiled.Images(channels, height, width, dict(architecture.settings)["stride"])


def _stack(
    architecture: Architecture, device: torch.device, job: Job, progress: Progress, checkpoints: Checkpoints
) -> History:
    return stacked.train(job, _build(architecture, StackedModule), progress, checkpoints, device)


def _each(
    architecture: Architecture,
    device: torch.device,
    threads: int | None,
    job: Job,
    progress: Progress,
    checkpoints: Checkpoints,
) -> History:
    kind = SingleModule if device.type == "cpu" else StackedModule
    return stacked.train_each(job, _build(architecture, kind), progress, checkpoints, threads, device)


def _build(architecture: Architecture, kind: type[StackedModule] | type[SingleModule]) -> stacked.Build:
    if architecture.is_plain:
        return partial(MLP, activation=architecture.activation, activation_params=dict(architecture.activation_params))
    module = modules.template(architecture)
    return lambda params: kind(module, params, architecture.sample_shape)
