"""``initbench diagnose``: a model of a file, the data, the formats, the exit code, and one line for what is wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from initbench.api.subject import Asked, diagnosed, subject
from initbench.diagnosis.document import layers_of, text
from initbench.errors import InputError

MODEL = """
import torch
from torch import nn

def small(width=32):
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    nn.init.normal_(model[2].weight)
    return model

def healthy(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], 32), nn.ReLU(), nn.Linear(32, classes))

def batch():
    return 3 * torch.randn(16, 64), torch.randint(0, 10, (16,))

def loss(output, target):
    return nn.functional.cross_entropy(output, target, label_smoothing=0.1)
"""


def test_the_command(tmp_path: Path, initbench: Any) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    done = initbench("diagnose", f"{file}:small")
    assert done.code == 3, done.err
    assert "head_scale" in done.out
    assert "torch.nn.init.normal_(model[2].weight, std=0.177)" in done.out
    found = diagnosed(Asked(f"{file}:small"))
    assert found.layers is not None
    as_json = json.loads(text(found.findings, False, "json", "small"))
    assert [one["where"] for one in as_json if one["severity"] == "wrong"] == ["2.weight"]
    page = text(found.findings, False, "html", "small", layers_of(found.layers.table(), found.layers.layers))
    assert "torch.nn.init.normal_(model[2].weight" in page
    # The sizes by layer, as a picture and as a table.
    assert "<svg" in page
    assert "backward rms" in page
    done = initbench("diagnose", f"{file}:healthy", "dataset=digits", "--optimizer", "AdamW", "--loss", f"{file}:loss")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Nothing is wrong")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}:nix"], "has no function 'nix'; it has small, healthy, batch, loss"),
        (["{}"], "must be FILE.py:FUNCTION"),
        (["{}:healthy"], "needs shape, classes"),
        (["{}:small", "dataset=nix"], "unknown dataset 'nix'"),
        (["{}:small", "--shape", "3x3"], "--shape must be whole numbers"),
        (["{}:small", "--shape", "64", "dataset=digits"], "give one of"),
        (["{}:small", "--optimizer", "Adamy"], "unknown optimizer 'adamy', did you mean 'adam"),
        (["nowhere/own.py:f"], "cannot be read"),
        (["no.such.package:f"], "ModuleNotFoundError"),
        (["json:dumps"], "what shall json:dumps be called with?"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    model, *more = [argument.format(file) for argument in arguments]
    options = {more[0].removeprefix("--"): more[1]} if more and more[0].startswith("--") else {}
    settings = tuple(one for one in more if "=" in one)
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        subject(Asked(model, settings, **options))
    assert "\n" not in str(raised.value)


@pytest.mark.full
@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("os._exit(3)", "own.py:made ended the process that ran it: exited with code 3"),
        ("print('hello') or nn.Linear(64, 3)", ""),
    ],
)
def test_what_a_model_does_to_its_process_is_one_line(tmp_path: Path, initbench: Any, made: str, said: str) -> None:
    (tmp_path / "own.py").write_text(f"import os\n{MODEL}\ndef made():\n    return {made}\n")
    done = initbench("diagnose", "own.py:made", "--shape", "64")
    assert done.code == (2 if said else 0)
    assert done.err == (f"initbench: error: {said}\n" if said else "")
    assert "hello" not in done.out


OTHERS = """
from torch import nn

def rows(shape, outputs):
    return nn.Sequential(nn.Linear(shape[0], 32), nn.ReLU(), nn.Linear(32, outputs))

class Text(nn.Module):
    def __init__(self, characters):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(characters, 8), nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, characters)

    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0][:, -1])

def text(shape, outputs):
    return Text(outputs)

class Every(Text):
    def forward(self, x):
        return self.out(self.lstm(self.embed(x))[0])

def every(shape, outputs):
    return Every(outputs)
"""


@pytest.mark.parametrize(
    ("function", "settings", "found"),
    [
        ("rows", ["dataset=diabetes"], set()),
        ("every", ["dataset=text", "dataset.path=text.txt", "dataset.context=32"], {"forgetting"}),
        ("rows", ["dataset=breast_cancer", "dataset.task=binary"], set()),
        ("text", ["dataset=text", "dataset.path=text.txt", "dataset.context=32"], {"forgetting"}),
    ],
)
def test_other_tasks(tmp_path: Path, function: str, settings: list[str], found: set[str]) -> None:
    (tmp_path / "own.py").write_text(OTHERS)
    (tmp_path / "text.txt").write_text("a model and what it is trained on, over and over again. " * 40)
    findings = diagnosed(Asked(f"own.py:{function}", tuple(settings))).findings
    assert {one.check for one in findings} == found
