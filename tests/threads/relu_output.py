"""A relu behind the last layer of a regression: with an unlucky start the answer is 0 for everything, for ever."""

import torch
from torch import nn

LINK = "https://github.com/ProteomicsML/ProteomicsML/pull/203"
CHECK, WHERE = "constant_output", "out"
STEPS, LR = 100, 1e-2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(10, 32), nn.Linear(32, 1)
        # The unlucky start.
        self.out.weight.data.abs_().neg_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.out(torch.relu(self.hidden(x))))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 10)
    return x, 5 + x[:, :1]
