"""Initializers of whole networks: what each promises, and what it must not see.

The tests over ``DATA_LAWS`` need no line for a new entry: it is covered by being listed.
"""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from initbench import drawing, initialize
from initbench.activations import torch_function
from initbench.config import compose, option_files
from initbench.data import DatasetSpec, load, samples, split, statistics
from initbench.data_dependent import DATA_LAWS, Inputs, Prepared, Problem, Task, prepare
from initbench.data_dependent.metainit import gradient_quotient
from initbench.data_dependent.scaling import relative_rates
from initbench.engine.compiled import blas, unsupervised
from initbench.engine.compiled.activations import ACTIVATIONS
from initbench.errors import InputError
from initbench.initializers import LAWS, draw
from initbench.request import request
from initbench.seeding import stream
from initbench.sweep import plan

LEARNING = [name for name, law in DATA_LAWS.items() if law.hidden]
# Enough to learn something in tenths of a second.
QUICK = dict.fromkeys(LEARNING, {"epochs": 5}) | {"metainit": {"steps": 20}}


def digits() -> Inputs:
    spec = DatasetSpec("digits", "digits")
    arrays = load(spec)
    rows = split(arrays, spec).train
    mean, std = statistics(arrays.x, rows, "global")
    return Inputs(arrays.x[rows], mean.astype(np.float32), std.astype(np.float32))


def shapes(*sizes: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        found |= {f"layers.{layer}.weight": (fan_out, fan_in), f"layers.{layer}.bias": (fan_out,)}
    return found


def make_problem(
    law: str = "he_normal", depth: int = 3, activation: str = "relu", seed: int = 0, width: int = 32
) -> Problem:
    params = {}
    for name, shape in shapes(64, *[width] * depth, 10).items():
        rng = stream(seed, "init", name)
        # Biases that are not zero, so that a law that forgets or resets them is seen.
        params[name] = draw(law if name.endswith("weight") else "normal", shape, rng)
    return Problem(params, digits(), activation, {}, seed)


def run(name: str, problem: Problem, **params: Any) -> Prepared:
    (result,) = prepare([Task(name, DATA_LAWS[name].defaults | params, problem)])
    assert isinstance(result, Prepared), result
    return result


def pre_activations(problem: Problem, params: dict[str, Any], x: Any) -> list[torch.Tensor]:
    """Of every layer, with and by torch, in float64."""
    found, h = [], torch.from_numpy(np.asarray(x, np.float64))
    for layer in range(problem.n_layers):
        weight, bias = (torch.from_numpy(params[f"layers.{layer}.{kind}"]).double() for kind in ("weight", "bias"))
        found.append(F.linear(h, weight, bias))
        h = torch_function(problem.activation)(found[-1])
    return found


# Every law of the catalogue.


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
    assert result.seconds > 0
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
    monkeypatch.setattr(drawing, "samples", lambda spec: replace(data, x=x, y=rng.permutation(data.y)))
    drawing._inputs.cache_clear()
    after = drawing.starts(trials)
    drawing._inputs.cache_clear()
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


# Scales and biases.


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_lsuv_gives_unit_variance_and_keeps_directions(activation: str) -> None:
    problem = make_problem("orthogonal", activation=activation)
    for key in problem.params:
        if key.endswith("bias"):
            problem.params[key][...] = 0
    after = run("lsuv", problem).params
    batch = problem.inputs.batch(1024, problem.seed)
    rest = (problem.inputs.x - problem.inputs.mean) / problem.inputs.std
    for z in pre_activations(problem, after, batch):
        # Weights are rounded to float32: a few units in the last place of the variance.
        assert float(z.var(correction=0)) == pytest.approx(1, abs=1e-5)
    for z in pre_activations(problem, after, rest):
        assert float(z.var(correction=0)) == pytest.approx(1, abs=0.2)
    for layer in range(problem.n_layers):
        ratio = after[f"layers.{layer}.weight"] / problem.params[f"layers.{layer}.weight"]
        assert ratio == pytest.approx(ratio[0, 0], rel=1e-6)


def test_within_layer_gives_each_unit_mean_and_variance() -> None:
    problem = make_problem("normal")
    for mean in (0.0, 0.1):
        after = run("krahenbuhl_within", problem, mean=mean).params
        for z in pre_activations(problem, after, problem.inputs.batch(1024, problem.seed)):
            assert z.mean(0).numpy() == pytest.approx(mean, abs=1e-5)
            assert z.std(0, correction=0).numpy() == pytest.approx(1, abs=1e-5)


def test_mean_only_moves_biases_only() -> None:
    problem = make_problem()
    after = run("mean_only", problem, mean=0.25).params
    for z in pre_activations(problem, after, problem.inputs.batch(1024, problem.seed)):
        assert z.mean(0).numpy() == pytest.approx(0.25, abs=1e-5)
    assert all((after[key] == problem.params[key]).all() for key in after if key.endswith("weight"))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
def test_between_layer_equalises_the_relative_gradients(activation: str) -> None:
    problem = make_problem("normal", activation=activation, depth=4)
    batch = problem.inputs.batch(1024, problem.seed)
    within, between = (
        {key: values.astype(np.float64) for key, values in run(name, problem).params.items()}
        for name in ("krahenbuhl_within", "krahenbuhl_between")
    )
    rates, _ = relative_rates(problem, within, batch)
    # Random relative rates to begin with: the test would not pass without the factors.
    assert rates.max() / rates.min() > 1.1
    rates, spread = relative_rates(problem, between, batch)
    assert rates.max() / rates.min() < 1.02
    assert spread == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_relative_rates_are_those_of_autograd(activation: str) -> None:
    problem = make_problem(activation=activation, depth=2, width=8)
    params = {key: values.astype(np.float64) for key, values in problem.params.items()}
    batch = problem.inputs.batch(6, 0)
    leaves = {key: torch.from_numpy(values).requires_grad_() for key, values in params.items()}
    top = torch.from_numpy(stream(0, "init", "logit gradients").standard_normal((6, 10)))
    squares = [0.0] * problem.n_layers
    for sample, direction in zip(batch, top, strict=True):
        h = torch.from_numpy(sample)
        for layer in range(problem.n_layers):
            z = leaves[f"layers.{layer}.weight"] @ h + leaves[f"layers.{layer}.bias"]
            h = torch_function(activation)(z)
        weights = [leaves[f"layers.{layer}.weight"] for layer in range(problem.n_layers)]
        for layer, grad in enumerate(torch.autograd.grad((z * direction).sum(), weights)):
            squares[layer] += float((grad**2).mean()) / 6
    expected = [
        math.sqrt(square) / math.sqrt(np.mean(params[f"layers.{layer}.weight"] ** 2))
        for layer, square in enumerate(squares)
    ]
    assert relative_rates(problem, params, batch)[0] == pytest.approx(expected, rel=1e-12)


# One layer learns: gradients against something independent.


def make_layer(fan_in: int, fan_out: int, activation: str, n: int, scale: float = 0.5) -> Any:
    rng = np.random.default_rng(fan_in)
    layer = unsupervised.layer(
        scale * rng.standard_normal((fan_out, fan_in)), scale * rng.standard_normal(fan_out), activation, 0.3, n
    )
    unsupervised.parts(layer, layer.params)[2][...] = scale * rng.standard_normal(fan_in)
    return layer, rng


def address(dtype: Any = np.float64) -> int:
    return blas.chosen().address(np.dtype(dtype))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autoencoder_gradient_is_that_of_autograd(activation: str, binary: bool) -> None:
    layer, rng = make_layer(7, 5, activation, 11)
    layer.clean[...] = rng.random(layer.clean.shape)
    layer.seen[...] = layer.clean * (rng.random(layer.clean.shape) < 0.7)
    loss = unsupervised.autoencoder_gradient(address(), layer, 11, binary)
    weight, bias, offset = (
        torch.from_numpy(v.copy()).requires_grad_() for v in unsupervised.parts(layer, layer.params)
    )
    clean = torch.from_numpy(layer.clean)
    name = {"leaky_relu": {"negative_slope": 0.3}, "elu": {"alpha": 0.3}}.get(activation)
    h = torch_function(activation, name)(torch.from_numpy(layer.seen) @ weight.T + bias)
    z = h @ weight + offset
    wanted = F.binary_cross_entropy_with_logits(z, clean, reduction="sum") if binary else ((z - clean) ** 2).sum() / 2
    (wanted / 11).backward()
    r = torch.sigmoid(z) if binary else z
    assert loss == pytest.approx(float(((r - clean) ** 2).sum().detach()), rel=1e-10)
    for found, leaf in zip(unsupervised.parts(layer, layer.grad), (weight, bias, offset), strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


def free_energy(v: torch.Tensor, weight: Any, bias: Any, offset: Any, binary: bool) -> torch.Tensor:
    """Summed over the samples; Hinton 2010, section 16.1, with Gaussian units of variance 1 besides."""
    visible = -v @ offset if binary else ((v - offset) ** 2).sum(1) / 2
    return (visible - F.softplus(v @ weight.T + bias).sum(1)).sum()


@pytest.mark.parametrize("binary", [False, True])
def test_rbm_gradient_is_that_of_free_energies(binary: bool) -> None:
    layer, rng = make_layer(7, 5, "sigmoid", 11)
    layer.clean[...] = rng.random(layer.clean.shape)
    loss = unsupervised.rbm_gradient(address(), layer, 11, binary, rng)
    weight, bias, offset = (
        torch.from_numpy(v.copy()).requires_grad_() for v in unsupervised.parts(layer, layer.params)
    )
    v0 = torch.from_numpy(layer.clean)
    v1 = v0 + 11 * torch.from_numpy(layer.below)
    of = (weight, bias, offset, binary)
    ((free_energy(v0, *of) - free_energy(v1, *of)) / 11).backward()
    assert loss == pytest.approx(float(((v1 - v0) ** 2).sum()), rel=1e-10)
    for found, leaf in zip(unsupervised.parts(layer, layer.grad), (weight, bias, offset), strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("binary", [False, True])
def test_rbm_gradient_is_right_on_average_over_all_hidden_states(binary: bool) -> None:
    n = 20_000
    layer, rng = make_layer(4, 3, "sigmoid", n, scale=1.0)
    v0 = np.array([1.0, 0.0, 1.0, 0.0])
    layer.clean[...] = v0
    weight, bias, offset = (v.copy() for v in unsupervised.parts(layer, layer.params))
    unsupervised.rbm_gradient(address(), layer, n, binary, rng)
    h0 = sigmoid(weight @ v0 + bias)
    first, second = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for states in itertools.product((0, 1), repeat=3):
        h = np.array(states)
        probability = float(np.prod(np.where(h, h0, 1 - h0)))
        v1 = h @ weight + offset
        v1 = sigmoid(v1) if binary else v1
        h1 = sigmoid(weight @ v1 + bias)
        grads = (np.outer(h1, v1) - np.outer(h0, v0), h1 - h0, v1 - v0)
        first = tuple(total + probability * grad for total, grad in zip(first, grads, strict=True))
        second = tuple(total + probability * grad**2 for total, grad in zip(second, grads, strict=True))
    for found, mean, square in zip(unsupervised.parts(layer, layer.grad), first, second, strict=True):
        # Five standard errors of the mean of n independent draws.
        error = 5 * np.sqrt((square - mean**2) / n)
        assert (np.abs(found - mean) <= error + 1e-12).all()


def test_rbm_raises_the_exact_likelihood() -> None:
    rng = np.random.default_rng(0)
    # Two patterns and their noisy copies: 6 visible units, 4 hidden; the partition function has 16 terms.
    x = (
        np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])[rng.integers(2, size=400)] ^ (rng.random((400, 6)) < 0.05)
    ) * 1.0
    layer = unsupervised.layer(0.01 * rng.standard_normal((4, 6)), np.zeros(4), "sigmoid", 0.0, 20)

    def likelihood() -> float:
        weight, bias, offset = (torch.from_numpy(v.copy()) for v in unsupervised.parts(layer, layer.params))
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
        partition = torch.logsumexp(every @ bias + F.softplus(every @ weight + offset).sum(1), 0)
        return float(-free_energy(torch.from_numpy(x), weight, bias, offset, True) / len(x) - partition)

    before = likelihood()
    # All states alike: six fair coins, but for weights of 0.01.
    assert before == pytest.approx(-6 * math.log(2), abs=1e-3)
    counters = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for epoch in range(20):
        unsupervised.train_epoch(
            *(address(), layer, True, True, x, np.zeros(6), np.ones(6), rng.permutation(400)),
            *(np.full(20, 0.02), 20 * epoch, 0.0, np.zeros(6), rng, *counters),
        )
    assert counters[0][0] == 400
    # Of two noisy patterns the entropy is ln 2 + 6 H(0.05) = 1.88 nats; half the way there is far from noise.
    assert likelihood() > before + (6 * math.log(2) - 1.88) / 2


def test_encode_gives_codes_and_error() -> None:
    layer, rng = make_layer(7, 5, "tanh", 4)
    x = rng.integers(0, 255, (10, 7)).astype(np.uint8)
    mean, by_std = np.full(7, 100.0), np.full(7, 0.02)
    codes = np.empty((10, 5))
    error = unsupervised.encode(address(), layer, False, x, mean, by_std, codes)
    weight, bias, offset = unsupervised.parts(layer, layer.params)
    a = (x - mean) * by_std
    np.testing.assert_allclose(codes, np.tanh(a @ weight.T + bias), rtol=1e-12)
    assert error == pytest.approx(((codes @ weight + offset - a) ** 2).sum(), rel=1e-12)


def test_corruption_takes_its_share_of_the_elements() -> None:
    layer, rng = make_layer(500, 2, "tanh", 400)
    layer.clean[...] = rng.random(layer.clean.shape) + 2
    fill = np.linspace(0, 1, 500)
    unsupervised.corrupt(layer, 400, 0.3, fill, rng)
    missing = layer.seen != layer.clean
    assert (layer.seen[missing] == np.broadcast_to(fill, missing.shape)[missing]).all()
    assert missing.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / missing.size))


# Greedy pre-training.


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("name", LEARNING)
def test_every_layer_reconstructs_better_than_the_mean(name: str, activation: str) -> None:
    problem = make_problem(DATA_LAWS[name].defaults["base"], activation=activation, width=64)
    result = run(name, problem)
    assert len(result.reconstruction) == 3
    assert all(error < mean for error, mean in result.reconstruction)
    x = (problem.inputs.x - problem.inputs.mean.astype(np.float64)) / problem.inputs.std
    assert result.reconstruction[0][1] == pytest.approx(x.var(axis=0).sum(), rel=1e-6)
    if name != "pretrain_rbm":
        # The best linear decoder of the first layer's codes cannot be worse than the layer's own.
        codes = torch_function(activation)(pre_activations(problem, result.params, x)[0]).numpy()
        design = np.hstack([codes, np.ones((len(x), 1))])
        best = np.linalg.lstsq(design, x, rcond=None)[0]
        assert ((design @ best - x) ** 2).sum() / len(x) < result.reconstruction[0][0] * (1 + 1e-6)


@pytest.mark.parametrize("name", LEARNING)
def test_layers_below_are_frozen_and_the_output_layer_is_left_alone(name: str) -> None:
    shallow, deep = make_problem(depth=2, activation="sigmoid"), make_problem(depth=4, activation="sigmoid")
    first, all_four = run(name, shallow, **QUICK[name]).params, run(name, deep, **QUICK[name]).params
    for layer in (0, 1):
        for kind in ("weight", "bias"):
            # Trained layers 2 and 3 above them have changed no bit.
            assert (first[f"layers.{layer}.{kind}"] == all_four[f"layers.{layer}.{kind}"]).all()
            assert (first[f"layers.{layer}.{kind}"] != shallow.params[f"layers.{layer}.{kind}"]).any()
    assert (all_four["layers.4.weight"] == deep.params["layers.4.weight"]).all()


def test_denoising_without_corruption_is_an_autoencoder() -> None:
    problem = make_problem()
    plain = run("pretrain_autoencoder", problem, epochs=2).params
    nothing, something = (run("pretrain_denoising", problem, epochs=2, corruption=c).params for c in (0.0, 0.25))
    assert all((plain[key] == nothing[key]).all() for key in plain)
    assert (plain["layers.0.weight"] != something["layers.0.weight"]).any()


# MetaInit.


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_metainit_lowers_the_gradient_quotient_by_norms_alone(activation: str) -> None:
    problem = make_problem(activation=activation)
    after = run("metainit", problem, steps=300).params

    def quotient(params: dict[str, Any]) -> float:
        leaves = {key: torch.from_numpy(values.copy()).requires_grad_() for key, values in params.items()}
        rng = stream(1, "init", "fresh samples")
        return float(np.median([gradient_quotient(leaves, problem, rng).item() for _ in range(20)]))

    assert quotient(after) < 0.5 * quotient(problem.params)
    for key, values in problem.params.items():
        if key.endswith("bias"):
            assert (after[key] == values).all()
        else:
            # 300 multiplications, each rounded by at most half a unit in the last place of float32.
            ratio = after[key] / values
            assert ratio == pytest.approx(np.median(ratio), rel=600 * 2.0**-24)


def test_gradient_quotient_is_its_formula() -> None:
    problem = make_problem(depth=1, width=3, activation="tanh")
    params = {key: torch.from_numpy(values).double().requires_grad_() for key, values in problem.params.items()}
    found = gradient_quotient(params, problem, np.random.default_rng(0), batch=4, eps=1e-3)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((4, 64), np.float32)).double()
    y = torch.from_numpy(rng.integers(10, size=4))

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(torch.tanh(x @ values[0].T + values[1]) @ values[2].T + values[3], y)

    values = tuple(value.detach() for value in params.values())
    g = torch.cat([grad.ravel() for grad in torch.func.grad(loss, (0, 1, 2, 3))(*values)])
    blocks = torch.autograd.functional.hessian(loss, values)
    hessian = torch.cat(
        [
            torch.cat([blocks[i][j].reshape(v.numel(), w.numel()) for j, w in enumerate(values)], 1)
            for i, v in enumerate(values)
        ]
    )
    sign = torch.where(g >= 0, 1.0, -1.0)
    expected = ((g - hessian @ g) / (g + 1e-3 * sign) - 1).abs().mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)


# From the command line.

Run = Callable[..., Any]


def test_cost_is_recorded_and_companions_change_nothing(initbench: Run, tmp_path: Path) -> None:
    settings = ("width=16", "epochs=1", "init.epochs=2", "init.steps=3")
    names = ",".join([*DATA_LAWS, "he"])
    answer = initbench("run", f"init={names}", *settings, "seeds=2", "results=all")
    assert answer.code == 0, answer.err
    found = read(tmp_path / "all")
    for record in found.values():
        name = record["trial"]["init"]["name"]
        if name == "he":
            assert "init_cost" not in record
            continue
        cost = record["init_cost"]
        per_epoch = -(-record["n_total"]["train"] // 64)
        assert cost["steps"] == (2 * 2 * per_epoch if name in LEARNING else 3 if name == "metainit" else 0)
        assert cost["seconds"] > 0
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


def test_a_trial_that_cannot_be_prepared_fails_alone(initbench: Run, tmp_path: Path) -> None:
    answer = initbench("run", "init=lsuv,mean_only", "init_output=zero", "width=8", "epochs=1", "seeds=1", "results=r")
    assert answer.code == 3
    outcomes = {r["trial"]["init"]["name"]: (r["outcome"], r.get("error")) for r in read(tmp_path / "r").values()}
    assert outcomes == {
        "lsuv": ("failed", "init 'lsuv': layers.2: it answers all samples with one number, which no scale mends"),
        "mean_only": ("ok", None),
    }


def test_a_module_without_data_is_refused() -> None:
    with pytest.raises(InputError, match="init 'lsuv' needs training inputs, which only 'initbench run' has"):
        initialize(torch.nn.Linear(3, 2), "lsuv")


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
