"""The trials in training: stacked, padded networks, one step of all of them, and their evaluation.

Every trial is independent of its companions, bit for bit on a CPU: all per-trial slices are padded to a multiple of
64 bytes (else the BLAS takes another code path for a slice that starts off such a boundary), padding stays exactly
zero, nothing is ever reduced across trials, and there are never more threads than trials (else the BLAS shares a single
trial's product out among threads, and adds it up in another order).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, pad

from initbench.engine.optimizers import Optimizer
from initbench.models.mlp import MLP, Linearized

# Floats per 64 bytes.
LANE = 16
_EVAL_ROWS = 1024

# Logit of a class that only pads: its probability is exactly zero (and faster to compute than that of any number).
_NEVER = -float("inf")


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
        extra = (0, -self.x.shape[1] % LANE)
        if not extra[1]:
            return self
        return replace(self, x=pad(self.x, extra), mean=pad(self.mean, extra), std=pad(self.std, extra, value=1.0))

    def gather(self, rows: Tensor) -> Tensor:
        """The standardised samples of ``rows``, of shape ``[*rows.shape, features]``."""
        x = self.x.index_select(0, rows.reshape(-1))
        return torch.sub(x, self.mean).div_(self.std).view(*rows.shape, -1)


@dataclass
class Stack:
    """The trials still in training, and which of the given trials they are.

    ``order_of`` is ``[trial]``: which of the orders of the samples each trial follows.
    """

    trials: Tensor
    order_of: Tensor
    net: MLP
    class_mask: Tensor
    _minus_one: Tensor = field(init=False)
    _one_order_each: bool = field(init=False)

    def __post_init__(self) -> None:
        self._minus_one = -torch.ones_like(self.class_mask[:1]).view(1, 1, 1)
        self._one_order_each = self.order_of.tolist() == list(range(len(self)))

    def __len__(self) -> int:
        return len(self.trials)

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        self.trials, self.order_of, self._one_order_each = self.trials[rows], self.order_of[rows], False
        self.net.weights = [weight[rows] for weight in self.net.weights]
        self.net.biases = [bias[rows] for bias in self.net.biases]

    def _for_trials(self, of_orders: Tensor) -> Tensor:
        """What belongs to the orders, ``[order, …]``, as the trials see it, ``[trial, …]``; copied only if needed."""
        if len(of_orders) == 1:
            return of_orders.expand(len(self), *of_orders.shape[1:])
        if self._one_order_each:
            return of_orders
        return of_orders[self.order_of]

    def step(
        self, data: Data, rows: Tensor, y: Tensor, n_real: int, optimizer: Optimizer, lr: Tensor, log: Tensor
    ) -> None:
        """One optimizer step of every trial.

        Args:
            data: all samples.
            rows: ``[order, batch]``, the samples of this step; those from ``n_real`` on only fill up.
            y: their classes.
            n_real: how many samples of the batch count.
            optimizer: updates the parameters in place.
            lr: ``[trial, 1, 1]``, this step's learning rates.
            log: ``[2, trial]``, filled with the summed loss before the step and the number of correct samples.
        """
        x, y = self._for_trials(data.gather(rows)), self._for_trials(y)
        logits = self.net.forward(x).add_(self.class_mask)
        target = y.unsqueeze(2)
        torch.sum(logits.max(2).indices[:, :n_real] == y[:, :n_real], 1, dtype=log.dtype, out=log[1])
        log_p = log_softmax(logits, 2)
        torch.sum(log_p.gather(2, target)[:, :n_real, 0], 1, out=log[0]).neg_()
        # d(mean loss) / d(logit) = (softmax - one hot) / n
        grad = log_p.exp_().scatter_add_(2, target, self._minus_one.expand_as(target)).div_(n_real)
        if n_real < grad.shape[1]:
            grad[:, n_real:] = 0
        optimizer.step_count += 1
        for layer, layer_input, layer_grad in self.net.backward(grad):
            add_to_weight = partial(Tensor.baddbmm_, batch1=layer_input.mT, batch2=layer_grad)
            add_to_bias = partial(Tensor.add_, other=layer_grad.sum(1, keepdim=True))
            optimizer.update(f"weight.{layer}", self.net.weights[layer], add_to_weight, lr)
            optimizer.update(f"bias.{layer}", self.net.biases[layer], add_to_bias, lr)

    def evaluate(self, data: Data, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss (float64) and number of correct samples over ``rows``, each ``[trial]``."""
        loss = torch.zeros(len(self), dtype=torch.float64, device=rows.device)
        correct = torch.zeros(len(self), dtype=torch.int64, device=rows.device)
        for start in range(0, len(rows), _EVAL_ROWS):
            part = rows[start : start + _EVAL_ROWS]
            n_real = len(part)
            part = pad(part, (0, -n_real % LANE))
            logits = self.net.forward(data.gather(part).expand(len(self), -1, -1)).add_(self.class_mask)[:, :n_real]
            y = data.y[part[:n_real]].expand(len(self), -1)
            loss -= log_softmax(logits, 2).gather(2, y.unsqueeze(2)).squeeze(2).sum(1).double()
            correct += (logits.max(2).indices == y).sum(1)
        return loss / len(rows), correct


def stack(
    weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Linearized, data: Data, order_of: Tensor
) -> Stack:
    """Networks ready to train, given per layer ``[trial, in, out]`` and ``[trial, out]``.

    Every layer is padded to whole lanes with zeros. Training keeps them zero: padded units are masked to 0, and a
    padded class has probability 0.
    """
    net = MLP([], [], [], activation)
    for w, b in zip(weights, biases, strict=True):
        _, fan_in, fan_out = w.shape
        # Row-major whatever the caller's strides: the BLAS takes another way to a transposed result.
        net.weights.append(pad(w, (0, -fan_out % LANE, 0, -fan_in % LANE)).clone(memory_format=torch.contiguous_format))
        net.biases.append(pad(b, (0, -fan_out % LANE)).unsqueeze(1).clone(memory_format=torch.contiguous_format))
        units = torch.arange(fan_out + -fan_out % LANE, device=w.device)
        net.masks.append((units < fan_out).to(w.dtype) if fan_out % LANE else None)
    net.masks.pop()
    classes = torch.arange(net.weights[-1].shape[2], device=order_of.device)
    class_mask = torch.where(classes < data.n_classes, 0.0, _NEVER).to(data.mean.dtype)
    return Stack(torch.arange(len(order_of), device=order_of.device), order_of, net, class_mask)


def unpadded(net: MLP, shapes: Sequence[tuple[int, int]]) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters without padding, given the ``(in, out)`` of every layer."""
    weights = [w[:, :fan_in, :fan_out] for w, (fan_in, fan_out) in zip(net.weights, shapes, strict=True)]
    biases = [b[:, 0, :fan_out] for b, (_, fan_out) in zip(net.biases, shapes, strict=True)]
    return weights, biases
