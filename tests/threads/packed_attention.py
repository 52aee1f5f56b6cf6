"""Query, key and value in one parameter: xavier of a 3E x E matrix has half the variance of that of three."""

import torch
from torch import nn

LINK = "https://github.com/pytorch/pytorch/issues/166378"
CHECK, WHERE = "wrong_fans", "attention.in_proj_weight"


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(64, 4, batch_first=True), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.attention(x, x, x)[0].mean(1))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(8, 10, 64), torch.randint(0, 5, (8,))
