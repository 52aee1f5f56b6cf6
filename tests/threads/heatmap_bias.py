"""What does the magic number -2.19 mean? Heat maps are nearly all background; the last bias begins there."""

import torch
from torch import nn

LINK = "https://github.com/princeton-vl/CornerNet/issues/13"
CHECK, WHERE = "output_bias", "heat"
STEPS, LR = 15, 1e-3


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.heat = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.heat(torch.relu(self.conv(image)))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randn(8, 3, 24, 24)
    return image, torch.rand(8, 4, 24, 24) < 0.01
