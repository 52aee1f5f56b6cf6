"""A module as a user may have written it, for the benchmark of the opponents."""

from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions with batch norm and pooling, and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.output = nn.Linear(32 * 49, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]`` of images of 28x28 pixels."""
        logits: Tensor = self.output(self.features(x).flatten(1))
        return logits


def net(sample_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """What ``model.path=benchmarks/own_module.py:net`` trains."""
    return Net(sample_shape[0], n_classes)
