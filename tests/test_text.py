"""Text as data: the windows, the split, and networks that predict the next character as a plain loop trains them."""

import gzip
import math
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from initbench import records
from initbench.data import load, samples
from initbench.errors import InputError
from initbench.experiment.plan import Trial, plan
from initbench.experiment.start import initial
from initbench.seeding import permutation
from initbench.settings.compose import compose
from initbench.settings.request import request

TEXT = "".join(f"The {n} is {'odd' if n % 2 else 'even'}, and its square is {n * n}. " for n in range(90))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "own.txt"


def trial_of(file: Path, *more: str) -> Trial:
    (trial,) = plan(request(compose(["dataset=text", f"dataset.path='{file}'", "seeds=1", *more])), {}).trials
    return trial


def test_windows_are_the_text(file: Path) -> None:
    spec = trial_of(file, "dataset.context=5").cell.dataset
    arrays = load(spec)
    assert arrays.classes == tuple(sorted(set(TEXT)))
    spelled = ["".join(arrays.classes[code] for code in [*row, y]) for row, y in zip(arrays.x, arrays.y, strict=True)]
    assert spelled == [TEXT[i : i + 6] for i in range(len(TEXT) - 5)]
    parts = samples(spec)
    # In the order of the text: nothing that is tested was trained on.
    assert parts.train.max() < parts.val.min() <= parts.val.max() < parts.test.min()
    assert len(parts.train) + len(parts.val) + len(parts.test) == len(spelled)


def test_a_packed_text_has_the_same_key(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "own.txt.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert trial_of(file).key == trial_of(packed).key
    assert trial_of(file).key != trial_of(file, "dataset.context=15").key


def test_characters_are_those_of_unicode(tmp_path: Path) -> None:
    text = "Größe 大小 😀! " * 40
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    arrays = load(trial_of(tmp_path / "a.txt").cell.dataset)
    assert arrays.classes == tuple(sorted(set(text)))
    assert len(arrays.y) == len(text) - 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00\x01" * 50, "is not a readable text in UTF-8"),
        (b"short", "has 5 characters; windows of dataset.context=16 need 26"),
        (b"a" * 500, "has 1 different characters"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        trial_of(tmp_path / "a.txt")


REFUSED = {
    "dataset=digits model=lstm": "model=lstm needs text, and 'digits' is none",
    "dataset=text model=cnn": "model=cnn needs images",
    "dataset=text init=lsuv": "init 'lsuv' looks at numbers, and 'own' is a text",
    "dataset=text dataset.standardize=feature": "dataset.standardize must be none for text",
    "dataset=text model=lstm depth=0": "model=lstm needs depth >= 1",
    "dataset=text dataset.task=classification": "unknown dataset.task 'classification'",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_does_not_go_with_text_is_one_line(initbench: Callable[..., Any], file: Path, command: str) -> None:
    path = [f"dataset.path={file}"] if "text" in command else []
    answer = initbench("run", *command.split(), *path, "seeds=1")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert REFUSED[command] in answer.err


class Recurrent(nn.Module):
    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.embedding, self.cells = nn.Embedding(n, width), nn.LSTM(width, width, 2, batch_first=True)
        self.output = nn.Linear(width, n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.output(self.cells(self.embedding(x))[0][:, -1])
        return logits


class Dense(nn.Module):
    """Over one-hot characters of mean square 1."""

    def __init__(self, n: int, width: int, context: int) -> None:
        super().__init__()
        self.n = n
        sizes = [n * context, width, width, n]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.one_hot(x, self.n).flatten(1) * math.sqrt(self.n)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        logits: torch.Tensor = self.layers[-1](h)
        return logits


@pytest.mark.full
@pytest.mark.parametrize("model", ["mlp", "lstm"])
def test_bits_per_character_are_those_of_a_plain_loop(initbench: Callable[..., Any], file: Path, model: str) -> None:
    more = ["model=" + model, "width=12", "dataset.context=6", "optimizer=adam", "schedule=constant", "epochs=2"]
    assert initbench("run", "dataset=text", f"dataset.path={file}", *more, "seeds=1").code == 0
    (record,) = records.load([Path("results")]).records.values()
    trial = trial_of(file, *more)
    assert trial.key == record.key
    data = samples(trial.cell.dataset)
    n = data.vocabulary
    net = Recurrent(n, 12) if model == "lstm" else Dense(n, 12, 6)
    net.load_state_dict({name: torch.tensor(values) for name, values in initial(trial).items()})
    x, y = torch.tensor(data.x.astype(np.int64)), torch.tensor(data.y)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for epoch in range(2):
        order = torch.tensor(data.train[permutation(len(data.train), 0, "order", f"epoch.{epoch}")])
        for rows in order.split(128):
            optimizer.zero_grad()
            functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        logits = net(x[data.test])
    bits = functional.cross_entropy(logits, y[data.test]).item() / math.log(2)
    table = pd.read_csv(StringIO(initbench("report", "--format", "csv").out))
    assert table["score"].tolist() == ["bits per character"]
    assert table["test_score"].tolist() == [pytest.approx(bits, rel=1e-4)]
    assert record.n_correct is not None
    assert record.n_correct.test == pytest.approx(int((logits.argmax(1) == y[data.test]).sum()), abs=2)
    # Chance is the entropy of the characters, counted here anew.
    counts = Counter(TEXT[6:][row] for row in data.test.tolist())
    entropy = -sum(k / len(data.test) * math.log2(k / len(data.test)) for k in counts.values())
    assert f"Chance: bits per character {entropy:.4f}" in " ".join(initbench("report").out.split())
    assert initbench("verify", "results").code == 0


@pytest.mark.full
def test_a_users_module_is_given_the_numbers_of_the_characters(
    initbench: Callable[..., Any], file: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Sequential):\n"
        "    def forward(self, x):\n        assert x.dtype == torch.int64\n        return super().forward(x)\n\n\n"
        "def net(shape, n):\n    assert shape == (16,)\n"
        "    return Net(nn.Embedding(n, 8), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8 * 16, n))\n"
    )
    text = ["dataset=text", f"dataset.path={file}", "optimizer=adam"]
    assert initbench("run", *text, "model=module", f"model.path={tmp_path / 'own.py'}:net", "seeds=2").code == 0
    found = records.load([Path("results")]).records.values()
    assert [record.outcome for record in found] == ["ok", "ok"]


GRU = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.embedding, self.cells = nn.Embedding(n, 8), nn.GRU(8, 8, batch_first=True, bidirectional=AHEAD)
        self.output = nn.Linear(16 if AHEAD else 8, n)

    def forward(self, x):
        states, last = self.cells(self.embedding(x))
        return self.output(states), last

net = lambda shape, n: Net(n)
"""


@pytest.mark.full
def test_a_prediction_after_every_character_is_trained_and_scored(
    initbench: Callable[..., Any], file: Path, tmp_path: Path
) -> None:
    (tmp_path / "all.py").write_text(GRU.replace("AHEAD", "False"))
    more = ["optimizer=adam", "schedule=constant", "epochs=1", "dataset.context=6", "model=module"]
    more.append(f"model.path={tmp_path / 'all.py'}:net")
    assert initbench("run", "dataset=text", f"dataset.path={file}", *more, "seeds=1").code == 0
    (record,) = records.load([Path("results")]).records.values()
    trial = trial_of(file, *more)
    assert trial.key == record.key
    data, made = samples(trial.cell.dataset), {}
    exec(GRU.replace("AHEAD", "False"), made)
    net = made["net"]((6,), data.vocabulary)
    net.load_state_dict({name: torch.tensor(values) for name, values in initial(trial).items()})
    x = torch.tensor(data.x.astype(np.int64))
    y = torch.cat([x[:, 1:], torch.tensor(data.y)[:, None]], 1)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    order = torch.tensor(data.train[permutation(len(data.train), 0, "order", "epoch.0")])
    for rows in order.split(128):
        optimizer.zero_grad()
        functional.cross_entropy(net(x[rows])[0].transpose(1, 2), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = net(x[data.test])[0]
    assert record.loss is not None
    assert record.n_correct is not None
    loss = functional.cross_entropy(logits.transpose(1, 2), y[data.test]).item()
    assert record.loss.test == pytest.approx(loss, rel=1e-4)
    assert record.n_correct.test == pytest.approx(int((logits[:, -1].argmax(1) == y[data.test][:, -1]).sum()), abs=2)
    assert initbench("verify", "results").code == 0


def test_who_sees_what_comes_is_refused(initbench: Callable[..., Any], file: Path, tmp_path: Path) -> None:
    (tmp_path / "ahead.py").write_text(GRU.replace("AHEAD", "True"))
    path = f"model.path={tmp_path / 'ahead.py'}:net"
    done = initbench("run", "dataset=text", f"dataset.path={file}", "model=module", path, "seeds=1")
    assert done.code == 2
    assert "changes what it predicts after a character with those that come later" in done.err
    assert done.err.count("\n") == 1
