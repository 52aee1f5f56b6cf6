"""What an optimizer keeps of a stack of networks from step to step: hyperparameters, buffers, and the step's number.

Every network of a stack may have hyperparameters of its own. A gradient comes as a function that adds it to a tensor:
momentum takes it up without the gradient ever being stored by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initbench.engine.optimizers import OPTIMIZERS

AddGradient = Callable[[Tensor], object]


@dataclass
class _Gradient:
    """See :class:`initbench.engine.optimizers.declaration.Gradient`."""

    add: AddGradient
    scratch: Callable[[], Tensor]

    def add_to(self, target: Tensor) -> None:
        self.add(target)

    def alone(self) -> Tensor:
        grad = self.scratch().zero_()
        self.add(grad)
        return grad


class OptimizerState:
    """One optimizer for all parameters of a stack; updates them in place, each by its name."""

    def __init__(
        self, optimizer: str, hyper: Mapping[str, NDArray[Any]], dtype: torch.dtype, device: torch.device
    ) -> None:
        """An optimizer before its first step.

        Args:
            optimizer: a name of :data:`OPTIMIZERS`.
            hyper: each of its hyperparameters, ``[trial]``; one that is no float is the same for all.
            dtype: of the parameters.
            device: where they are.
        """
        self._optimizer = OPTIMIZERS[optimizer]
        taken: dict[str, Any] = {}
        for one in self._optimizer.parameters:
            values = hyper[one.name]
            if one.kind is not float:
                taken[one.name] = one.kind(values[0])
            elif one.name == "weight_decay" and not np.any(values):
                taken[one.name] = None
            else:
                taken[one.name] = torch.tensor(values, dtype=dtype, device=device).view(-1, 1, 1)
        self._hyper = self._optimizer.hyper(**taken)
        self._step = torch.zeros((), dtype=dtype, device=device)
        self._buffers: dict[str, tuple[Tensor, ...]] = {}
        self._given: dict[str, Tensor] = {}
        self._scratch: dict[str, Tensor] = {}

    def begin_step(self) -> None:
        """Comes before the first update of a step."""
        self._step += 1

    def update(self, name: str, param: Tensor, add_gradient: AddGradient, lr: Tensor) -> None:
        """Update one parameter ``[trial, …, …]``; ``lr`` is ``[trial, 1, 1]``."""
        if name not in self._buffers:
            # Memory of their own: the bits of a product may depend on where its result begins.
            self._buffers[name] = tuple(torch.zeros_like(param) for _ in range(self._optimizer.n_buffers))
            if name in self._given:
                for number, values in enumerate(self._given.pop(name).unbind(1)):
                    self._buffers[name][number].copy_(values.view(param.shape))

        def scratch() -> Tensor:
            if name not in self._scratch:
                self._scratch[name] = torch.empty_like(param)
            return self._scratch[name]

        gradient = _Gradient(add_gradient, scratch)
        self._optimizer.torch_update(self._hyper, param, gradient, self._buffers[name], lr, self._step)

    def buffers(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The buffers of every one of a stack's tensors, ``[trial, buffer, element]``; zeros where it has none."""
        result = {}
        for name, values in params.items():
            found, shape = self._buffers.get(name), (len(values), self._optimizer.n_buffers, values.shape[1:].numel())
            result[name] = (
                torch.stack([buffer.flatten(1) for buffer in found], 1)
                if found
                else torch.zeros(shape, dtype=self._step.dtype, device=self._step.device)
            )
        return result

    def begin_at(self, step: int, buffers: Mapping[str, Tensor]) -> None:
        """Go on after so many steps with what :meth:`buffers` gave then; nothing has been updated yet."""
        self._step.fill_(step)
        self._given = dict(buffers)

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        self._hyper = self._hyper._make(value[rows] if isinstance(value, Tensor) else value for value in self._hyper)
        self._buffers = {name: tuple(buffer[rows] for buffer in buffers) for name, buffers in self._buffers.items()}
        self._scratch = {}
