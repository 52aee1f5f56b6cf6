"""Kaiming for a ConvTranspose2d: with torch's fans, the number of outputs is taken for that of inputs."""

import torch
from torch import nn

LINK = "https://github.com/ClementPinard/FlowNetPytorch/issues/19"
CHECK, WHERE = "wrong_fans", "deconv.weight"
STEPS, LR = 40, 1e-3


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 128, 3, padding=1)
        self.deconv, self.flow = nn.ConvTranspose2d(128, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)
        for layer in (self.conv, self.deconv):
            n = layer.weight.shape[1] * layer.kernel_size[0] ** 2
            nn.init.normal_(layer.weight, std=(2 / n) ** 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.flow(torch.relu(self.deconv(torch.relu(self.conv(x)))))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(16, 3, 12, 12)
    return x, x[:, :2] - x[:, 1:]
