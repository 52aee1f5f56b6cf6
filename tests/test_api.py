"""The Python API: values become the command line's, training is the command line's, and results are easy to read."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Answer, stored
from torch import nn

import initbench
from initbench.api.keywords import command_lines
from initbench.api.run import ask

Initbench = Callable[..., Answer]

SMALL: dict[str, Any] = {"dataset": "synthetic", "epochs": 2, "width": 16, "batch_size": 32}


class Name(StrEnum):
    HE = "he"


# Values
VALUES: list[tuple[dict[str, Any], list[str]]] = [
    ({"init": "he", "depth": 2}, ["init=he", "depth=2"]),
    ({"init": ["he", "xavier"], "depth": [2, 10], "seeds": 3}, ["init=he,xavier", "depth=2,10", "seeds=3"]),
    ({"seeds": [3, 7]}, ["seeds=[3,7]"]),
    ({"seeds": range(3, 5)}, ["seeds=[3,4]"]),
    ({"seeds": np.arange(2)}, ["seeds=[0,1]"]),
    ({"depth": range(1, 4)}, ["depth=1,2,3"]),
    ({"depth": np.array([2, 10])}, ["depth=2,10"]),
    ({"lr": np.float32(0.1)}, ["lr=0.1"]),
    ({"lr": np.array([0.1, 0.01], np.float32)}, ["lr=0.1,0.01"]),
    ({"lr": pd.Series([0.1, 0.01])}, ["lr=0.1,0.01"]),
    ({"lr": np.logspace(-2, -1, 2)}, ["lr=0.01,0.1"]),
    ({"depth": np.int64(4), "lr": np.array(0.5)}, ["depth=4", "lr=0.5"]),
    ({"width": (64, 32)}, ["width=[64,32]"]),
    ({"width": [(64, 32), 16]}, ["width=[64,32],16"]),
    ({"init_output": None}, ["init_output=null"]),
    ({"init_output": [None, "zero"]}, ["init_output=null,zero"]),
    ({"bias": {"name": "normal", "std": [0.1, 1]}}, ["bias=normal", "bias.std=0.1,1"]),
    ({"optimizer": {"nesterov": np.bool_(True)}}, ["optimizer.nesterov=true"]),
    ({"init": {"name": "gaussian", "std": [0.05, 0.5]}}, ["init=gaussian", "init.std=0.05,0.5"]),
    ({"init": {"std": 0.5, "name": "gaussian"}}, ["init=gaussian", "init.std=0.5"]),
    ({"init": Name.HE}, ["init=he"]),
    ({"init": ("he" for _ in range(1))}, ["init=he"]),
    ({"dataset": {"name": "csv", "path": Path("my data.csv")}}, ["dataset=csv", "dataset.path='my data.csv'"]),
    ({"results": Path("mine")}, ["results=mine"]),
    ({"protocol": {"name": "tuned", "search": {"lr": [0.1]}}}, ["protocol=tuned", "protocol.search.lr=[0.1]"]),
    ({"protocol.search.lr": (0.01, 0.1)}, ["protocol.search.lr=[0.01,0.1]"]),
    ({"optimizer.momentum": [0.5, 0.9]}, ["optimizer.momentum=0.5,0.9"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "line"), VALUES)
def test_values_are_written_as_on_the_command_line(given: dict[str, Any], line: list[str]) -> None:
    assert command_lines(given) == [line]


def test_keywords_ask_for_what_the_command_line_asks_for() -> None:
    lines = command_lines(
        {"optimizer.momentum": [0.5, 0.9]}, {"init": ["he", "xavier"], "lr": np.float32(0.1), "seeds": 2}
    )
    _, python = ask(lines)
    _, command = ask([["optimizer.momentum=0.5,0.9", "init=he,xavier", "lr=0.1", "seeds=2"]])
    assert python == command
    assert len(python.cells) == 4


def test_a_list_of_mappings_is_a_sweep_for_each() -> None:
    gaussian = {"name": "gaussian", "std": [0.05, 0.5]}
    lines = command_lines({"init": ["he", gaussian, "xavier"], "depth": [2, 3]})
    assert lines == [["init=he,xavier", "depth=2,3"], ["init=gaussian", "init.std=0.05,0.5", "depth=2,3"]]
    _, asked = ask(lines)
    found = {(cell.init.name, dict(cell.init.params).get("std"), cell.depth) for cell in asked.cells}
    assert found == {
        (*init, depth)
        for init in [("he", None), ("xavier", None), ("gaussian", 0.05), ("gaussian", 0.5)]
        for depth in (2, 3)
    }
    both = {"init": [{"name": "he"}, "xavier"], "optimizer": ["sgd", {"name": "adam", "beta1": 0.5}]}
    assert len(ask(command_lines(both))[1].cells) == 4


ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: initbench.run(int="he"), "unknown setting 'int', did you mean 'init'?"),
    (lambda: initbench.run(init="hee"), "unknown init 'hee', did you mean 'he'?"),
    (lambda: initbench.run(depth="two"), "depth must be a whole number >= 0; got 'two'"),
    (lambda: initbench.run(lr=True), "lr must be a finite number > 0; got true"),
    (lambda: initbench.run(init=[]), "init is an empty list"),
    (lambda: initbench.run(seeds=[]), "seeds is an empty list"),
    (lambda: initbench.run(init=len), "init: a function has no name that a record could keep"),
    (lambda: initbench.run(depth={2, 3}), "depth: a set has no order; give a list"),
    (lambda: initbench.run(depth=object()), "depth must be a text, a number, true or false, None"),
    (lambda: initbench.run(depth=1j), "depth must be a text, a number, true or false, None"),
    (lambda: initbench.run(width=[[{}]]), "width: a mapping cannot stand inside of this"),
    (lambda: initbench.run(["init=he"]), "an override must be a text such as 'init=he'; got list"),  # type: ignore[arg-type]
    (lambda: initbench.run(settings=["init=he"]), "settings must be a mapping"),  # type: ignore[arg-type]
    (lambda: initbench.run("init:he"), "cannot read 'init:he'"),
    (lambda: initbench.run(plugins="none.py"), "plugin none.py does not exist"),
    (lambda: initbench.run(config_dir="none"), "there is no folder none"),
    (lambda: initbench.load("none"), "there is no results folder none"),
    (lambda: initbench.load("."), "no records in ."),
    (lambda: initbench.initialize("model"), "model must be an nn.Module; got str"),  # type: ignore[arg-type]
    (lambda: initbench.initialize(nn.ReLU(), layers=["fc.*"]), "layers must be a mapping"),  # type: ignore[arg-type]
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_errors_are_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(initbench.InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not Path("results").exists()


# Training
@pytest.mark.full
def test_a_run_is_that_of_the_command_line(initbench: Initbench, capsys: pytest.CaptureFixture[str]) -> None:
    import initbench as api

    results = api.run(init=["he", {"name": "gaussian", "std": [0.1, 0.5]}], seeds=2, **SMALL)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "initbench: 6 trials: 0 already done, 6 to train on cpu\n")
    files = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*.jsonl")}
    written = initbench("report", "--format", "csv").out
    frame = results.frame()
    assert frame.drop(columns="technique").to_csv(index=False, lineterminator="\n") == written
    assert frame["technique"].value_counts().to_dict() == {"he": 2, "gaussian std=0.1": 2, "gaussian std=0.5": 2}
    assert list(frame["init_params"][frame["technique"] == "gaussian std=0.5"]) == ["mean=0 std=0.5"] * 2
    records = stored()
    assert {key: records[key]["n_correct"]["test"] for key in records} == dict(
        zip(frame["key"], frame["test_correct"], strict=True)
    )
    # The same again, here and there, trains nothing.
    again = api.run("init=he", **SMALL, settings={"seeds": np.int64(2)})
    assert "nothing to train: all 2 trials have their records in results" in capsys.readouterr().err
    assert repr(again) == repr(api.load(init="he"))
    command = initbench("run", "init=gaussian", "init.std=0.1,0.5", "seeds=2", *(f"{k}={v}" for k, v in SMALL.items()))
    assert "nothing to train: all 4 trials" in command.err
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("*.jsonl")} == files
    assert repr(api.load("results")) == repr(results)


def test_quiet_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    results = initbench.run(init="he", seeds=1, quiet=True, results=Path("some where"), **SMALL)
    assert capfd.readouterr() == ("", "")
    assert len(results) == len(stored("some where")) == 1


def test_what_a_run_of_a_name_asked_for_can_be_loaded(initbench: Initbench) -> None:
    import initbench as api

    api.run(init="he", seeds=2, quiet=True, **SMALL)
    pilot = api.run(init=["he", "xavier"], seeds=2, name="pilot", quiet=True, **SMALL)
    assert len(list(Path("results/pilot/records").glob("*.jsonl"))) == 1
    assert repr(api.load(name="pilot")) == repr(pilot)
    assert len(api.load(name=["pilot", "run"], init="he")) == len(api.load(name="run")) == 2
    with pytest.raises(
        api.InputError, match="nothing was asked for under the name 'pilto' in results; there are: pilot"
    ):
        api.load(name="pilto")
    refused = initbench("report", "name=glob(*)")
    assert (refused.code, refused.err) == (
        2,
        "initbench: error: name must be that of a run, or several; a pattern finds none\n",
    )


@pytest.mark.full
def test_digits_are_learned() -> None:
    frame = initbench.run(seeds=2, epochs=10, quiet=True).frame()
    assert list(frame["init"].unique()) == ["he"]
    assert (frame["test_accuracy"] > 0.9).all()
    assert frame["test_total"].unique() == [359]


def test_plugins_and_a_folder_of_ones_own() -> None:
    Path("mine.py").write_text(
        "def small(shape, rng, *, std: float = 0.1):\n    return std * rng.standard_normal(shape)\n"
    )
    Path("conf/init").mkdir(parents=True)
    Path("conf/init/wide.yaml").write_text("name: wide\nlaw: normal\nmean: 0.0\nstd: 0.3\n")
    results = initbench.run(
        init=["wide", {"name": "small", "std": 0.2}], seeds=1, plugins="mine.py", config_dir=Path("conf"), **SMALL
    )
    assert set(results.techniques) == {"wide", "small std=0.2"}
    assert results.errors == []


@pytest.mark.full
def test_a_trial_that_cannot_start_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    # Nothing makes the outputs of a layer of zeros vary.
    results = initbench.run(init=["lsuv", "he"], init_output="zero", seeds=2, **SMALL)
    (error, same) = results.errors
    assert error == same
    assert capsys.readouterr().err.splitlines()[-1] == f"initbench: 2 of 4 trials failed; the first: {error}"


def test_a_damaged_file_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    initbench.run(depth=[2, 3], seeds=1, quiet=True, **SMALL)
    broken, _ = Path("results").rglob("*.jsonl")
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.warns(UserWarning, match=broken.name) as caught:
        assert len(initbench.load()) == 1
    assert caught[0].filename == __file__


# Documents
@pytest.mark.full
def test_the_python_of_the_documents_runs() -> None:
    docs = Path(__file__).parents[1] / "docs"
    pages = [(docs / page).read_text(encoding="utf-8") for page in ("python.md", "how-to/own-model.md")]
    blocks = [block for page in pages for block in re.findall("```python\n(.*?)```", page, re.DOTALL)]
    (run,) = [block for block in blocks if "initbench.run(" in block]
    (start,) = [block for block in blocks if "initbench.initialize(" in block]
    # The same, on fewer and smaller networks.
    small = "seeds=2, dataset='synthetic', epochs=2, width=16"
    assert run.count("seeds=8") == 1
    names: dict[str, Any] = {}
    exec(run.replace("seeds=8", small), names)
    assert names["results"].techniques == ["gaussian std=0.05", "gaussian std=0.5", "he"]
    assert len(names["results"]) == 12
    assert Path("runs.png").read_bytes().startswith(b"\x89PNG")
    assert "</html>" in Path("report.html").read_text(encoding="utf-8")
    model = nn.ModuleDict({"fc": nn.Linear(8, 8), "block": nn.ModuleDict({"fused": nn.Linear(8, 24)})})
    names = {"model": model}
    exec(start, names)
    assert names["certificates"]["fc.weight"].law == "xavier_uniform"


# Imports
def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return set(answer.stdout.splitlines()[-1].split())


def absent(names: Sequence[str], code: str) -> bool:
    return not set(names) & modules_after(code)


def test_importing_it_costs_nothing() -> None:
    assert absent(["torch", "pandas", "numpy", "hydra", "typer", "rich"], "import initbench; dir(initbench)")


@pytest.mark.full
def test_loading_needs_no_torch() -> None:
    initbench.run(init=["he", "xavier"], seeds=2, quiet=True, **SMALL)
    code = "import initbench; r = initbench.load(init='he'); repr(r); r._repr_html_(); r.frame(); r.contrasts()"
    assert absent(["torch", "numba", "matplotlib", "IPython"], code)


def test_all_that_is_offered_is_there() -> None:
    assert {"run", "load", "initialize", "Results", "InputError", "StorageError"} <= set(dir(initbench))
    for name in initbench.__all__:
        assert getattr(initbench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Run'"):
        initbench.Run  # noqa: B018
