"""A race: its error is held, the same race again trains nothing, and its advice is what an independent loop sees."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initbench.analysis.statistics import sign_flip_p
from initbench.api.own_data import keep
from initbench.api.race import OWN, race
from initbench.api.run import ask
from initbench.data import load
from initbench.errors import InputError
from initbench.racing.document import Confirmation, in_race, recommended
from initbench.racing.rounds import ROUNDS, Runner, better_p, leaving, seeds_needed
from initbench.racing.screen import untrainable
from initbench.settings.compose import compose
from initbench.settings.request import request

MODEL = """
import torch
from torch import nn

def tiny(shape, classes):
    # Weights a hundred times too small, in a net as deep as that matters.
    layers = [layer for _ in range(5) for layer in (nn.Linear(32, 32), nn.ReLU())]
    features = shape[0] * shape[1] * shape[2]
    model = nn.Sequential(nn.Flatten(), nn.Linear(features, 32), nn.ReLU(), *layers, nn.Linear(32, classes))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.002)
    return model
"""


@pytest.mark.full
def test_nobody_leaves_by_chance() -> None:
    # Seven equal candidates, noise by seed that all share and noise of their own: in 300 races the error is at most
    # 5 %, whose own standard error is 1.3 %.
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(7)]
    wrong = 0
    for _ in range(300):
        scores = 0.8 + 0.02 * rng.standard_normal(ROUNDS[-1]) + 0.01 * rng.standard_normal((7, ROUNDS[-1]))
        wrong += any(leaving({n: scores[i, :k] for i, n in enumerate(names)}, 0.05, 7) for k in ROUNDS)
    assert wrong / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.full
def test_copies_of_one_law_have_no_winner() -> None:
    # The whole race, with its last word on fresh seeds: own is beaten if it left, or by the sign-flip test of ten.
    rng = np.random.default_rng(3)
    names, won = [OWN, *(f"c{i}" for i in range(6))], 0
    for _ in range(200):
        scores = 0.8 + 0.02 * rng.standard_normal(ROUNDS[-1]) + 0.01 * rng.standard_normal((7, ROUNDS[-1]))
        runners = {name: Runner(name, scores=tuple(row)) for name, row in zip(names, scores, strict=True)}
        for k in ROUNDS:
            left = {name: one.scores[:k] for name, one in runners.items() if one.exit is None}
            for name, why in leaving(left, 0.05, 7).items():
                runners[name] = replace(runners[name], exit=why)
        best, confirmation = in_race([*runners.values()])[0], None
        if best.name != OWN:
            fresh = 0.01 * (rng.standard_normal(10) - rng.standard_normal(10))
            verdict = (
                "higher"
                if sign_flip_p(np.rint(1e4 * fresh).astype(np.int64)) <= 0.05 and fresh.mean() > 0
                else "inseparable"
            )
            confirmation = Confirmation(10, float(fresh.mean()), 0.0, 0.0, verdict)
        won += recommended([*runners.values()], OWN, confirmation) != OWN
    assert won / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_who_is_worse_leaves_and_is_held_against_the_better_one() -> None:
    rng = np.random.default_rng(1)
    good, bad = 0.9 + 0.005 * rng.standard_normal(5), 0.1 + 0.005 * rng.standard_normal(5)
    left = leaving({"good": good, "bad": bad, "fails": np.zeros(5)}, 0.05, 3)
    assert set(left) == {"bad", "fails"}
    assert left["fails"].against in ("good", "bad")
    # Scipy's own paired test, without the floor of the resolution.
    from scipy import stats

    assert better_p(good, bad, 0.0) == pytest.approx(stats.ttest_rel(good, bad, alternative="greater").pvalue)
    assert better_p(good, good) == pytest.approx(0.5)


def test_equal_differences_are_no_certainty() -> None:
    # One validation sample more in each of five seeds has no spread; the resolution of scores is not 0.
    a = np.full(5, 0.9)
    assert better_p(a + 1e-3, a) > 1e-3


def test_seeds_that_would_tell() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal(40000), rng.standard_normal(40000) - 0.1
    # The textbook's (z_0.025 + z_0.2)^2 sd^2 / d^2 with sd^2 = 2 and d = 0.1.
    assert seeds_needed(a, b) == pytest.approx(7.85 * 2 / 0.01, rel=0.3)
    assert seeds_needed(a, a) is None


@pytest.mark.full
def test_a_race_recommends_what_trains_and_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    settings: dict[str, Any] = {
        "dataset": "digits", "epochs": 3, "candidates": ["he_normal", "zero"], "quiet": True, "minutes": 30.0,
    }  # fmt: skip
    ended = race(f"{file}:tiny", "protocol.search.lr=[0.03,0.1]", **settings)
    by_name = {one.name: one for one in ended.runners}
    assert ended.recommended == "he_normal"
    assert set(by_name) == {OWN, "he_normal", "zero"}
    assert "the gradient of every weight is exactly zero" in by_name["zero"].refused
    assert by_name[OWN].exit is not None
    assert ended.confirmation is not None
    assert ended.confirmation.verdict == "higher"
    assert ended.confirmation.low > 0.3
    assert "Use he_normal" in repr(ended)
    assert 'initbench.initialize(model, "he_normal", seed=0)' in repr(ended)
    n = len(list((tmp_path / "results").rglob("*.jsonl")))
    again = race(f"{file}:tiny", "protocol.search.lr=[0.03,0.1]", **settings)
    assert repr(again) == repr(ended)
    assert len(list((tmp_path / "results").rglob("*.jsonl"))) == n


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"candidates": ["he_norml"]}, "did you mean 'he_normal'"),
        ({"alpha": 2.0}, "alpha must lie between 0 and 1"),
        ({"minutes": 0}, "minutes must be more than 0"),
        ({"init": "he"}, "a race sets init itself"),
        ({"dataset": "nix"}, "unknown dataset 'nix'"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    with pytest.raises(InputError, match=said) as raised:
        race(f"{file}:tiny", quiet=True, **more)
    assert "\n" not in str(raised.value)


MORE = (
    MODEL
    + """
import random

def sizes(shape, classes):
    width = random.randint(10, 10_000)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, classes))

def exits(shape, classes):
    import os
    os._exit(3)
"""
)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "said"),
    [("sizes", "sizes makes another network for each seed: 1.weight has shape"), ("exits", "exited with code 3")],
)
def test_a_module_that_cannot_race_is_one_line(tmp_path: Path, name: str, said: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(MORE)
    with pytest.raises(InputError, match=said) as raised:
        race(f"{file}:{name}", dataset="digits", epochs=1, quiet=True)
    assert "\n" not in str(raised.value)


@pytest.mark.full
def test_only_what_no_rate_trains_is_screened_out(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    (tmp_path / "plugin.py").write_text(
        "import torch\n\ndef infinite_(tensor):\n    tensor.fill_(3e38)\n\n"
        "def tiny_(tensor):\n    torch.nn.init.normal_(tensor, std=1e-6)\n\n"
        "def large_(tensor):\n    torch.nn.init.normal_(tensor, std=1e3)\n"
    )
    names = "zero,infinite,tiny,large,he_normal"
    line = ["model=module", f"model.path={file}:tiny", f"init={names}", "dataset=digits", "seeds=1"]
    asked = ask([line], None, (tmp_path / "plugin.py",))[1]
    found = untrainable(asked.to_json(), range(2))
    assert set(found) == {"zero", "infinite"}
    assert found["infinite"].startswith("the loss before the first step is")


def test_too_little_time_is_said_before_it_is_spent(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(MODEL)
    with pytest.raises(InputError, match="takes .* minutes here at least"):
        race(f"{file}:tiny", dataset="digits", epochs=1, minutes=0.001, quiet=True)


def test_data_of_ones_own_are_kept_once_whatever_they_come_in(tmp_path: Path) -> None:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    x, y = torch.randn(40, 3, 8, 8), torch.arange(40) % 5
    pairs = TensorDataset(x, y)
    settings = keep((x, y), tmp_path)
    assert keep((x.numpy(), y.numpy()), tmp_path) == settings
    assert keep(pairs, tmp_path) == settings
    assert keep(DataLoader(pairs, batch_size=7), tmp_path) == settings
    assert keep(lambda: pairs, tmp_path) == settings
    assert len([*(tmp_path / "data").iterdir()]) == 1
    (cell,) = request(compose([*settings, "init=he", "model=cnn"])).cells
    arrays = load(cell.dataset)
    assert arrays.image == (3, 8, 8)
    assert np.array_equal(arrays.x, x.numpy().reshape(40, -1))
    assert keep((x, y.double()), tmp_path)[-1] == "dataset.task=regression"
    for wrong in (3, [], lambda: 1 / 0, [(x[0], y[0]), (x[1, 0], y[1])]):
        with pytest.raises(InputError, match="data"):
            keep(wrong, tmp_path)
