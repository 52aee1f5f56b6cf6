"""A model of a user's own: a file with a function that returns an ``nn.Module`` of nearly every kind of layer."""

from pathlib import Path

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, 4, 2)
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(2, 6)
        self.shift = nn.Parameter(torch.randn(6, 1, 1))
        self.frozen = nn.Parameter(torch.randn(6), requires_grad=False)
        self.output = nn.Linear(6, classes)
        self.register_buffer("scale", torch.full((), 0.5))

    def forward(self, x):
        h = torch.tanh(self.norm(self.grouped(torch.tanh(self.up(x))))) + self.shift
        return self.output(self.scale * h.mean((2, 3)) + self.frozen)

def net(sample_shape, n_classes):
    return Net(sample_shape[0], n_classes)
"""


def own(folder: Path, text: str = OWN) -> str:
    """A user's file, as ``model.path`` names it."""
    (folder / "own.py").write_text(text)
    return f"{folder / 'own.py'}:net"
