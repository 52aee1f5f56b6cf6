"""A stack of networks of one ``nn.Module``, whatever it computes: torch's autograd and vmap do the work."""

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initbench.models.modules import output_of


def beside_tensors(module: nn.Module) -> list[object]:
    """What the parts of a module hold beside parameters and buffers, such that it differs when any of that changes."""
    found: list[object] = []
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in ("_parameters", "_buffers", "_modules", "training"):
                try:
                    found += [name, pickle.dumps(value)]
                # Functions without a name, for one.
                except Exception:
                    found += [name, id(value)]
    return found


class StackedModule:
    """See :class:`initbench.engine.stacked.stack.Stack`. A stack of one is run as the module itself would be."""

    # Anyone's module may look at its data.
    capturable = False

    def __init__(self, module: nn.Module, params: Mapping[str, Tensor], sample_shape: tuple[int, ...]) -> None:
        """Networks with the given parameters and buffers, ``[trial, …]``; they are trained in place."""
        # Of its own: a module is changed for the time of a call, and other threads may be calling others.
        self._module = copy.deepcopy(module)
        self._sample_shape = sample_shape
        self._trained = [name for name, param in module.named_parameters() if param.requires_grad]
        self.params = dict(params)
        self._leaves: list[Tensor] = []
        self._logits = torch.empty(0)
        self._more = beside_tensors(self._module)

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """Each parameter by itself."""
        return self.params

    @property
    def whole(self) -> bool:
        """Anyone's module may count, cache or collect in attributes of its own."""
        return self._more == beside_tensors(self._module)

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        """The logits ``[trial, batch, classes]`` of ``[trial, batch, features]``."""
        x = x.reshape(*x.shape[:2], *self._sample_shape)
        self._module.train(training)
        alone = len(x) == 1
        given = {name: values[0] if alone else values for name, values in self.params.items()}
        if training:
            given |= {name: given[name].detach().requires_grad_() for name in self._trained}
            self._leaves = [given[name] for name in self._trained]
        with torch.set_grad_enabled(training):
            logits = self._output(given, x[0]).unsqueeze(0) if alone else vmap(self._output)(given, x)
        self._logits = logits
        return logits.detach()

    def _output(self, given: Mapping[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = output_of(functional_call(self._module, dict(given), (x,)))
        return output

    def backward(self, grad: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], object]]]:
        """The gradients of the parameters, in the module's order."""
        grads = torch.autograd.grad(self._logits, self._leaves, grad, allow_unused=True)
        for name, gradient in zip(self._trained, grads, strict=True):
            param = self.params[name].view(len(grad), 1, -1)
            if gradient is None:
                gradient = torch.zeros_like(param)
            yield name, param, partial(torch.Tensor.add_, other=gradient.reshape(param.shape))

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        self.params = {name: values[rows] for name, values in self.params.items()}
