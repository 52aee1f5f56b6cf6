"""Which engine trains what, and that torch steps in where there is no compiled code."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
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
from initbench.experiment import checkpoints, chunks, train
from initbench.experiment.plan import plan
from initbench.models import Architecture
from initbench.records.schema import TrialRecord
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.request import request

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
    for of in (
        architecture(settings=(("norm", "layer"),)),
        architecture(model="residual_mlp", settings=()),
        architecture(model="cnn", settings=(("norm", "batch"),)),
    ):
        engine = choose(of, "sgd", CPU)
        assert engine.name == "torch"
        assert engine.why == (
            "the compiled engine trains perceptrons and plain convolutional networks only, without normalisation"
        )
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


def trained(activation: str, folder: Path, *settings: str) -> tuple[list[str], list[TrialRecord]]:
    """What a worker says and finds, in this process, where the table has the activation."""
    (folder / "activation").mkdir(parents=True)
    (folder / "activation" / f"{activation}.yaml").write_text(f"name: {activation}\n")
    catalogue = Catalogue.of(config_dir=folder)
    more = [f"activation={activation}", "dataset=synthetic", "epochs=1", "width=8"]
    asked = request(compose([*more, *settings], catalogue), catalogue)
    made = chunks.chunks(plan(asked, {}).todo, CPU)
    kept = partial(checkpoints.Files, folder)
    records = [record for chunk in made for record in train.train(chunk, CPU, lambda n_steps: None, kept)]
    return train.how(made, CPU), records


@pytest.mark.full
def test_such_an_activation_is_trained_with_laws_that_look_at_it(logsigmoid: str, tmp_path: Path) -> None:
    told, records = trained(logsigmoid, tmp_path, "init=he,lsuv,krahenbuhl_within", "seeds=2")
    assert "trained by torch: the activation 'logsigmoid' has no compiled code" in told
    assert [record.outcome for record in records] == ["ok"] * 6


def test_pre_training_with_such_an_activation_fails_in_one_line(logsigmoid: str, tmp_path: Path) -> None:
    _, (record,) = trained(logsigmoid, tmp_path, "init=pretrain_autoencoder", "seeds=1")
    assert record.outcome == "failed"
    assert "it trains in compiled code, which has no activation 'logsigmoid'" in (record.error or "")


def test_laws_that_look_at_activations_take_the_definition(logsigmoid: str) -> None:
    problem = make_problem("orthogonal", activation=logsigmoid)
    params = run("lsuv", problem).params
    layers = pre_activations(problem, params, problem.inputs.batch(1024, problem.seed))
    for number, z in enumerate(layers):
        product = z.numpy() - params[f"layers.{number}.bias"]
        assert product.std() == pytest.approx(1, rel=1e-5)
