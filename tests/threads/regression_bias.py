"""The last bias at the mean of the targets: 50 epochs instead of 300."""

import torch
from torch import nn

LINK = "https://github.com/keras-team/keras/issues/20357"
CHECK, WHERE = "output_bias", "2"
STEPS, LR = 100, 1e-2


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(128, 6)
    return x, 50 + x[:, :1] * x[:, 1:2]
