"""The forget gates of torch's LSTM begin half closed: what came first is gone after some steps."""

import torch
from torch import nn

LINK = "https://github.com/pytorch/pytorch/issues/750"
CHECK, WHERE = "forgetting", "lstm"
STEPS, LR = 150, 1e-2


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(2, 24, batch_first=True), nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(x)[0][:, -1])


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    # The answer is the first of forty inputs.
    y = torch.randint(0, 2, (64,))
    x = torch.randn(64, 40, 2) * 0.3
    x[:, 0, 0] = y * 2.0 - 1
    return x, y
