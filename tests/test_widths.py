"""No name, command or number is broken or cut, however wide the window; without one a row is a line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from handmade import make_record, publish

from initbench.commands.app import app

Initbench = Callable[..., Answer]

COMMANDS = [
    "help", *(f"help {command.name}" for command in app.registered_commands),
    "list", "list initializers", "list frameworks", "list settings", "list activations", "list optimizers",
    "list delta_orthogonal", "list tat", "list csv", "list d4",
    "report", "report --view all", "report --baseline he --view pairs", "report --by lr", "run --dry-run",
    "run --dry-run init=he,sparse dataset=mnist", "run --config", "doctor",
    "probe init=he,delta_orthogonal dataset=synthetic depth=3 width=8 seeds=2",
]  # fmt: skip


def words(text: str) -> set[str]:
    """What people copy: names, options, commands' parts, numbers; punctuation of sentences is no part of them."""
    return {word.strip(",.;:()'\"") for word in re.split(r"[\s─│]+", text)} - {""}


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


@pytest.mark.full
@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("results")
def test_no_word_is_broken_in_a_narrow_window(initbench: Initbench, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    shown = {}
    for columns in (60, 80, 120, 200, 10_000):
        monkeypatch.setenv("COLUMNS", str(columns))
        answer = initbench(*line.split())
        assert answer.code == 0, answer.err
        shown[columns] = answer.out
    wide = words(shown.pop(10_000))
    for columns, text in shown.items():
        # What a narrow window leaves out is said; speeds are measured anew each time.
        there = words(text.split("Left out in a narrow window")[0])
        broken = {word for word in there - wide if "doctor" not in line and not word.startswith("Left")}
        assert not broken, (columns, broken)
        if "Left out" not in text and "doctor" not in line:
            # Where a row is told line by line, its name needs no heading.
            assert wide - {"parameter"} <= there, (columns, wide - there)


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
