"""Optimizers and learning-rate schedules for stacked parameters.

Each update is torch's, written for tensors with a leading trial axis: learning rate, momentum and weight decay are
``[trial]`` tensors, so every network of a stack may have its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Optimizer:
    """One optimizer for all parameters of a stack; updates them in place.

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        hyper: name to ``[trial]`` tensor: ``momentum``, or ``beta1``, ``beta2`` and ``eps``; and ``weight_decay``
            unless it is zero for all.
        nesterov: sgd only.
    """

    name: str
    hyper: Mapping[str, Tensor]
    nesterov: bool = False
    step_count: int = 0
    state: list[tuple[Tensor, ...]] = field(default_factory=list)

    def step(self, params: Sequence[Tensor], grads: Sequence[Tensor], lr: Tensor) -> None:
        """Update ``params``, each ``[trial, …]``, with this step's learning rates ``lr``, ``[trial]``."""
        if not self.state:
            n_buffers = 1 if self.name == "sgd" else 2
            self.state = [tuple(torch.zeros_like(p) for _ in range(n_buffers)) for p in params]
        self.step_count += 1
        for param, grad, buffers in zip(params, grads, self.state, strict=True):
            shape = (-1,) + (1,) * (param.ndim - 1)
            hyper = {name: value.view(shape) for name, value in self.hyper.items()}
            if self.name == "sgd":
                self._sgd(param, grad, buffers[0], lr.view(shape), hyper)
            else:
                self._adam(param, grad, buffers, lr.view(shape), hyper)

    def _sgd(self, param: Tensor, grad: Tensor, buffer: Tensor, lr: Tensor, hyper: Mapping[str, Tensor]) -> None:
        if "weight_decay" in hyper:
            grad = torch.addcmul(grad, hyper["weight_decay"], param)
        buffer.mul_(hyper["momentum"]).add_(grad)
        direction = grad.addcmul(hyper["momentum"], buffer) if self.nesterov else buffer
        param.addcmul_(lr, direction, value=-1)

    def _adam(
        self,
        param: Tensor,
        grad: Tensor,
        moments: tuple[Tensor, ...],
        lr: Tensor,
        hyper: Mapping[str, Tensor],
    ) -> None:
        if "weight_decay" in hyper and self.name == "adamw":
            param.mul_(1 - lr * hyper["weight_decay"])
        elif "weight_decay" in hyper:
            grad = torch.addcmul(grad, hyper["weight_decay"], param)
        first, second = moments
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        first.mul_(beta1).addcmul_(1 - beta1, grad)
        second.mul_(beta2).addcmul_((1 - beta2) * grad, grad)
        # Kingma & Ba 2015, section 2; the corrections as torch applies them: eps is outside the corrected root.
        denominator = (second / (1 - beta2**self.step_count)).sqrt_().add_(hyper["eps"])
        param.addcmul_(lr / (1 - beta1**self.step_count), first / denominator, value=-1)

    def keep(self, rows: Tensor) -> "Optimizer":
        """The same optimizer for a part of the trials; ``rows`` are their positions."""
        hyper = {name: value[rows] for name, value in self.hyper.items()}
        state = [tuple(buffer[rows] for buffer in buffers) for buffers in self.state]
        return Optimizer(self.name, hyper, self.nesterov, self.step_count, state)


def schedule_factor(name: str, step: int, total: int, warmup: int) -> float:
    """What the learning rate is multiplied by at ``step`` (0-based) of ``total``.

    Rises linearly over the first ``warmup`` steps, then stays (``constant``) or falls to zero (``cosine``, ``linear``)
    where step ``total`` would be.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return {"constant": 1.0, "cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress}[name]
