"""The multilayer perceptron: ``depth`` hidden layers with one activation, then a linear output layer."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def layer_shapes(n_features: int, width: Sequence[int], n_classes: int) -> list[tuple[int, int]]:
    """The ``(out, in)`` shape of every weight matrix; ``width=()`` is softmax regression, one matrix."""
    sizes = [n_features, *width, n_classes]
    return [(fan_out, fan_in) for fan_in, fan_out in zip(sizes, sizes[1:], strict=False)]


def forward(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    masks: Sequence[Tensor | None],
    x: Tensor,
    activation: Callable[[Tensor], Tensor],
) -> Tensor:
    """The logits of all networks of a stack.

    Args:
        weights: per layer ``[trial, in, out]``.
        biases: per layer ``[trial, 1, out]``.
        masks: per hidden layer ``[out]`` with 0 for units that only pad, or None where there are none.
        x: ``[trial, batch, features]``; the trial axis may be an expanded view.
        activation: elementwise.

    Returns:
        ``[trial, batch, classes]``.
    """
    h = x
    for weight, bias, mask in zip(weights[:-1], biases[:-1], masks, strict=True):
        h = activation(torch.baddbmm(bias, h, weight))
        if mask is not None:
            h = h * mask
    return torch.baddbmm(biases[-1], h, weights[-1])
