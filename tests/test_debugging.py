"""What goes wrong is one line; with ``--debug`` it is the whole traceback, and what is done is logged."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from initbench import records
from initbench.commands.app import app
from initbench.commands.debugging import debugging
from initbench.seeding import stream

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=2", "width=16", "batch_size=32", "seeds=1")

LAW = """
def broken(shape, rng):
    return shape[0] / helper(shape)

def helper(shape):
    raise RuntimeError("no luck " * 100)
"""
MODULE = """
import torch

def network(sample, n_classes):
    return torch.nn.Linear(sample[0], n_classes)(torch.zeros(1))
"""

# What a user wrote and what he asked for, and the line of his that failed.
MISTAKES = [
    ("mine.py", LAW, ("run", "init=broken", "--plugin", "mine.py", *SMALL), 'raise RuntimeError("no luck " * 100)'),
    ("mine.py", LAW, ("list", "--check", "--plugin", "mine.py"), 'raise RuntimeError("no luck " * 100)'),
    ("mine.py", "x = 1 / 0", ("run", "--plugin", "mine.py", *SMALL), "x = 1 / 0"),
    ("net.py", MODULE, ("run", "model=module", "model.path=net.py:network", *SMALL), "(sample[0], n_classes)(torch"),
    ("a.csv", "a,b\n1,2\n1,2,3,4\n", ("run", "dataset=csv", "dataset.path=a.csv"), "ParserError"),
]


def recorded_errors(folder: str) -> list[str]:
    return [record.error for record in records.load([Path(folder)]).records.values() if record.error]


@pytest.mark.full
@pytest.mark.parametrize(
    ("file", "text", "line", "cause"), MISTAKES, ids=[" ".join(line[:3]) for *_, line, _ in MISTAKES]
)
def test_debug_shows_the_line_that_failed(
    initbench: Initbench, file: str, text: str, line: tuple[str, ...], cause: str
) -> None:
    Path(file).write_text(text)
    short = initbench(*line)
    assert short.code == 2
    told = short.err.splitlines()[-1]
    assert told.startswith("initbench: error: ")
    assert "Traceback" not in short.err
    whole = initbench(*line, "--debug")
    assert whole.code == 2
    assert whole.err.splitlines()[-1] == told
    assert cause in whole.err.partition("Traceback (most recent call last)")[2]


@pytest.mark.full
def test_nothing_is_cut_when_debugging(initbench: Initbench) -> None:
    Path("mine.py").write_text(LAW)
    command = ("run", "init=broken", "--plugin", "mine.py", *SMALL)
    assert len(initbench(*command).err) < 400
    assert "no luck " * 100 in initbench(*command, "--debug").err


@pytest.mark.full
def test_a_trial_that_cannot_start_is_explained(initbench: Initbench) -> None:
    Path("mine.py").write_text(
        "def picky(shape, rng):\n    draws = rng.random(shape)\n"
        f"    bound = 1 / float(draws[0, 0] != {stream(1, 'init', 'layers.0.weight').random()})\n    return draws\n"
    )
    # The check before training draws of the first seed only.
    command = ("run", "init=picky", "--plugin", "mine.py", *SMALL[:-1], "seeds=2")
    quiet = initbench(*command, "results=quiet")
    debug = initbench(*command, "results=debug", "--debug")
    assert (quiet.code, debug.code) == (3, 3)
    assert "bound = 1 / float(" not in quiet.err
    assert "bound = 1 / float(" in debug.err
    # What is recorded does not depend on who looks.
    assert recorded_errors("debug") == recorded_errors("quiet")


def test_the_environment_asks_for_it_too(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INITBENCH_DEBUG", "1")
    assert "Traceback" in initbench("run", "depth=x").err
    monkeypatch.setenv("INITBENCH_DEBUG", "0")
    assert "Traceback" not in initbench("run", "depth=x").err
    assert debugging(["run", "--debug"])
    assert not debugging(["run"])


def test_every_command_has_the_option(initbench: Initbench) -> None:
    assert len(app.registered_commands) >= 4
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__
        assert "--debug" in initbench(name, "--help").out, name


def test_what_is_done_is_logged(initbench: Initbench) -> None:
    answer = initbench("run", *SMALL, "dataset.samples=123", "--debug")
    (file,) = Path("results").rglob("*.jsonl")
    for told in (
        "initbench.settings.compose: 1 cells of dataset=synthetic",
        "initbench.experiment.plan: 1 trials of 1 cells, 1 to do",
        "initbench.data.spec: read synthetic",
        "initbench.experiment.executors.local: 1 trials to train",
        "engine: compiled, products by ",
        f"published {file}: 1 records",
    ):
        assert told in answer.err
    assert "Traceback" not in answer.err
    assert initbench("run", *SMALL, "dataset.samples=123", "results=other").out == answer.out


def test_the_log_is_silent_unless_asked_for(initbench: Initbench, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("initbench")
    before = (logger.level, list(logger.handlers), logger.propagate)
    assert "initbench.experiment" not in initbench("run", *SMALL).err
    initbench("run", *SMALL, "--debug")
    assert (logger.level, list(logger.handlers), logger.propagate) == before
    # A program that uses the library has the records of its own logging.
    with caplog.at_level(logging.INFO, "initbench"):
        initbench("run", "--dry-run", *SMALL)
    assert "initbench.experiment.plan" in {record.name for record in caplog.records}


def test_a_warning_of_ours_reaches_nobody_who_did_not_ask() -> None:
    code = "import logging, initbench; logging.getLogger('initbench.any').warning('heard')"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr == ""
