"""The multilayer perceptron: ``depth`` hidden layers with one activation, then a linear output layer.

The class is a stack of them, so that one batched product serves all. Its backward pass is written by hand: it reuses
memory from step to step and hands each layer's gradient to the optimizer as two factors, so that the product can be
accumulated where it is needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from initbench.activations import torch_linearized

if TYPE_CHECKING:
    from torch import Tensor


def parameters(n_features: int, width: Sequence[int], n_classes: int) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter in torch's layout; ``width=()`` is softmax regression, one matrix."""
    sizes = [n_features, *width, n_classes]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        shapes[f"layers.{layer}.weight"] = (fan_out, fan_in)
        shapes[f"layers.{layer}.bias"] = (fan_out,)
    return shapes


class MLP:
    """A stack of perceptrons; see :class:`initbench.engine.stacked.stack.Stack`."""

    capturable = True
    whole = True

    def __init__(
        self, params: "Mapping[str, Tensor]", activation: str, activation_params: Mapping[str, Any] | None = None
    ) -> None:
        """Networks with the given parameters, ``[trial, …]`` in torch's layout; they are trained in place."""
        self.params = dict(params)
        self.depth = len(params) // 2 - 1
        self._activation = torch_linearized(activation, activation_params)
        self._inputs: list[Tensor] = []
        self._pullbacks: list[Callable[[Tensor], Tensor]] = []
        self._buffers: dict[tuple[Any, ...], Tensor] = {}

    @property
    def trained(self) -> "Mapping[str, Tensor]":
        """Each parameter by itself."""
        return self.params

    def forward(self, x: "Tensor", training: bool = False) -> "Tensor":
        """The logits ``[trial, batch, classes]`` of ``x``, ``[trial, batch, features]`` or an expanded view of that."""
        self._inputs, self._pullbacks = [x], []
        for layer in range(self.depth):
            h, pullback = self._activation(self._affine(layer))
            self._inputs.append(h)
            self._pullbacks.append(pullback)
        return self._affine(self.depth)

    def backward(self, grad: "Tensor") -> "Iterator[tuple[str, Tensor, Callable[[Tensor], object]]]":
        """The gradients of the parameters, from the last layer to the first."""
        import torch

        for layer in range(self.depth, -1, -1):
            weight, bias = self.params[f"layers.{layer}.weight"], self.params[f"layers.{layer}.bias"]
            below = None
            if layer:
                below = self._buffer("grad", layer, (*grad.shape[:2], weight.shape[2]))
                torch.bmm(grad, weight, out=below)
            add_to_weight = partial(torch.Tensor.baddbmm_, batch1=grad.mT, batch2=self._inputs[layer])
            yield f"layers.{layer}.weight", weight, add_to_weight
            add_to_bias = partial(torch.Tensor.add_, other=grad.sum(1, keepdim=True))
            yield f"layers.{layer}.bias", bias.unsqueeze(1), add_to_bias
            if below is not None:
                grad = self._pullbacks[layer - 1](below)

    def keep(self, rows: "Tensor") -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        self.params = {name: values[rows] for name, values in self.params.items()}
        self._buffers = {}

    def _affine(self, layer: int) -> "Tensor":
        import torch

        x, weight = self._inputs[layer], self.params[f"layers.{layer}.weight"]
        out = self._buffer("affine", layer, (*x.shape[:2], weight.shape[1]))
        return torch.bmm(x, weight.mT, out=out).add_(self.params[f"layers.{layer}.bias"].unsqueeze(1))

    def _buffer(self, name: str, layer: int, shape: tuple[int, ...]) -> "Tensor":
        """Memory for a tensor that is overwritten at every step."""
        key = (name, layer, shape)
        if key not in self._buffers:
            self._buffers[key] = self.params["layers.0.weight"].new_empty(shape)
        return self._buffers[key]
