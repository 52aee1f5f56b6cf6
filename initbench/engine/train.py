"""Train a stack of networks side by side: tensors and numbers in, histories out; no files, no configuration.

Every trial is independent of its companions, bit for bit on a CPU: all per-trial slices are padded to a multiple of
64 bytes (else the BLAS takes another code path for a slice that starts off such a boundary), padding stays exactly
zero, and nothing is ever reduced across trials.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from initbench.engine.optimizers import Optimizer, schedule_factor
from initbench.models.mlp import forward

# Floats per 64 bytes.
_LANE = 16
_EVAL_ROWS = 1024

SPLITS = ("train", "val", "test")

Orders = Callable[[int], Tensor]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Data:
    """A data set on the device.

    Attributes:
        x: ``[n, features]``, uint8 or float; standardised when gathered, as ``(x - mean) / std``.
        y: ``[n]``, int64 classes.
        mean: ``[features]``; ``std`` likewise. Their type is the type the networks are trained in.
        train: row numbers of the training samples; ``val`` and ``test`` likewise.
        n_classes: the number of classes.
    """

    x: Tensor
    y: Tensor
    mean: Tensor
    std: Tensor
    train: Tensor
    val: Tensor
    test: Tensor
    n_classes: int

    def padded(self) -> "Data":
        """The same data with zero features appended, so that a row is a multiple of 64 bytes."""
        extra = -self.x.shape[1] % _LANE
        if not extra:
            return self
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"x": pad(self.x, (0, extra)), "mean": pad(self.mean, (0, extra))}
        return Data(**values | {"std": pad(self.std, (0, extra), value=1.0)})

    def gather(self, rows: Tensor) -> Tensor:
        """The standardised samples of ``rows``, of shape ``[*rows.shape, features]``."""
        x = self.x[rows.reshape(-1)].to(self.mean.dtype)
        return x.sub_(self.mean).div_(self.std).view(*rows.shape, -1)


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


@dataclass
class _Stack:
    """The trials still in training: parameters padded to whole lanes, and which trials they are."""

    trials: Tensor
    weights: list[Tensor]
    biases: list[Tensor]
    masks: list[Tensor | None]
    activation: Callable[[Tensor], Tensor]
    n_classes: int

    def logits(self, x: Tensor) -> Tensor:
        return forward(self.weights, self.biases, self.masks, x, self.activation)[..., : self.n_classes]

    @property
    def params(self) -> list[Tensor]:
        return self.weights + self.biases

    def keep(self, rows: Tensor) -> None:
        self.trials = self.trials[rows]
        self.weights = [w.detach()[rows].requires_grad_() for w in self.weights]
        self.biases = [b.detach()[rows].requires_grad_() for b in self.biases]


def train(
    data: Data,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    activation: Callable[[Tensor], Tensor],
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
        activation: elementwise function between the layers.
        orders: epoch to row numbers ``[order, n_train]``, the order in which the samples are seen.
        order_of: ``[trial]``, which of the orders each trial follows.
        optimizer: with ``[trial]`` hyperparameters; its state is used up.
        schedule: learning rates, epochs and batch size; the last batch of an epoch may be smaller.
        progress: called after each step with the number of trials that made it.

    Returns:
        The histories and final parameters, in the order of the given trials.
    """
    data = data.padded()
    stack = _stack(weights, biases, activation, data)
    n_trials, device = len(order_of), order_of.device
    n_train, batch = len(data.train), schedule.batch_size
    n_steps = math.ceil(n_train / batch)
    warmup = round(schedule.warmup * n_steps)

    nan = float("nan")
    history = History(
        diverged_at=torch.full((n_trials,), -1, device=device),
        train_loss=torch.full((n_trials, schedule.epochs), nan, dtype=torch.float64, device=device),
        train_correct=torch.full((n_trials, schedule.epochs), -1, device=device),
        val_loss=torch.full((n_trials, schedule.epochs + 1), nan, dtype=torch.float64, device=device),
        val_correct=torch.full((n_trials, schedule.epochs + 1), -1, device=device),
        final_loss={s: torch.full((n_trials,), nan, dtype=torch.float64, device=device) for s in SPLITS},
        final_correct={s: torch.full((n_trials,), -1, device=device) for s in SPLITS},
        weights=[w.clone() for w in weights],
        biases=[b.clone() for b in biases],
    )
    lr = schedule.lr
    loss, correct = _evaluate(stack, data, data.val)
    history.val_loss[:, 0], history.val_correct[:, 0] = loss, correct
    step = 0
    for epoch in range(schedule.epochs):
        # A smaller last batch is filled up with row 0 at weight zero: every step has one shape.
        order = pad(orders(epoch), (0, n_steps * batch - n_train))
        bad_at = torch.full((len(stack.trials),), -1, device=device)
        epoch_loss = torch.zeros(len(stack.trials), dtype=torch.float64, device=device)
        epoch_correct = torch.zeros(len(stack.trials), dtype=torch.int64, device=device)
        for i in range(n_steps):
            rows = pad(order[:, i * batch : (i + 1) * batch], (0, -batch % _LANE))
            n_real = min(batch, n_train - i * batch)
            losses, hits = _step(
                stack, data, rows, order_of, n_real, optimizer, lr * _factor(schedule, step, n_steps, warmup)
            )
            bad_at = torch.where(~losses.isfinite() & (bad_at < 0), step, bad_at)
            epoch_loss += losses.double() * n_real
            epoch_correct += hits
            step += 1
            progress(len(stack.trials))
        loss, correct = _evaluate(stack, data, data.val)
        bad_at = torch.where(~loss.isfinite() & (bad_at < 0), step, bad_at)
        history.diverged_at[stack.trials] = bad_at
        alive = bad_at < 0
        trials = stack.trials[alive]
        history.train_loss[trials, epoch] = epoch_loss[alive] / n_train
        history.train_correct[trials, epoch] = epoch_correct[alive]
        history.val_loss[trials, epoch + 1] = loss[alive]
        history.val_correct[trials, epoch + 1] = correct[alive]
        if not bool(alive.all()):
            kept = alive.nonzero().squeeze(1)
            stack.keep(kept)
            optimizer, lr, order_of = optimizer.keep(kept), lr[kept], order_of[kept]
            if not len(kept):
                break
    if len(stack.trials):
        for name in SPLITS:
            loss, correct = _evaluate(stack, data, getattr(data, name))
            history.final_loss[name][stack.trials] = loss
            history.final_correct[name][stack.trials] = correct
    for final, padded in zip(history.weights, stack.weights, strict=True):
        final[stack.trials] = padded.detach()[:, : final.shape[1], : final.shape[2]]
    for final, padded in zip(history.biases, stack.biases, strict=True):
        final[stack.trials] = padded.detach()[:, 0, : final.shape[1]]
    return history


def _factor(schedule: Schedule, step: int, n_steps: int, warmup: int) -> float:
    return schedule_factor(schedule.name, step, n_steps * schedule.epochs, warmup)


def _stack(
    weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Callable[[Tensor], Tensor], data: Data
) -> _Stack:
    """Pad every layer to whole lanes with zeros, which gradients keep zero: padded units are masked to 0."""
    padded_weights, padded_biases, masks = [], [], []
    for w, b in zip(weights, biases, strict=True):
        _, fan_in, fan_out = w.shape
        padded_weights.append(pad(w, (0, -fan_out % _LANE, 0, -fan_in % _LANE)).clone().requires_grad_())
        padded_biases.append(pad(b, (0, -fan_out % _LANE)).unsqueeze(1).clone().requires_grad_())
        units = torch.arange(fan_out + -fan_out % _LANE, device=w.device)
        masks.append((units < fan_out).to(w.dtype) if fan_out % _LANE else None)
    trials = torch.arange(len(weights[0]), device=weights[0].device)
    return _Stack(trials, padded_weights, padded_biases, masks[:-1], activation, data.n_classes)


def _step(
    stack: _Stack, data: Data, rows: Tensor, order_of: Tensor, n_real: int, optimizer: Optimizer, lr: Tensor
) -> tuple[Tensor, Tensor]:
    """One optimizer step of every trial; mean loss and number of correct samples, each ``[trial]``."""
    x, y = data.gather(rows), data.y[rows]
    if len(rows) == 1:
        x, y = x.expand(len(order_of), -1, -1), y.expand(len(order_of), -1)
    else:
        x, y = x[order_of], y[order_of]
    logits = stack.logits(x)
    losses = _losses(logits, y)[:, :n_real].sum(1) / n_real
    grads = torch.autograd.grad(losses.sum(), stack.params)
    with torch.no_grad():
        optimizer.step(stack.params, grads, lr)
        hits = (logits.argmax(2) == y)[:, :n_real].sum(1)
    return losses.detach(), hits


def _losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of every sample, ``[trial, batch]``."""
    return cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y)


@torch.no_grad()
def _evaluate(stack: _Stack, data: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss (float64) and number of correct samples over ``rows``, each ``[trial]``."""
    n_trials = len(stack.trials)
    loss = torch.zeros(n_trials, dtype=torch.float64, device=rows.device)
    correct = torch.zeros(n_trials, dtype=torch.int64, device=rows.device)
    for start in range(0, len(rows), _EVAL_ROWS):
        part = rows[start : start + _EVAL_ROWS]
        n_real = len(part)
        part = pad(part, (0, -n_real % _LANE))
        logits = stack.logits(data.gather(part).expand(n_trials, -1, -1))
        y = data.y[part].expand(n_trials, -1)
        loss += _losses(logits, y)[:, :n_real].sum(1).double()
        correct += (logits.argmax(2) == y)[:, :n_real].sum(1)
    return loss / len(rows), correct
