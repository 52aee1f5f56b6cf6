"""A parameter of torch.empty that no code writes: sometimes it trains, sometimes all is NaN."""

import torch
from torch import nn

LINK = "https://github.com/Lightning-AI/pytorch-lightning/issues/17627"
CHECK, WHERE = "never_written", "attention"


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.attention = nn.Linear(16, 32), nn.Parameter(torch.empty(32, 32))
        self.out = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.project(x)) @ self.attention)


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 16)
    return x, x[:, :4].argmax(1)
