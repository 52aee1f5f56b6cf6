"""The multilayer perceptron: ``depth`` hidden layers with one activation, then a linear output layer.

Everything is stacked: weights ``[trial, in, out]``, biases ``[trial, 1, out]``, so that one batched product serves all
networks of a stack. The backward pass is written by hand: it reuses memory from step to step and hands each layer's
gradient to the optimizer as two factors, so that the product can be accumulated where it is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

# From the gradient of an activation's output to that of its input; and an activation together with that.
Pullback = Callable[[Tensor], Tensor]
Linearized = Callable[[Tensor], tuple[Tensor, Pullback]]


def layer_shapes(n_features: int, width: Sequence[int], n_classes: int) -> list[tuple[int, int]]:
    """The ``(out, in)`` shape of every weight matrix; ``width=()`` is softmax regression, one matrix."""
    sizes = [n_features, *width, n_classes]
    return [(fan_out, fan_in) for fan_in, fan_out in zip(sizes, sizes[1:], strict=False)]


@dataclass
class MLP:
    """The parameters of a stack of perceptrons.

    Attributes:
        weights: per layer ``[trial, in, out]``.
        biases: per layer ``[trial, 1, out]``.
        masks: per hidden layer ``[out]`` with 0 for units that only pad, or None where there are none.
        activation: from pre-activations, which it may overwrite, to activations and their pullback.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    masks: list[Tensor | None]
    activation: Linearized
    _inputs: list[Tensor] = field(default_factory=list)
    _pullbacks: list[Pullback] = field(default_factory=list)
    _buffers: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[trial, batch, classes]`` of ``x``, ``[trial, batch, features]`` or an expanded view of that.

        The result is overwritten by the next call with a batch of the same size.
        """
        self._inputs, self._pullbacks = [x], []
        for layer, mask in enumerate(self.masks):
            h, pullback = self.activation(self._affine(layer))
            if mask is not None:
                h = h * mask
            self._inputs.append(h)
            self._pullbacks.append(pullback)
        return self._affine(len(self.masks))

    def backward(self, grad: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The gradients of the layers, given that of the last logits, which may be overwritten.

        Yields ``(layer, input, grad)`` from the last layer to the first: the layer's input ``[trial, batch, in]`` and
        the gradient of its output ``[trial, batch, out]``. Their product over the batch is the weight's gradient, the
        sum of ``grad`` over the batch is the bias'. A layer that was yielded may be updated in place.
        """
        for layer in range(len(self.weights) - 1, -1, -1):
            below = None
            if layer:
                below = self._buffer("grad", layer, grad.shape[:2] + self.weights[layer].shape[1:2])
                torch.bmm(grad, self.weights[layer].mT, out=below)
            yield layer, self._inputs[layer], grad
            if below is not None:
                grad = self._pullbacks[layer - 1](below)

    def _affine(self, layer: int) -> Tensor:
        x, weight = self._inputs[layer], self.weights[layer]
        out = self._buffer("affine", layer, (*x.shape[:2], weight.shape[2]))
        return torch.bmm(x, weight, out=out).add_(self.biases[layer])

    def _buffer(self, name: str, layer: int, shape: Sequence[int]) -> Tensor:
        """Memory for a tensor that is overwritten at every step."""
        buffer = self._buffers.get((name, layer))
        if buffer is None or buffer.shape != tuple(shape):
            buffer = self._buffers[name, layer] = self.weights[layer].new_empty(tuple(shape))
        return buffer
