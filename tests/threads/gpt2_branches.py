"""GPT-2's factor 1/√(2 · layers) for what ends a branch, matched at the wrong level and never applied."""

import torch
from torch import nn

LINK = "https://github.com/huggingface/transformers/issues/47458"
CHECK, WHERE = "half_gpt2", "h.0.mlp.c_proj.weight"


class MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(torch.nn.functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.ln(x))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.h = nn.Embedding(65, 64), nn.ModuleList(Block(64) for _ in range(8))
        self.ln_f, self.lm_head = nn.LayerNorm(64), nn.Linear(64, 65, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


build = Model


def data() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 65, (8, 16))
    return ids, (ids * 7 + 3) % 65
