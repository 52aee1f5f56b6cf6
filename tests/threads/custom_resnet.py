"""A custom ResNet-200 without norms: the loss is infinite at iteration 0."""

import torch
from torch import nn

import initbench

LINK = "https://github.com/facebookresearch/detectron2/issues/755"
CHECK, WHERE = "gradient_grows", "blocks.0.conv1"
STEPS, LR = 30, 1e-3


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(torch.relu(self.conv1(x)))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(8) for _ in range(24)))
        self.out = nn.Linear(8, 5)
        initbench.initialize(self, "he_normal")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.blocks(x).mean((2, 3)))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.randint(0, 5, (16,))
    x = torch.randn(16, 8, 8, 8)
    x[torch.arange(16), y] += 2
    return x, y
