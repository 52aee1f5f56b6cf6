"""No name, command or number is broken or cut, however wide the window; without one a row is a line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from handmade import make_record, publish

from initbench.commands.app import app
from initbench.commands.listing import GROUPS, certificates
from initbench.render.terminal import to_text
from initbench.settings.catalogue import Catalogue

Initbench = Callable[..., Answer]

COMMANDS = [
    "help", *(f"help {command.name}" for command in app.registered_commands),
    "list", *(f"list {group}" for group in (*GROUPS, "settings", "schemes")),
    "list delta_orthogonal", "list tat", "list csv", "list d4", "list he --format markdown",
    "report", "report --view all", "report --baseline he --view pairs", "report --by lr", "report results results",
    "run --dry-run", "run --dry-run init=he,sparse dataset=mnist", "run --config", "reproduce --dry-run",
    "run init=he,delta_orthogonal dataset=synthetic depth=1 width=8 epochs=2 seeds=3 batch_size=32",
    "run protocol=tuned init=he dataset=synthetic depth=1 width=8 epochs=2 seeds=2 batch_size=32 --dry-run",
    "doctor", "doctor results", "status",
    "probe init=he,delta_orthogonal dataset=synthetic depth=3 width=8 seeds=2", "probe --dry-run depth=2,3",
    "diagnose model.py:build --shape 64",
]  # fmt: skip
WIDTHS = (60, 80, 120, 200)

MODEL = """
from torch import nn


def build():
    hidden = (layer for _ in range(4) for layer in (nn.Linear(32, 32), nn.Tanh()))
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), *hidden)
    for tensor in model.parameters():
        nn.init.constant_(tensor, 0.0123456)
    return model
"""


def words(text: str) -> set[str]:
    """What people copy: names, options, commands' parts, numbers; punctuation of sentences is no part of them."""
    return {word.strip(",.;:()'\"") for word in re.split(r"[\s─│]+", text)} - {""}


def check(shown: Callable[[int], str], measured_anew: bool = False) -> None:
    """Every word that a window shows is one of the widest, and of these only those are missing that it says."""
    wide = words(shown(10_000))
    for columns in WIDTHS:
        text = shown(columns)
        # What a narrow window leaves out is said; speeds are measured anew each time.
        broken = {word for word in words(text.split("Left out in a narrow window")[0]) - wide if word != "Left"}
        assert not broken or measured_anew, (columns, broken)
        if "Left out" not in text and not measured_anew:
            # Where a row is told line by line, its name needs no heading.
            assert wide - HEADINGS <= words(text), (columns, wide - words(text))


# Of the first column of a table that is told line by line.
HEADINGS = {"parameter", "technique", "setting", "initializer", "run", "claim", "experiment"}


@pytest.fixture
def results() -> None:
    publish(
        Path("results/run/records"),
        [
            make_record(init, seed, 90 + seed, lr=lr)
            for init in ("he", "torch_default", "delta_orthogonal")
            for seed in range(8)
            for lr in (0.1, 0.0123456)
        ],
    )
    Path("model.py").write_text(MODEL, encoding="utf-8")


@pytest.mark.full
@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("results")
def test_no_word_is_broken_in_a_narrow_window(initbench: Initbench, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    def shown(columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        answer = initbench(*line.split())
        assert answer.code in ((0, 3) if line.startswith("diagnose") else (0,)), answer.err
        return answer.out

    check(shown, measured_anew="doctor" in line)


@pytest.mark.full
def test_certificates_are_whole_in_every_window() -> None:
    blocks, faults = certificates((), Catalogue())
    assert not faults
    check(lambda columns: to_text(blocks, columns))


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("line", ["pack results/run", "unpack results/run", "verify results dataset=synthetic"])
def test_what_is_said_in_lines_is_the_same_in_every_window(
    initbench: Initbench, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    said = set()
    for columns in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(columns))
        initbench("pack" if line.startswith("unpack") else "unpack", "results/run")
        answer = initbench(*line.split())
        said.add(answer.out + answer.err)
    assert len(said) == 1
    assert "results" in said.pop() or line.startswith("verify")


@pytest.mark.full
def test_without_a_window_a_row_is_a_line(initbench: Initbench, monkeypatch: pytest.MonkeyPatch, results: None) -> None:
    monkeypatch.delenv("COLUMNS")
    lines = initbench("list", "initializers").out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["delta_orthogonal"]]
    assert "arXiv:1806.05393" in line
    heads = [line.split() for line in initbench("report").out.splitlines() if line.startswith("  run ")]
    assert heads == [["run", "he", "delta_orthogonal", "torch_default"]] * 2


def test_a_name_is_shown_in_full(initbench: Initbench) -> None:
    shown = " ".join(initbench("list", "Kaiming").out.split())
    for told in (
        "init=he", "also kaiming", "N(0, gain² / fan)", "https://arxiv.org/abs/1502.01852", "init.gain", "fan_geo_avg",
        "standard deviation 0.05051", "initbench run init=he,xavier",
    ):  # fmt: skip
        assert told in shown
    assert "has none; use model=residual_mlp" in " ".join(initbench("list", "fixup").out.split())
    both = initbench("list", "identity").out
    assert "init=identity" in both
    assert "activation=identity" in both
    assert initbench("list", "hee").err.startswith("initbench: error: unknown name or group 'hee', did you mean 'he'?")


def test_a_list_as_json_has_everything(initbench: Initbench) -> None:
    listed = json.loads(initbench("list", "initializers", "--format", "json").out)["initializers"]
    (he,) = [row for row in listed if row["init"] == "he"]
    assert (he["also"], he["source"]) == ("kaiming", "He et al. 2015, arXiv:1502.01852")
    (entry,) = json.loads(initbench("list", "he", "--format", "json").out)
    assert entry["parameters"][0]["parameter"] == "init.gain"
    assert set(json.loads(initbench("list", "--format", "json").out)) >= {"initializers", "settings", "schemes"}
    assert initbench("list", "activations", "--format", "markdown").out.startswith("| activation | formula |")
