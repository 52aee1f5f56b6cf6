"""Layers sin(30 (Wx + b)) with torch's own weights instead of U(±√(6/n)/30)."""

import torch
from torch import nn

LINK = "https://github.com/vsitzmann/siren/issues/4"
CHECK, WHERE = "gradient_grows", "layers.0"
STEPS, LR = 200, 1e-3


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = [1, 64, 64, 64, 64]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.out = nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.sin(30 * layer(x))
        return self.out(x)


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.rand(128, 1) * 2 - 1
    return x, torch.sin(9 * x)
