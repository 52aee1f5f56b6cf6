"""Train a stack of networks side by side: tensors and numbers in, histories out; no files, no configuration."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from initbench.engine.optimizers import Optimizer, schedule_factor
from initbench.engine.stack import LANE, Data, stack, unpadded
from initbench.models.mlp import Linearized

SPLITS = ("train", "val", "test")

Orders = Callable[[int], Tensor]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. ``lr`` is ``[trial]``; ``warmup`` is in epochs."""

    lr: Tensor
    epochs: int
    batch_size: int
    name: str = "constant"
    warmup: float = 0.0


@dataclass(frozen=True)
class History:
    """What happened to every trial; losses are means per sample, correct counts are integers.

    Attributes:
        diverged_at: ``[trial]``, the step whose loss was first NaN or infinite, -1 if none; a diverged trial's
            later entries are NaN and -1.
        train_loss: ``[trial, epoch]``, over the batches of the epoch as they were seen; ``train_correct`` likewise.
        val_loss: ``[trial, epoch + 1]``, before training and after each epoch; ``val_correct`` likewise.
        final_loss: split name to ``[trial]``, with the final weights; ``final_correct`` likewise.
        weights: per layer ``[trial, in, out]``, final; ``biases`` ``[trial, out]``.
    """

    diverged_at: Tensor
    train_loss: Tensor
    train_correct: Tensor
    val_loss: Tensor
    val_correct: Tensor
    final_loss: dict[str, Tensor]
    final_correct: dict[str, Tensor]
    weights: list[Tensor]
    biases: list[Tensor]


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Leave torch's number of threads as it was found."""
    found = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(found)


def _use_at_most(n_threads: int) -> None:
    """Lower torch's number of threads to a limit; why there may be no more than trials is told in ``stack``."""
    torch.set_num_threads(min(torch.get_num_threads(), n_threads))


@_threads_restored()
@torch.no_grad()
def train(
    data: Data,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    activation: Linearized,
    orders: Orders,
    order_of: Tensor,
    optimizer: Optimizer,
    schedule: Schedule,
    progress: Progress = lambda n_trials: None,
) -> History:
    """Train every network of a stack on cross-entropy, each by itself.

    Args:
        data: all samples, on the device of the parameters.
        weights: per layer ``[trial, in, out]``; not modified.
        biases: per layer ``[trial, out]``; not modified.
        activation: elementwise, between the layers; from ``activations.torch_linearized``.
        orders: epoch to row numbers ``[order, n_train]``, the order in which the samples are seen.
        order_of: ``[trial]``, which of the orders each trial follows.
        optimizer: a fresh one, with ``[trial]`` hyperparameters.
        schedule: learning rates, epochs and batch size; the last batch of an epoch may be smaller.
        progress: called after each step with the number of trials that made it.

    Returns:
        The histories and final parameters, in the order of the given trials.
    """
    _use_at_most(len(order_of))
    data = data.padded()
    living = stack(weights, biases, activation, data, order_of)
    history = _empty_history(weights, biases, schedule.epochs)
    batch, n_train, lr = schedule.batch_size, len(data.train), schedule.lr
    n_steps = math.ceil(n_train / batch)
    total, warmup = n_steps * schedule.epochs, round(schedule.warmup * n_steps)

    history.val_loss[:, 0], history.val_correct[:, 0] = living.evaluate(data, data.val)
    for epoch in range(schedule.epochs):
        rows = _batches(orders(epoch), batch)
        classes = data.y[rows]
        first = epoch * n_steps
        factors = [schedule_factor(schedule.name, step, total, warmup) for step in range(first, first + n_steps)]
        lrs = lr.view(1, -1, 1, 1) * torch.tensor(factors, dtype=lr.dtype, device=lr.device).view(-1, 1, 1, 1)
        log = torch.empty(n_steps, 2, len(living), dtype=lr.dtype, device=lr.device)
        for i in range(n_steps):
            n_real = min(batch, n_train - i * batch)
            living.step(data, rows[i], classes[i], n_real, optimizer, lrs[i], log[i])
            progress(len(living))
        val_loss, val_correct = living.evaluate(data, data.val)
        bad_at = _first_bad(torch.cat([log[:, 0], val_loss.to(log.dtype).unsqueeze(0)]), first)
        history.diverged_at[living.trials] = bad_at
        kept = (bad_at < 0).nonzero().squeeze(1)
        trials = living.trials[kept]
        history.train_loss[trials, epoch] = log[:, 0, kept].double().sum(0) / n_train
        history.train_correct[trials, epoch] = log[:, 1, kept].long().sum(0)
        history.val_loss[trials, epoch + 1] = val_loss[kept]
        history.val_correct[trials, epoch + 1] = val_correct[kept]
        if len(kept) < len(living):
            living.keep(kept)
            optimizer.keep(kept)
            lr = lr[kept]
            _use_at_most(max(1, len(kept)))
        if not len(living):
            return history
    for name in SPLITS:
        loss, correct = living.evaluate(data, getattr(data, name))
        history.final_loss[name][living.trials] = loss
        history.final_correct[name][living.trials] = correct
    final_weights, final_biases = unpadded(living.net, [(w.shape[1], w.shape[2]) for w in weights])
    for whole, part in zip(history.weights + history.biases, final_weights + final_biases, strict=True):
        whole[living.trials] = part
    return history


def _batches(order: Tensor, batch: int) -> Tensor:
    """The rows of every step, ``[step, order, batch]``, given the order of the samples, ``[order, n]``.

    A smaller last batch, and every batch to whole lanes, is filled up with row 0, which does not count: all steps have
    one shape.
    """
    n_orders, n = order.shape
    steps = pad(order, (0, -n % batch)).view(n_orders, -1, batch).transpose(0, 1)
    return pad(steps, (0, -batch % LANE)).contiguous()


def _first_bad(losses: Tensor, first: int) -> Tensor:
    """The first step, counted from ``first``, whose loss ``[step, trial]`` is NaN or infinite; -1 where none is."""
    bad = ~losses.isfinite()
    return torch.where(bad.any(0), bad.int().argmax(0) + first, -1)


def _empty_history(weights: Sequence[Tensor], biases: Sequence[Tensor], epochs: int) -> History:
    n_trials, device = len(weights[0]), weights[0].device

    def losses(*shape: int) -> Tensor:
        return torch.full((n_trials, *shape), float("nan"), dtype=torch.float64, device=device)

    def counts(*shape: int) -> Tensor:
        return torch.full((n_trials, *shape), -1, device=device)

    return History(
        diverged_at=counts(),
        train_loss=losses(epochs),
        train_correct=counts(epochs),
        val_loss=losses(epochs + 1),
        val_correct=counts(epochs + 1),
        final_loss={name: losses() for name in SPLITS},
        final_correct={name: counts() for name in SPLITS},
        weights=[weight.clone() for weight in weights],
        biases=[bias.clone() for bias in biases],
    )
