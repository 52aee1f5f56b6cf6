"""One orthogonal matrix over the four gates of an LSTM, where each gate should have one of its own."""

import torch
from torch import nn

LINK = "https://github.com/allenai/allennlp/issues/200"
CHECK, WHERE = "wrong_fans", "lstm.weight_hh_l0"


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 3)
        nn.init.orthogonal_(self.lstm.weight_hh_l0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(x)[0][:, -1])


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(16, 12, 8), torch.randint(0, 3, (16,))
