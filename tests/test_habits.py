"""What people type from habit is answered by what they should have typed; the help names every setting."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from handmade import make_record, publish

from initbench.commands.app import app
from initbench.commands.help import SECTIONS
from initbench.settings.compose import compose
from initbench.settings.schema import SETTINGS
from initbench.version import __version__

Initbench = Callable[..., Answer]

# What is typed, and what is to be written.
HABITS = {
    "run --init he": "write init=he,",
    "run --seeds 10": "write seeds=10,",
    "run --learning-rate 0.1": "write lr=0.1,",
    "run --lr=0.1": "write lr=0.1,",
    "run -i he": "write init=he,",
    "run --format html": "write initbench report --format html",
    "run he": "write init=he",
    "run FashionMNIST": "write dataset=fashion_mnist",
    "run init he": "write init=he",
    "run init = he": "write init=he,",
    "run init= he": "write init=he,",
    "run init:he": "write init=he",
    "run init==he": "write init=he",
    "run init=he, xavier": "write init=he,xavier,",
    "run init=he,xavier, seeds=3": "write init=he,xavier",
    "run init=*": "write 'init=glob(*)'",
    "run init=all": "write 'init=glob(*)'",
    "run activation=swish": "write activation=silu.",
    "run learning_rate=0.1": "write lr=0.1.",
    "run momentum=0.5,0.9": "write optimizer.momentum=0.5,0.9.",
    "run weight_decay=0.1": "write optimizer.weight_decay=0.1.",
    "run norm=batch": "write model.norm=batch.",
    "run gain=2": "write init.gain=2.",
    "run path=wine.csv": "write dataset.path=wine.csv.",
    "run seed=3": "write seeds=3.",
    "run batch=32": "write batch_size=32.",
    "run layers=3": "write depth=3.",
    "run hidden_size=64": "write width=64.",
    "run data=mnist": "write dataset=mnist.",
    "run initializer=he": "write init=he.",
    "run nonlinearity=tanh": "write activation=tanh.",
    "run gpu=true": "write device=cuda.",
    "run schedule=Cosine": "did you mean 'cosine'?",
    "init he": "write initbench run init=he.",
    "init=he seeds=3": "write initbench run init=he seeds=3.",
    "he": "write initbench run init=he.",
    "train init=he": "write initbench run",
    "compare": "write initbench run init=he,xavier seeds=10.",
    "plot": "write initbench report --figures DIR.",
    "runn": "did you mean 'run'?",
    "help runn": "did you mean 'run'?",
    "report he": "write init=he for a filter",
}


@pytest.mark.full
@pytest.mark.parametrize("line", HABITS)
def test_a_habit_is_answered_by_the_right_form(initbench: Initbench, line: str) -> None:
    answer = initbench(*line.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert HABITS[line] in answer.err


def test_names_are_known_in_any_case_and_by_their_aliases() -> None:
    cells = compose(["init=He,Kaiming_Uniform_,GlorotNormal,LeCunNormal,He_Normal@Keras", "activation=ReLU"])
    assert [cell["init"]["name"] for cell in cells] == [
        "he", "he_uniform", "xavier_normal", "lecun_normal", "he_normal@keras",
    ]  # fmt: skip
    assert {cell["activation"]["name"] for cell in cells} == {"relu"}
    (cell,) = compose(["dataset=Fashion-MNIST", "optimizer=AdamW", "model=MLP", "activation=LeakyReLU"])
    assert [cell[key]["name"] for key in ("dataset", "optimizer", "model", "activation")] == [
        "fashion_mnist", "adamw", "mlp", "leaky_relu",
    ]  # fmt: skip


def test_a_plugin_keeps_its_name_whatever_else_is_called_so(initbench: Initbench) -> None:
    Path("mine.py").write_text("def Kaiming(shape, rng):\n    return rng.random(shape)\n")
    shown = initbench("run", "init=Kaiming,kaiming", "--plugin", "mine.py", "--dry-run", "dataset=synthetic")
    assert [word for word in shown.out.split() if word.startswith("init=")] == ["init=Kaiming", "init=he"]


def test_filters_take_names_in_any_case(initbench: Initbench) -> None:
    publish(Path("results/run/records"), [make_record(init, 0, 90) for init in ("he", "xavier")])
    shown = initbench("report", "init=Kaiming", "--format", "markdown")
    assert "| run | he |" in shown.out
    assert "there are records with init: he, xavier" in initbench("report", "init=LeCun").err


@pytest.mark.parametrize(
    ("name", "start"), [("r.html", "<!doctype html>"), ("r.md", "Weight"), ("r.CSV", "dataset,"), ("r.tex", "%")]
)
def test_the_ending_of_a_file_is_its_format(initbench: Initbench, name: str, start: str) -> None:
    publish(Path("results/run/records"), [make_record(init, 0, 90) for init in ("he", "xavier")])
    answer = initbench("report", "--out", name)
    assert (answer.code, answer.out, answer.err) == (0, "", f"initbench: wrote {name}\n")
    asked = initbench("report", "--format", {"r.md": "markdown", "r.tex": "latex"}.get(name, name[2:].lower()))
    assert Path(name).read_text(encoding="utf-8") == asked.out
    assert asked.out


def test_the_version_and_the_help_of_every_command(initbench: Initbench) -> None:
    assert initbench("--version").out == f"initbench {__version__}\n"
    page = initbench("-h")
    assert page.out == initbench("help").out == initbench().out
    names = [command.name for command in app.registered_commands]
    assert sorted(names) == sorted(name for section in SECTIONS.values() for name in section)
    for name in names:
        shown = initbench(name, "-h")
        assert shown.code == 0
        assert f"\n  {name} " in page.out
        assert shown.out == initbench("help", name).out == initbench(name, "--help").out
        assert f"Example:  initbench {name}" in shown.out


def test_the_help_of_run_has_every_setting_with_its_default(initbench: Initbench) -> None:
    shown = " ".join(initbench("help", "run").out.split())
    for name in SETTINGS:
        assert f" {name}= " in shown
    assert "whole number >= 0 (2)" in shown
    assert "constant, cosine, linear (cosine)" in shown


def test_a_filter_that_finds_only_a_part_says_so(initbench: Initbench) -> None:
    publish(Path("results/run/records"), [make_record(init, 0, 90) for init in ("he", "xavier")])
    shown = initbench("report", "init=he,lecun,zero", "--format", "markdown")
    assert shown.code == 0
    assert shown.err == "initbench: no records with init=lecun,zero; the report is on the others\n"
    both = initbench("report", "init=he,Xavier", "--format", "markdown")
    assert both.err == ""
    assert "| run | xavier | he |" in both.out
