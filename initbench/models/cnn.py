"""The plain convolutional network, with or without a normalisation before every activation."""

from collections.abc import Callable

from torch import Tensor, nn

from initbench.models.norms import MAP_NORMS


class CNN(nn.Module):
    """``depth`` convolutions with one activation, then a linear output layer on what is flattened; no pooling.

    The first convolution has a stride; all keep the size otherwise (zero padding). Without a norm what reaches the
    output is what the initialization lets through.
    """

    def __init__(
        self,
        sample_shape: tuple[int, int, int],
        n_classes: int,
        depth: int,
        channels: int,
        kernel: int,
        stride: int,
        activation: Callable[[Tensor], Tensor],
        norm: str | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        n_in, height, width = sample_shape
        layers: list[nn.Module] = []
        for layer in range(depth):
            layers.append(nn.Conv2d(n_in, channels, kernel, stride if layer == 0 else 1, kernel // 2))
            n_in = channels
        if depth:
            height, width = -(-height // stride), -(-width // stride)
        self.norms = nn.ModuleList(MAP_NORMS[norm](channels) for _ in range(depth))
        self.layers = nn.ModuleList([*layers, nn.Linear(n_in * height * width, n_classes)])

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]`` of ``[batch, channels, height, width]``."""
        *convolutions, output = self.layers
        for layer, norm in zip(convolutions, self.norms, strict=True):
            x = self.activation(norm(layer(x)))
        logits: Tensor = output(x.flatten(1))
        return logits
