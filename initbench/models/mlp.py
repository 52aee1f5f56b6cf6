"""The multilayer perceptron as a module, with or without a normalisation before every activation."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from initbench.models.norms import NORMS


class Perceptron(nn.Module):
    """``len(width)`` hidden layers with one activation, then a linear output layer.

    The layers have the same names whatever the norm, so that at equal seed they start with the same weights.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        width: Sequence[int],
        norm: str | None,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        sizes = [n_features, *width, n_classes]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))
        self.norms = nn.ModuleList(NORMS[norm](units) for units in width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """The logits ``[batch, classes]`` of ``[batch, features]``."""
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = self.activation(norm(layer(x)))
        logits: Tensor = self.layers[-1](x)
        return logits
