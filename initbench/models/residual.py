"""Residual networks: ``depth`` blocks ``x + a·F(x)`` of one size between a first and an output layer.

The branch F is ``layers`` linear maps with the activation before each, so that the path from block to block is the
identity (He et al. 2016, arXiv:1603.05027). The multiplier ``a`` is one learnable number per block, 1 where the
initializer does not say otherwise; Fixup, ReZero and SkipInit are initial values of these networks' parameters. Fixup's
scalar biases are contained in the biases of the layers.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class Branch(nn.Module):
    """One block ``x + a·F(x)``."""

    def __init__(self, layers: Iterable[nn.Module], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.multiplier = nn.Parameter(torch.ones(()))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of the shape of ``x``."""
        h = x
        for layer in self.layers:
            h = layer(self.activation(h))
        return x + self.multiplier * h


class Residual(nn.Module):
    """A first layer, the blocks, the activation, and the output layer on what is then flattened."""

    def __init__(self, first: nn.Module, blocks: Iterable[Branch], output: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.first, self.blocks, self.output = first, nn.ModuleList(blocks), output
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]``."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.activation(x).flatten(1))
        return logits


def residual_mlp(
    n_features: int, n_classes: int, depth: int, width: int, layers: int, activation: Activation
) -> nn.Module:
    """Blocks of ``layers`` linear layers of ``width`` units."""
    blocks = [Branch([nn.Linear(width, width) for _ in range(layers)], activation) for _ in range(depth)]
    return Residual(nn.Linear(n_features, width), blocks, nn.Linear(width, n_classes), activation)


def residual_cnn(
    sample_shape: tuple[int, int, int],
    n_classes: int,
    depth: int,
    channels: int,
    kernel: int,
    stride: int,
    layers: int,
    activation: Activation,
) -> nn.Module:
    """Blocks of ``layers`` convolutions that keep the size; the first layer, a convolution too, has the stride."""
    n_in, height, width = sample_shape
    first = nn.Conv2d(n_in, channels, kernel, stride, kernel // 2)
    blocks = [
        Branch([nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(layers)], activation)
        for _ in range(depth)
    ]
    n_last = channels * -(-height // stride) * -(-width // stride)
    return Residual(first, blocks, nn.Linear(n_last, n_classes), activation)
