"""Residual networks: ``depth`` blocks ``x + a·F(x)`` of one size between a first and an output layer.

The branch F is ``layers`` linear maps with the activation, and the norm if there is one, before each, so that the path
from block to block is the identity (He et al. 2016, arXiv:1603.05027); so has the output layer. The multiplier ``a`` is
one learnable number per block, 1 where the initializer does not say otherwise; Fixup, ReZero and SkipInit are initial
values of these networks' parameters. Fixup's scalar biases are contained in the biases of the layers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from initbench.models.norms import MAP_NORMS, NORMS

Activation = Callable[[Tensor], Tensor]


class Branch(nn.Module):
    """One block ``x + a·F(x)``."""

    def __init__(self, layers: Sequence[nn.Module], norm: Callable[[], nn.Module], activation: Activation) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(norm() for _ in layers)
        self.multiplier = nn.Parameter(torch.ones(()))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of the shape of ``x``."""
        h = x
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = layer(self.activation(norm(h)))
        return x + self.multiplier * h


class Residual(nn.Module):
    """A first layer, the blocks, the norm, the activation, and the output layer on what is then flattened."""

    def __init__(
        self, first: nn.Module, blocks: Sequence[Branch], norm: nn.Module, output: nn.Module, activation: Activation
    ) -> None:
        super().__init__()
        self.first, self.blocks, self.norm, self.output = first, nn.ModuleList(blocks), norm, output
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]``."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.activation(self.norm(x)).flatten(1))
        return logits


def residual_mlp(
    n_features: int,
    n_classes: int,
    depth: int,
    width: int,
    layers: int,
    activation: Activation,
    norm: str | None = None,
) -> nn.Module:
    """Blocks of ``layers`` linear layers of ``width`` units."""
    normed = partial(NORMS[norm], width)
    blocks = [Branch([nn.Linear(width, width) for _ in range(layers)], normed, activation) for _ in range(depth)]
    return Residual(nn.Linear(n_features, width), blocks, normed(), nn.Linear(width, n_classes), activation)


def residual_cnn(
    sample_shape: tuple[int, int, int],
    n_classes: int,
    depth: int,
    channels: int,
    kernel: int,
    stride: int,
    layers: int,
    activation: Activation,
    norm: str | None = None,
) -> nn.Module:
    """Blocks of ``layers`` convolutions that keep the size; the first layer, a convolution too, has the stride."""
    n_in, height, width = sample_shape
    first, normed = nn.Conv2d(n_in, channels, kernel, stride, kernel // 2), partial(MAP_NORMS[norm], channels)
    blocks = [
        Branch([nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(layers)], normed, activation)
        for _ in range(depth)
    ]
    n_last = channels * -(-height // stride) * -(-width // stride)
    return Residual(first, blocks, normed(), nn.Linear(n_last, n_classes), activation)
