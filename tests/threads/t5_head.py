"""The head of T5 is drawn with variance 1: the loss begins at 110."""

import torch
from torch import nn

LINK = "https://github.com/huggingface/transformers/pull/26441"
CHECK, WHERE = "head_scale", "lm_head.weight"
STEPS, LR = 60, 1e-3


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared, self.norm = nn.Embedding(400, 256), nn.LayerNorm(256)
        self.lm_head = nn.Linear(256, 400, bias=False)
        nn.init.normal_(self.lm_head.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.lm_head(self.norm(self.shared(ids)))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 400, (16, 32))
    return ids, (ids * 7 + 3) % 400
