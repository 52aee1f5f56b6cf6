"""From a composed cell to the command line and back: the overrides compose the same cell again."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from test_report_command import SWEEPS

from initbench.search import search_of
from initbench.settings.catalogue import Catalogue
from initbench.settings.commandline import overrides, written
from initbench.settings.compose import compose
from initbench.settings.overrides import parse
from initbench.settings.request import request
from initbench.settings.schema import GROUPS, SETTINGS
from initbench.trial import Cell

MORE = {
    "aliases": "init=kaiming,glorot,zeros",
    "gains by name": "init=orthogonal,xavier init.gain=auto,torch activation=relu,tanh",
    "a scale by name": "init=variance_scaling init.scale=auto,2",
    "a kurtosis by name": "init=random_walk activation=tanh,relu",
    "other names": "init=he init.name=mine dataset.name=other",
    "scheme": "init=he init.scheme=rezero model=residual_mlp",
    "laws that learn": "init=lsuv,pretrain_rbm init.base=he_normal,normal,lecun_normal",
    "no epochs": "epochs=null,3 dataset=digits,synthetic",
    "all data": "dataset=synthetic dataset.samples=300 dataset.noise=0.5 dataset.val=0.25 dataset.test=100",
    "a hash": "dataset.sha256=null",
    "a table": "dataset=csv dataset.path='my data.csv' dataset.label='a,b',3,null dataset.header=false,true",
    "odd texts": "dataset=csv dataset.path='it\\'s [1] {2}.csv','2024','null','é: ü','\\\\\\\\','a  b','${depth}x'",
    "softmax regression": "depth=0,1 width=32",
    "images": "init=he,dirac model=cnn,residual_cnn model.channels=8 model.kernel=5 depth=1",
    "no norm": "model.norm=null,none,batch",
    "all numbers": "lr=1e-5,0.30000000000000004,3 warmup=1,0.5",
    "halving": "init=he protocol=tuned protocol.halving=true protocol.seeds=2 protocol.search.lr=0.1",
    "a grid": "init=he protocol=tuned protocol.search.lr=null,[0.1,1] protocol.search.optimizer.momentum=[0,0.9]",
    "all optimizers": "optimizer=glob(*) optimizer.eps=1e-6 optimizer.nesterov=true",
    "a slope from the depth": "activation=tat init=orthogonal depth=5,50 activation.eta=0.8",
    "a slope": "activation=tat activation.negative_slope=0.25",
    "the critical bias": "init=critical bias=null,critical,normal activation=tanh bias.std=0.1",
    "the layers' own": "init=he init_first=he init_first.gain=auto init_output=critical init_output.gain=1",
    "a preset": "experiment=smoke",
    "another preset": "experiment=bias_policy lr=0.3",
}  # fmt: skip


def again(cell: dict[str, Any], catalogue: Catalogue = Catalogue()) -> dict[str, Any]:  # noqa: B008
    (composed,) = compose([f"{key}={value}" for key, value in overrides(cell).items()], catalogue)
    return composed


def typed(cell: dict[str, Any], catalogue: Catalogue = Catalogue()) -> Cell:  # noqa: B008
    (checked,) = request([cell], catalogue).cells
    # What is searched says nothing of a cell.
    search = search_of(checked.protocol)
    return checked.with_values({path: values[0] for path, values in search.grid}) if search else checked


@pytest.mark.full
@pytest.mark.parametrize("sweep", {**SWEEPS, **MORE})
def test_the_overrides_of_a_cell_compose_it_again(sweep: str) -> None:
    cells = compose(_words((SWEEPS | MORE)[sweep]))
    for cell in cells if len(cells) <= 6 else random.Random(0).sample(cells, 6):
        composed = again(cell)
        assert typed(composed) == typed(cell)
        # What was told is told again: the texts are a fixed point.
        assert overrides(composed) == overrides(cell)


def _words(line: str) -> list[str]:
    """Split at the spaces before a KEY=, as texts may have spaces."""
    return re.split(r" (?=[a-z0-9_.]+=)", line)


@pytest.mark.full
def test_any_mixture_of_settings_comes_back() -> None:
    choose = random.Random(1)
    for _ in range(25):
        names = choose.sample(list(SWEEPS), 3)
        words = [word for name in names for word in SWEEPS[name].split() if "glob" not in word]
        try:
            cells = compose(words)
            cell = choose.choice(cells)
            wanted = typed(cell)
        except Exception:
            # Not every mixture is one that trains.
            continue
        assert typed(again(cell)) == wanted


def test_names_come_first_and_only_what_differs_is_said() -> None:
    (cell,) = compose(["init=orthogonal", "init.gain=auto", "depth=10", "dataset.val=0.2", "optimizer.momentum=0.5"])
    assert list(overrides(cell).items()) == [
        ("dataset", "digits"), ("init", "orthogonal"), ("init.gain", "auto"), ("model", "mlp"), ("depth", "10"),
        ("width", "128"), ("activation", "relu"), ("optimizer", "sgd"), ("optimizer.momentum", "0.5"), ("lr", "0.1"),
        ("epochs", "30"), ("batch_size", "128"), ("schedule", "cosine"), ("warmup", "0"),
    ]  # fmt: skip


@pytest.mark.full
def test_an_option_from_a_plugin_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "init" / "deep.yaml").write_text("name: Deep\nlaw: sparse\nk: ${depth}\n")
    (tmp_path / "dataset" / "2024.yaml").write_text(
        "name: 'last year'\nsource: synthetic\nval: 0.2\ntest: 0.2\nstandardize: none\nepochs: 2\n"
    )
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ninit: {gain: 2}\ninit_output: {name: small, law: normal, std: 0.001}\n"
        "sweep: {depth: '1,3'}\n"
    )
    (tmp_path / "law.py").write_text("def mine(shape, rng, *, s: float = 1):\n    return rng.random(shape) * s\n")
    catalogue = Catalogue.of([tmp_path / "law.py"], tmp_path)
    for line in ("init=deep,mine init.s=1,2 depth=3 dataset='2024'", "experiment=own", "init=mine init_first=deep"):
        for cell in compose(line.split(), catalogue):
            assert typed(again(cell, catalogue), catalogue) == typed(cell, catalogue)
    (cell,) = compose(["init=mine", "init.s=2"], catalogue)
    assert {"init": "mine", "init.s": "2"}.items() <= overrides(cell).items()


def test_every_setting_is_told_or_is_of_the_command() -> None:
    (cell,) = compose(["protocol=tuned", "init_first=he", "init_output=he", "bias=zeros"])
    named = overrides(cell)
    of_the_command = {"device", "blas", "timeout", "executor", "results", "experiment", "name"}
    assert set(SETTINGS) - set(named) == {"lr", "seeds", *of_the_command}
    assert [key for key in named if key in SETTINGS] == [name for name in SETTINGS if name in named]
    assert set(GROUPS) <= {*named, "experiment", "executor"}


def test_where_a_data_set_is_looked_for_is_not_told() -> None:
    (cell,) = compose(["dataset=mnist", "dataset.root=/tmp/data"])
    assert overrides(cell)["dataset"] == "mnist"
    assert not [key for key in overrides(cell) if key.startswith("dataset.")]


def test_written_values_are_read_back() -> None:
    letters = "aZ09 _-/.:@+~'\"\\,=[]{}()$%*#é"
    choose = random.Random(2)
    texts = ["".join(choose.choices(letters, k=choose.randint(1, 8))) for _ in range(2000)]
    texts += [
        "null",
        "True",
        "nan",
        "inf",
        "-inf",
        "1",
        "1e5",
        "1_000",
        "0x1",
        ".5",
        "a.b",
        "/x/y.csv",
        "x.py:f",
        "he@a",
    ]
    values: list[Any] = [*texts, None, True, False, 0, -3, 1.5, 1e-300, 0.1 + 0.2, [1, 2.5, "a b"], [], 2**64 - 1]
    for value in values:
        axes = parse([f"key={written(value)}"], {})
        assert axes["key"].values == [value], (value, written(value))
        assert json.dumps(axes["key"].values) == json.dumps([value])
