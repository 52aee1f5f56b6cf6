"""Where the networks of every model start: fans, norms, and the rules for residual branches."""

import copy
import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stored
from own_model import OWN, own
from torch import nn

from initbench.errors import InputError
from initbench.experiment import start as drawing
from initbench.experiment.plan import Trial, plan
from initbench.initializers.schemes import SCHEMES
from initbench.models import modules
from initbench.settings.compose import compose
from initbench.settings.request import request


def trials(*overrides: str) -> list[Trial]:
    return list(plan(request(compose(["seeds=1", *overrides])), ()).trials)


def start_of(trial: Trial) -> drawing.ParamArrays:
    (start,) = drawing.starts([trial])
    if isinstance(start, InputError):
        raise start
    return start.params


def drawn(*overrides: str) -> tuple[nn.Module, drawing.ParamArrays]:
    """The network of one trial with its initial parameters, and these."""
    (trial,) = trials(*overrides)
    params = start_of(trial)
    module = copy.deepcopy(modules.template(drawing.architecture_of(trial.cell)))
    module.load_state_dict({name: torch.tensor(value) for name, value in params.items()})
    return module, params


def assert_std(weight: Any, std: float) -> None:
    # Six standard errors of a normal's standard deviation.
    assert weight.std() == pytest.approx(std, rel=6 / math.sqrt(2 * weight.size))


def test_fans_of_convolutions(tmp_path: Path) -> None:
    _, params = drawn("model=cnn", "model.channels=64", "model.kernel=5", "depth=3", "init=he")
    for layer, fan_in in ((0, 25), (1, 64 * 25), (2, 64 * 25), (3, 64 * 16)):
        assert_std(params[f"layers.{layer}.weight"], math.sqrt(2 / fan_in))
    wide = (("6", "96"), ("channels, 4, 2", "channels, 64, 5"), ("(4, 96", "(64, 96"), ("groups=2", "groups=4"))
    text = reduce(lambda text, change: text.replace(*change), wide, OWN)
    _, params = drawn("model=module", f"model.path={own(tmp_path, text)}", "init=xavier_normal")
    # A transposed convolution of one channel: each of 64 units sees 25 weights of it, and its input feeds 64 · 25.
    assert_std(params["up.weight"], math.sqrt(2 / (25 + 64 * 25)))
    # Four groups, each from 16 channels to 24.
    assert_std(params["grouped.weight"], math.sqrt(2 / (16 * 9 + 24 * 9)))


def test_norms_start_as_the_identity_and_weights_as_without() -> None:
    _, plain = drawn("depth=3", "init=he")
    for norm in ("layer", "batch"):
        _, params = drawn("depth=3", "init=he", f"model.norm={norm}")
        for name, value in plain.items():
            assert (params[name] == value).all()
        for i in range(3):
            assert (params[f"norms.{i}.weight"] == 1).all()
            assert (params[f"norms.{i}.bias"] == 0).all()
    assert (params["norms.0.running_mean"] == 0).all()
    assert (params["norms.0.running_var"] == 1).all()


RESIDUAL = {"mlp": ["model=residual_mlp", "width=128"], "cnn": ["model=residual_cnn", "model.channels=32"]}


@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize("init", ["fixup", "rezero"])
def test_every_block_starts_as_the_identity(kind: str, init: str) -> None:
    module, _ = drawn(*RESIDUAL[kind], "depth=4", f"init={init}")
    shape = (9, 128) if kind == "mlp" else (9, 32, 4, 4)
    x = torch.tensor(np.random.default_rng(0).standard_normal(shape, np.float32))
    for block in module.blocks:
        assert torch.equal(block(x), x)
    image = torch.ones(2, 64) if kind == "mlp" else torch.ones(2, 1, 8, 8)
    assert bool((module(image) == 0).all()) == (init == "fixup")


@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize(("layers", "power"), [(2, -1 / 2), (3, -1 / 4), (4, -1 / 6)])
def test_fixup_scales_the_branches_by_their_number(kind: str, layers: int, power: float) -> None:
    _, params = drawn(*RESIDUAL[kind], "depth=5", "init=fixup", f"model.layers={layers}")
    fan_in = 128 if kind == "mlp" else 32 * 9
    for block in range(5):
        for layer in range(layers - 1):
            assert_std(params[f"blocks.{block}.layers.{layer}.weight"], math.sqrt(2 / fan_in) * 5**power)
        assert (params[f"blocks.{block}.layers.{layers - 1}.weight"] == 0).all()
        assert params[f"blocks.{block}.multiplier"] == 1
    assert (params["output.weight"] == 0).all()
    assert_std(params["first.weight"], math.sqrt(2 / (64 if kind == "mlp" else 9)))


def test_the_other_rules_for_branches() -> None:
    _, he = drawn("model=residual_mlp", "depth=4", "init=he")
    for init, multiplier in (("rezero", 0), ("skipinit", 1 / 2)):
        _, params = drawn("model=residual_mlp", "depth=4", f"init={init}")
        for name, value in params.items():
            assert (value == (multiplier if name.endswith("multiplier") else he[name])).all()
    _, params = drawn("model=residual_mlp", "depth=4", "init=zero_hadamard", "init.scheme=last_zero")
    assert (params["blocks.3.layers.0.weight"] == np.eye(128)).all()
    assert (params["blocks.3.layers.1.weight"] == 0).all()
    _, params = drawn("model=residual_mlp", "init=fixup", "init_output=he")
    assert params["output.weight"].all()
    assert {name for name, scheme in SCHEMES.items() if scheme.residual} == {
        "fixup", "rezero", "skipinit", "last_zero",
    }  # fmt: skip


@pytest.mark.full
def test_fifty_layers_train_with_fixup_and_rezero_and_not_with_he(initbench: Callable[..., Any]) -> None:
    answer = initbench(
        *("run", "model=residual_mlp", "depth=25", "width=32", "init=he,fixup,rezero,skipinit", "seeds=1"),
        *("epochs=6", "lr=0.05"),
    )
    assert answer.code == 0
    accuracy = {
        record["asked"]["init"]: record["n_correct"]["test"] / 359 if record["outcome"] == "ok" else 0.0
        for record in stored().values()
    }
    # The second moment doubles with every block of He's: by 2^25 at the output.
    assert accuracy["he"] < 0.3
    assert min(accuracy["fixup"], accuracy["rezero"], accuracy["skipinit"]) > 0.8


def test_a_modules_own_values_differ_by_seed_and_repeat(tmp_path: Path) -> None:
    path = f"model.path={own(tmp_path)}"
    first, again, other = (
        drawn("model=module", path, f"seeds=[{seed}]", f"init={init}")[1]
        for seed, init in ((0, "he"), (0, "xavier"), (1, "he"))
    )
    for name in ("shift", "frozen"):
        assert (first[name] == again[name]).all()
        assert (first[name] != other[name]).all()
    assert first["scale"] == 0.5
    assert (first["output.weight"] != again["output.weight"]).all()


def test_a_file_that_changes_while_it_is_used_is_refused(tmp_path: Path) -> None:
    (trial,) = trials("model=module", f"model.path={own(tmp_path)}")
    own(tmp_path, OWN + "\n# changed")
    with pytest.raises(InputError, match="has changed since the command began"):
        start_of(trial)
