"""An embedding is drawn with N(0, 1), here as the head too: hours to find out why the net does not train."""

import torch
from torch import nn

LINK = "https://github.com/pytorch/pytorch/issues/3121"
CHECK, WHERE = "tied_head", "head.weight"
STEPS, LR = 20, 1e-3


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden = nn.Embedding(300, 128), nn.Linear(128, 128)
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 300, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(torch.tanh(self.hidden(self.embed(ids)))))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 300, (16, 32))
    return ids, (ids * 7 + 3) % 300
