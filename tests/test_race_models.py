"""Races on three unfamiliar models: what they advise holds on fresh seeds in a plain loop, or is no advice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import initbench
from initbench.api.race import OWN, race
from initbench.data import samples
from initbench.settings.compose import compose
from initbench.settings.request import request

MODELS = """
import torch
from torch import nn

def cnn(shape, classes):
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * (height // 4) * (width // 4), classes),
    )

class Text(nn.Module):
    def __init__(self, characters):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(characters, 16), nn.LSTM(16, 32, 2, batch_first=True)
        self.out = nn.Linear(32, characters)

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0][:, -1])

def text(shape, classes):
    return Text(classes)

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.last(torch.relu(self.first(x)))

def tabular(shape, classes):
    return nn.Sequential(nn.Linear(shape[0], 32), *(Block(32) for _ in range(6)), nn.Linear(32, 1))
"""
SEEDS = range(5)


def plainly(build: Callable[..., nn.Module], line: list[str], init: str, lr: float, seed: int) -> float:
    """The validation loss after a loop that is none of ours; its data are."""
    (cell,) = request(compose(line)).cells
    data = samples(cell.dataset)
    is_text, is_number = cell.dataset.source == "text", data.y.dtype.kind == "f"
    x = torch.tensor(data.x.astype(np.int64) if is_text else (data.x - data.mean) / data.std)
    y = torch.tensor(data.y)
    torch.manual_seed(1000 + seed)
    shape = (1, 28, 28) if x.shape[1] == 784 else tuple(x.shape[1:])
    model = build(shape, data.n_classes)
    if init != OWN:
        initbench.initialize(model, init, seed=1000 + seed)
    rule = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    inputs = x if is_text else x.view(-1, *shape)

    def loss(rows: Any) -> torch.Tensor:
        output = model(inputs[rows])
        return (
            nn.functional.mse_loss(output[:, 0], y[rows]) if is_number else nn.functional.cross_entropy(output, y[rows])
        )

    train = torch.tensor(data.train)
    for _ in range(cell.epochs):
        for rows in train[torch.randperm(len(train))].split(cell.batch_size):
            rule.zero_grad()
            loss(rows).backward()
            rule.step()
    model.eval()
    with torch.no_grad():
        return float(loss(torch.tensor(data.val)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cnn", ["dataset=digits", "epochs=4"]),
        ("text", ["dataset=text", "dataset.path=TEXT", "dataset.train=6000", "dataset.val=2000", "epochs=3"]),
        ("tabular", ["dataset=diabetes", "epochs=10", "batch_size=32"]),
    ],
)
def test_what_a_race_advises_holds(tmp_path: Path, name: str, line: list[str]) -> None:
    file = tmp_path / "models.py"
    file.write_text(MODELS)
    # The licence texts and sources of Python are on every machine.
    text = tmp_path / "text.txt"
    text.write_text(
        Path(torch.nn.functional.__file__).read_text(encoding="utf-8").replace("\r", ""),
        encoding="ascii",
        errors="ignore",
    )
    line = [one.replace("TEXT", str(text)) for one in line]
    ended = race(f"{file}:{name}", *line, minutes=10, quiet=True)
    print(ended)
    by_name = {one.name: one for one in ended.runners}
    best = ended.recommended
    if best == OWN or ended.confirmation is None or ended.confirmation.verdict != "higher":
        assert any(words in repr(ended) for words in ("no difference", "nothing to change", "which is worse"))
        return
    made: dict[str, Any] = {}
    exec(MODELS, made)
    losses = {
        init: [plainly(made[name], line, init, by_name[init].lr or 0.1, seed) for seed in SEEDS] for init in (OWN, best)
    }
    print(losses)
    assert np.mean(losses[best]) < np.mean(losses[OWN])
