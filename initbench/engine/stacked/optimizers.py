"""Optimizers for stacked parameters.

Each update is torch's, written for tensors ``[trial, …, …]``: learning rate, momentum and weight decay are ``[trial]``
tensors, so every network of a stack may have its own. A gradient comes as a function that adds it to a tensor: momentum
takes it up without the gradient ever being stored by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

AddGradient = Callable[[Tensor], object]


@dataclass
class Optimizer:
    """One optimizer for all parameters of a stack; updates them in place, each by its name.

    Attributes:
        name: ``sgd``, ``adam`` or ``adamw``.
        hyper: name to ``[trial]`` tensor: ``momentum``, or ``beta1``, ``beta2`` and ``eps``; and ``weight_decay``
            unless it is zero for all.
        nesterov: sgd only.
        step_count: ``[]``, counts from 1; raised by :meth:`begin_step`.
    """

    name: str
    hyper: Mapping[str, Tensor]
    nesterov: bool
    step_count: Tensor
    _state: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hyper = {name: value.view(-1, 1, 1) for name, value in self.hyper.items()}

    def begin_step(self) -> None:
        """Comes before the first update of a step."""
        self.step_count += 1

    def update(self, name: str, param: Tensor, add_gradient: AddGradient, lr: Tensor) -> None:
        """Update one parameter ``[trial, …, …]``; ``lr`` is ``[trial, 1, 1]``."""
        if name not in self._state:
            n_buffers = 1 if self.name == "sgd" and not self.nesterov else 2 if self.name == "sgd" else 3
            self._state[name] = tuple(torch.zeros_like(param) for _ in range(n_buffers))
        (self._sgd if self.name == "sgd" else self._adam)(param, add_gradient, lr, *self._state[name])

    def _sgd(
        self, param: Tensor, add_gradient: AddGradient, lr: Tensor, velocity: Tensor, grad: Tensor | None = None
    ) -> None:
        momentum, weight_decay = self.hyper["momentum"], self.hyper.get("weight_decay")
        if grad is None:
            velocity.mul_(momentum)
            if weight_decay is not None:
                velocity.addcmul_(weight_decay, param)
            add_gradient(velocity)
            param.addcmul_(lr, velocity, value=-1)
            return
        # Nesterov's direction is the gradient plus momentum times the new velocity.
        add_gradient(grad.zero_())
        if weight_decay is not None:
            grad.addcmul_(weight_decay, param)
        velocity.mul_(momentum).add_(grad)
        param.addcmul_(lr, grad.addcmul_(momentum, velocity), value=-1)

    def _adam(
        self, param: Tensor, add_gradient: AddGradient, lr: Tensor, first: Tensor, second: Tensor, grad: Tensor
    ) -> None:
        add_gradient(grad.zero_())
        weight_decay = self.hyper.get("weight_decay")
        if weight_decay is not None and self.name == "adamw":
            param.mul_(1 - lr * weight_decay)
        elif weight_decay is not None:
            grad.addcmul_(weight_decay, param)
        beta1, beta2 = self.hyper["beta1"], self.hyper["beta2"]
        first.mul_(beta1).addcmul_(1 - beta1, grad)
        second.mul_(beta2).addcmul_((1 - beta2) * grad, grad)
        # Kingma & Ba 2015, section 2; the corrections as torch applies them: eps is outside the corrected root.
        denominator = (second / (1 - beta2**self.step_count)).sqrt_().add_(self.hyper["eps"])
        param.addcmul_(lr / (1 - beta1**self.step_count), first / denominator, value=-1)

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        self.hyper = {name: value[rows] for name, value in self.hyper.items()}
        self._state = {name: tuple(buffer[rows] for buffer in buffers) for name, buffers in self._state.items()}
