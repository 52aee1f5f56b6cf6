"""One network, an ``nn.Module`` whatever it computes, trained by itself: called as a plain loop would call it."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from initbench.engine.stacked.module import beside_tensors
from initbench.models.modules import output_of

# Where every parameter begins, in numbers: the bits of a product may depend on where its operands lie.
_ALIGN = 16


class SingleModule:
    """See :class:`initbench.engine.stacked.stack.Stack`. What is trained lies in one piece."""

    # Anyone's module may look at its data.
    capturable = False

    def __init__(self, module: nn.Module, params: Mapping[str, Tensor], sample_shape: tuple[int, ...]) -> None:
        """A network with the given parameters and buffers, ``[1, …]``, copied; the CPU is where it is trained."""
        kind = next((values.dtype for values in params.values() if values.is_floating_point()), torch.float32)
        # Of its own: other threads may be calling others.
        self._module = copy.deepcopy(module).to(kind)
        self._sample_shape = sample_shape
        found = dict(self._module.named_parameters())
        self._leaves = [param for param in found.values() if param.requires_grad]
        places = [0]
        for leaf in self._leaves:
            places.append(places[-1] + _ALIGN * math.ceil(leaf.numel() / _ALIGN))
        self._flat, self._grad = (torch.zeros(1, 1, places[-1], dtype=kind) for _ in range(2))
        self._grads = [self._part(self._grad, at, leaf) for at, leaf in zip(places, self._leaves, strict=False)]
        for at, leaf in zip(places, self._leaves, strict=False):
            leaf.data = self._part(self._flat, at, leaf)
        self.params: dict[str, Tensor] = {}
        for name, param in found.items():
            if param.requires_grad:
                param.data.copy_(params[name][0])
            else:
                param.data = params[name][0].clone()
            self.params[name] = param.data.unsqueeze(0)
        self._buffers = []
        for name, buffer in self._module.named_buffers():
            if name in params:
                buffer.data = params[name][0].clone()
                self.params[name] = buffer.data.unsqueeze(0)
            path, _, last = name.rpartition(".")
            self._buffers.append((self._module.get_submodule(path), last, buffer))
        # In the order in which they were given.
        self.params = {name: self.params[name] for name in params}
        self._logits = torch.empty(0)
        self._more = beside_tensors(self._module)

    @staticmethod
    def _part(flat: Tensor, at: int, leaf: Tensor) -> Tensor:
        return flat[0, 0, at : at + leaf.numel()].view(leaf.shape)

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """All that is trained, as one."""
        return {"trained": self._flat}

    @property
    def whole(self) -> bool:
        """Anyone's module may count, cache or collect in attributes of its own."""
        return self._more == beside_tensors(self._module)

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        """The logits ``[1, batch, classes]`` of ``[1, batch, features]``."""
        self._module.train(training)
        with torch.set_grad_enabled(training):
            output: Tensor = output_of(self._module(x.reshape(x.shape[1], *self._sample_shape)))
        for owner, name, buffer in self._buffers:
            # One that was replaced instead of changed is in another place now.
            if (new := owner._buffers.get(name)) is not buffer:
                if isinstance(new, Tensor) and new.shape == buffer.shape:
                    buffer.data.copy_(new.detach())
                owner._buffers[name] = buffer
        self._logits = output
        return output.detach().unsqueeze(0)

    def backward(self, grad: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], object]]]:
        """The gradient of all that is trained, as one."""
        grads = torch.autograd.grad(self._logits, self._leaves, grad[0], allow_unused=True)
        if any(gradient is None for gradient in grads):
            self._grad.zero_()
        there = [(to, gradient) for to, gradient in zip(self._grads, grads, strict=True) if gradient is not None]
        torch._foreach_copy_([to for to, _ in there], [gradient for _, gradient in there])
        yield "trained", self._flat, partial(Tensor.add_, other=self._grad)

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials: with it, or with none."""
        if not len(rows):
            self.params = {name: values[rows] for name, values in self.params.items()}
