"""Initializers that look at training inputs: what all of them promise, in Python and on the command line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from problems import LEARNING, QUICK, make_problem, run

from initbench import initialize
from initbench.data import samples
from initbench.data_driven import DATA_LAWS, Inputs, Prepared, Task, prepare
from initbench.errors import InputError
from initbench.experiment import start as drawing
from initbench.experiment.plan import plan
from initbench.initializers import LAWS
from initbench.settings.compose import compose
from initbench.settings.options import option_files
from initbench.settings.request import request


@pytest.mark.full
@pytest.mark.parametrize("name", DATA_LAWS)
def test_contract(name: str) -> None:
    problem = make_problem()
    before = {key: values.copy() for key, values in problem.params.items()}
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), torch.get_num_threads()  # noqa: NPY002
    result = run(name, problem, **QUICK.get(name, {}))
    assert (torch.get_rng_state() == state[0]).all()
    assert (np.random.get_state()[1].tolist(), torch.get_num_threads()) == state[1:]  # noqa: NPY002
    assert list(result.params) == list(before)
    for key, values in result.params.items():
        assert (values.shape, values.dtype) == (before[key].shape, np.float32)
        assert np.isfinite(values).all()
        assert (problem.params[key] == before[key]).all()
    assert any((result.params[key] != before[key]).any() for key in before)
    params = DATA_LAWS[name].defaults | QUICK.get(name, {})
    assert result.steps == DATA_LAWS[name].steps(len(problem.inputs.x), problem.n_layers, params)
    assert result.seconds >= 0
    assert (result.samples > 0) == (name != "metainit")


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gelu", "identity"])
@pytest.mark.parametrize("name", DATA_LAWS)
def test_every_activation_is_served(name: str, activation: str) -> None:
    result = run(name, make_problem(activation=activation, depth=2, width=16), **QUICK.get(name, {}))
    assert all(np.isfinite(values).all() for values in result.params.values())


@pytest.mark.parametrize("threads", [1, 3])
def test_a_result_depends_on_nothing_but_its_own_task(threads: int) -> None:
    tasks = [
        Task(name, law.defaults | QUICK.get(name, {}), make_problem(seed=seed))
        for seed in (0, 1)
        for name, law in DATA_LAWS.items()
    ]
    # Beside them one that fails.
    broken = make_problem()
    broken.params["layers.1.weight"][...] = 0
    together = prepare([*tasks, Task("lsuv", DATA_LAWS["lsuv"].defaults, broken)], threads=threads)
    assert str(together.pop()) == "layers.1: it answers all samples with one number, which no scale mends"
    for task, beside in zip(tasks, together, strict=True):
        (alone,) = prepare([task])
        assert isinstance(alone, Prepared)
        assert isinstance(beside, Prepared)
        assert all((alone.params[key] == beside.params[key]).all() for key in alone.params)
    first = dict(zip(DATA_LAWS, together[: len(DATA_LAWS)], strict=True))
    second = dict(zip(DATA_LAWS, together[len(DATA_LAWS) :], strict=True))
    for name in DATA_LAWS:
        assert (first[name].params["layers.1.bias"] != second[name].params["layers.1.bias"]).any()


def test_labels_and_other_rows_change_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["init.epochs=1", "init.steps=2", "width=16", "seeds=1"]
    asked = request(compose([f"init={','.join(DATA_LAWS)}", *settings]))
    trials = plan(asked, ()).todo
    data = samples(asked.cells[0].dataset)
    before = drawing.starts(trials)
    rng = np.random.default_rng(0)
    x, others = data.x.copy(), np.concatenate([data.val, data.test])
    x[others] = rng.integers(0, 255, x[others].shape)
    # The rows stay the same: which are for training is decided by class.
    monkeypatch.setattr(drawing, "samples", lambda spec, seed: replace(data, x=x, y=rng.permutation(data.y)))
    after = drawing.starts(trials)
    assert len(before) == len(DATA_LAWS)
    for one, two in zip(before, after, strict=True):
        assert isinstance(one, drawing.Start)
        assert isinstance(two, drawing.Start)
        assert all((one.params[key] == two.params[key]).all() for key in one.params)


def test_an_interruption_ends_long_work() -> None:
    def interrupt(n_steps: int) -> None:
        raise KeyboardInterrupt

    # Hours of work: the test would not end.
    tasks = [
        Task("pretrain_denoising", DATA_LAWS["pretrain_denoising"].defaults | {"epochs": 1_000_000}, make_problem()),
        Task("metainit", DATA_LAWS["metainit"].defaults | {"steps": 1_000_000}, make_problem()),
    ]
    with pytest.raises(KeyboardInterrupt):
        prepare(tasks, interrupt, threads=2)


def test_progress_tells_of_every_step() -> None:
    told: list[int] = []
    params = DATA_LAWS["pretrain_rbm"].defaults | {"epochs": 3}
    prepare([Task("pretrain_rbm", params, make_problem(seed=seed)) for seed in range(3)], told.append)
    assert sum(told) == 3 * DATA_LAWS["pretrain_rbm"].steps(1150, 4, params)


def test_no_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="it needs training inputs; there are none"):
        Inputs(np.empty((0, 3), np.uint8), np.zeros(3), np.ones(3))


# From the command line.

Run = Callable[..., Any]


@pytest.mark.full
def test_cost_is_recorded_and_companions_change_nothing(initbench: Run, tmp_path: Path) -> None:
    settings = ("width=16", "epochs=1", "init.epochs=2", "init.steps=3")
    names = ",".join([*DATA_LAWS, "he"])
    answer = initbench("run", f"init={names}", *settings, "seeds=2", "results=all")
    assert answer.code == 0, answer.err
    found = read(tmp_path / "all")
    for record in found.values():
        name = record["asked"]["init"]
        if name == "he":
            assert record.get("init_cost") is None
            continue
        cost = record["init_cost"]
        per_epoch = -(-record["n_total"]["train"] // 64)
        assert cost["steps"] == (2 * 2 * per_epoch if name in LEARNING else 3 if name == "metainit" else 0)
        assert cost["seconds"] >= 0
        assert (cost["samples"] == 0) == (name == "metainit")
        assert record["formula"] == DATA_LAWS[name].formula
    for name in DATA_LAWS:
        given = [text for text in settings if text.split("=")[0] in ("width", "epochs")]
        given += [text for text in settings[2:] if text.split("=")[0][5:] in DATA_LAWS[name].defaults]
        assert initbench("run", f"init={name}", *given, "seeds=[1]", "results=alone").code == 0
    for key, record in read(tmp_path / "alone").items():
        assert found[key]["weights"] == record["weights"]


def read(folder: Path) -> dict[str, Any]:
    lines = [line for file in folder.glob("*/records/*.jsonl") for line in file.read_text().splitlines()[1:-1]]
    return {record["key"]: record for record in map(json.loads, lines)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init=pretrain_rbm", "depth=0"], "init 'pretrain_rbm' trains hidden layers, and depth=0 has none"),
        (["init=lsuv", "model=cnn"], "init 'lsuv' sets up plain perceptrons only; use model=mlp without normalisation"),
        (["init=lsuv", "model.norm=layer"], "init 'lsuv' sets up plain perceptrons only"),
        (["init_output=lsuv"], "init_output: 'lsuv' sets all layers of a network; use it as init"),
        (["init=lsuv", "init.base=orthogonl"], "unknown init.base 'orthogonl'"),
        (["init=lsuv", "init.base=lsuv"], "unknown init.base 'lsuv'"),
        (
            ["init=pretrain_denoising", "init.corruption=1"],
            "init.corruption must be a finite number >= 0 and < 1; got 1",
        ),
        (["init=pretrain_autoencoder", "init.lr=0"], "init.lr must be a finite number > 0; got 0"),
        (["init=pretrain_autoencoder", "init.epochs=0"], "init.epochs must be a whole number >= 1; got 0"),
        (["init=metainit", "init.epochs=3"], "unknown setting 'init.epochs'"),
    ],
)
def test_bad_input_is_one_line(initbench: Run, arguments: list[str], message: str) -> None:
    answer = initbench("run", *arguments, "width=8", "epochs=1", "seeds=1")
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.full
def test_a_trial_that_cannot_be_prepared_fails_alone(initbench: Run, tmp_path: Path) -> None:
    answer = initbench("run", "init=lsuv,mean_only", "init_output=zero", "width=8", "epochs=1", "seeds=1", "results=r")
    assert answer.code == 3
    outcomes = {r["asked"]["init"]: (r["outcome"], r.get("error")) for r in read(tmp_path / "r").values()}
    assert outcomes == {
        "lsuv": ("failed", "init 'lsuv': layers.2: it answers all samples with one number, which no scale mends"),
        "mean_only": ("ok", None),
    }


def test_a_module_without_data_is_refused() -> None:
    with pytest.raises(InputError, match="init 'metainit' sets up the plain perceptrons of 'initbench run' only"):
        initialize(torch.nn.Linear(3, 2), "metainit")
    with pytest.raises(InputError, match="init 'lsuv' needs training inputs: inputs="):
        initialize(torch.nn.Linear(3, 2), "lsuv")
    with pytest.raises(InputError, match="inputs are for init 'lsuv'"):
        initialize(torch.nn.Linear(3, 2), "he", inputs=torch.randn(4, 3))


def test_lsuv_of_a_module_is_that_of_a_perceptron() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    drawn, x = initialize(module, "orthogonal", seed=4), torch.randn(64, 6)
    names = [*drawn]
    base = {name.replace("2.", "layers.1.").replace("0.", "layers.0."): one.detach().numpy().copy()
            for name, one in module.named_parameters()}  # fmt: skip
    problem = replace(make_problem(), params=base, inputs=Inputs(x.numpy(), np.zeros(6), np.ones(6)))
    expected = run("lsuv", problem, batch=64).params
    found = initialize(module, "lsuv", seed=4, inputs=x)
    assert [*found] == names
    for mine, theirs in zip(module.parameters(), expected.values(), strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs, rtol=1e-5, atol=1e-7)


def test_lsuv_of_any_module_gives_each_product_variance_1_and_fails_without_a_trace() -> None:
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 5)
    )
    x = 3 * torch.randn(32, 2, 8, 8) + 1
    before = torch.get_rng_state()
    initialize(module, "lsuv", inputs=x, bias="constant")
    assert bool((torch.get_rng_state() == before).all())
    assert not bool(module[3].running_mean.any())
    with torch.no_grad():
        for part in module:
            x = part(x)
            if getattr(part, "bias", None) is not None and part.weight.dim() > 1:
                shape = (-1, *[1] * (x.dim() - 2))
                assert float((x - part.bias.view(shape)).std(correction=0)) == pytest.approx(1, abs=1e-4)
    state = {name: one.clone() for name, one in module.state_dict().items()}
    for wrong in (torch.zeros(4, 2, 8, 8), torch.randn(4, 3, 8, 8)):
        with pytest.raises(InputError):
            initialize(module, "lsuv", inputs=wrong)
    assert all(bool((one == state[name]).all()) for name, one in module.state_dict().items())


@pytest.mark.parametrize("name", DATA_LAWS)
def test_every_law_is_an_option_and_starts_from_a_law(name: str) -> None:
    assert yaml.safe_load(option_files("init")[name].read_text()) == {"name": name, "law": name}
    law = DATA_LAWS[name]
    assert law.defaults["base"] in LAWS
    assert law.tier in (2, 3)
    assert law.formula
    assert law.source
    assert set(law.shortest) <= set(law.defaults)
    assert name not in LAWS
