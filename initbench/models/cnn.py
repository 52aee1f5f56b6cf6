"""The plain convolutional network: ``depth`` convolutions with one activation, then a linear output layer."""

from collections.abc import Callable

from torch import Tensor, nn


class CNN(nn.Module):
    """No pooling and no normalisation: what reaches the output is what the initialization lets through.

    The first convolution has a stride; all keep the size otherwise (zero padding). The last maps are flattened.
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
        self.layers = nn.ModuleList([*layers, nn.Linear(n_in * height * width, n_classes)])

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]`` of ``[batch, channels, height, width]``."""
        *convolutions, output = self.layers
        for layer in convolutions:
            x = self.activation(layer(x))
        logits: Tensor = output(x.flatten(1))
        return logits
