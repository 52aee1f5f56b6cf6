"""Flat at 50 % accuracy for days: weights of torch's default in a deep relu net, where the paper has others."""

import torch
from torch import nn

LINK = "https://github.com/pytorch/pytorch/issues/10243"
CHECK, WHERE = "gradient_shrinks", "0"
STEPS, LR = 40, 3e-4


def build() -> nn.Module:
    layers = [layer for _ in range(14) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 2))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(128, 64)
    return x, (x[:, 0] > 0).long()
