"""Which engine trains what, and that torch steps in where there is no compiled code."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import make_problem, pre_activations, run
from training import assert_equal_to_plain

from initbench.activations import ACTIVATIONS, Activation
from initbench.engine.checkpoints import NONE
from initbench.engine.choose import choose
from initbench.engine.compiled.activations import KERNELS
from initbench.engine.job import History, Job
from initbench.engine.optimizers import OPTIMIZERS
from initbench.models import Architecture

CPU = torch.device("cpu")


def architecture(**changed: Any) -> Architecture:
    plain = Architecture(
        model="mlp",
        settings=(("norm", None),),
        depth=2,
        width=(17, 33),
        activation="relu",
        activation_params=(),
        sample_shape=(33,),
        n_classes=7,
    )
    return replace(plain, **changed)


@pytest.fixture
def logsigmoid(monkeypatch: pytest.MonkeyPatch) -> str:
    """A row of the table of activations, and nothing else: torch has the function, no compiled code."""
    row = Activation(lambda x: -np.logaddexp(0, -x), lambda x: 1 / (1 + np.exp(x)), "−log(1 + e⁻ˣ)")
    monkeypatch.setitem(ACTIVATIONS, "logsigmoid", row)
    assert "logsigmoid" not in KERNELS
    return "logsigmoid"


@pytest.fixture
def without_a_rule(monkeypatch: pytest.MonkeyPatch) -> str:
    """An optimizer of the table without its compiled rule."""
    monkeypatch.setitem(OPTIMIZERS, "adam", replace(OPTIMIZERS["adam"], update=None))
    return "adam"


@pytest.mark.parametrize("activation", KERNELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_perceptrons_are_compiled(activation: str, optimizer: str) -> None:
    engine = choose(architecture(activation=activation), optimizer, CPU)
    assert (engine.name, engine.why) == ("compiled", "")


def test_other_models_are_torchs_and_so_is_a_gpu() -> None:
    for of in (architecture(settings=(("norm", "layer"),)), architecture(model="residual_mlp", settings=())):
        engine = choose(of, "sgd", CPU)
        assert engine.name == "torch"
        assert engine.why == "the compiled engine trains multilayer perceptrons without normalisation only"
    assert choose(architecture(), "sgd", torch.device("cuda")).name == "torch"


def chosen(of: Architecture) -> Callable[..., History]:
    def train(job: Job) -> History:
        engine = choose(of, job.optimizer, CPU)
        assert engine.name == "torch"
        return engine.train(job, lambda n_steps: None, NONE)

    return train


@pytest.mark.full
def test_an_activation_without_compiled_code_is_trained_by_torch(logsigmoid: str) -> None:
    of = architecture(activation=logsigmoid)
    assert choose(of, "sgd", CPU).why == "the activation 'logsigmoid' has no compiled code"
    assert_equal_to_plain(chosen(of), of.width, logsigmoid, "momentum", 0.05, 31, 10)


def test_an_optimizer_without_compiled_code_is_trained_by_torch(without_a_rule: str) -> None:
    assert choose(architecture(), without_a_rule, CPU).why == "the optimizer 'adam' has no compiled code"
    assert_equal_to_plain(chosen(architecture()), (17, 33), "relu", "adam", 0.002, 31, 10)


@pytest.mark.full
def test_such_an_activation_runs_from_the_command_line(
    logsigmoid: str, initbench: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "own" / "activation").mkdir(parents=True)
    (tmp_path / "own" / "activation" / "logsigmoid.yaml").write_text("name: logsigmoid\n")
    settings = ["init=he,lsuv,krahenbuhl_within", "dataset=synthetic", "seeds=2", "epochs=1", "width=8", "device=cpu"]
    answer = initbench("run", f"activation={logsigmoid}", *settings, "--config-dir", tmp_path / "own", "--verbose")
    assert answer.code == 0, answer.err
    assert "trained by torch: the activation 'logsigmoid' has no compiled code" in answer.err


def test_pre_training_with_such_an_activation_fails_in_one_line(
    logsigmoid: str, initbench: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "own" / "activation").mkdir(parents=True)
    (tmp_path / "own" / "activation" / "logsigmoid.yaml").write_text("name: logsigmoid\n")
    settings = ["init=pretrain_autoencoder", "dataset=synthetic", "seeds=1", "epochs=1", "width=8", "device=cpu"]
    answer = initbench("run", f"activation={logsigmoid}", *settings, "--config-dir", tmp_path / "own")
    assert answer.code == 3
    assert "it trains in compiled code, which has no activation 'logsigmoid'" in answer.err
    assert "Traceback" not in answer.err


def test_laws_that_look_at_activations_take_the_definition(logsigmoid: str) -> None:
    problem = make_problem("orthogonal", activation=logsigmoid)
    params = run("lsuv", problem).params
    layers = pre_activations(problem, params, problem.inputs.batch(1024, problem.seed))
    for number, z in enumerate(layers):
        product = z.numpy() - params[f"layers.{number}.bias"]
        assert product.std() == pytest.approx(1, rel=1e-5)
