"""Initializers that set scales, biases and norms on data, against their definitions and autograd."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from problems import make_problem, pre_activations, run
from torch.nn import functional as F

from initbench.activations import torch_function
from initbench.data_driven.metainit import gradient_quotient
from initbench.data_driven.scaling import relative_rates
from initbench.seeding import stream


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


@pytest.mark.full
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_metainit_lowers_the_gradient_quotient_by_norms_alone(activation: str) -> None:
    problem = make_problem(activation=activation)
    after = run("metainit", problem, steps=300).params

    def quotient(params: dict[str, Any]) -> float:
        leaves = {key: torch.from_numpy(values.copy()).requires_grad_() for key, values in params.items()}
        rng = stream(1, "init", "fresh samples")
        return float(np.median([gradient_quotient(leaves, problem, rng)[0] for _ in range(20)]))

    assert quotient(after) < 0.5 * quotient(problem.params)
    for key, values in problem.params.items():
        if key.endswith("bias"):
            assert (after[key] == values).all()
        else:
            # 300 multiplications, each rounded by at most half a unit in the last place of float32.
            ratio = after[key] / values
            assert ratio == pytest.approx(np.median(ratio), rel=600 * 2.0**-24)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_quotient_is_its_formula_and_its_gradient_that_of_autograd(activation: str) -> None:
    problem = make_problem(depth=1, width=3, activation=activation)
    params = {key: torch.from_numpy(values).double().requires_grad_() for key, values in problem.params.items()}
    found, by_weights = gradient_quotient(params, problem, np.random.default_rng(0), batch=4, eps=1e-3)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((4, 64), np.float32)).double()
    y = torch.from_numpy(rng.integers(10, size=4))

    def loss(*values: torch.Tensor) -> torch.Tensor:
        hidden = torch_function(activation)(x @ values[0].T + values[1])
        return F.cross_entropy(hidden @ values[2].T + values[3], y)

    def quotient(*values: torch.Tensor) -> torch.Tensor:
        g = torch.cat([grad.ravel() for grad in torch.func.grad(loss, (0, 1, 2, 3))(*values)])
        blocks = torch.autograd.functional.hessian(loss, values, create_graph=True)
        hessian = torch.cat(
            [
                torch.cat([blocks[i][j].reshape(v.numel(), w.numel()) for j, w in enumerate(values)], 1)
                for i, v in enumerate(values)
            ]
        )
        return ((g - hessian @ g) / (g + 1e-3 * torch.where(g >= 0, 1.0, -1.0).to(g)) - 1).abs().mean()

    expected = quotient(*params.values())
    assert found == pytest.approx(expected.item(), rel=1e-9)
    weights = {name: values for name, values in params.items() if name.endswith("weight")}
    assert by_weights.keys() == weights.keys()
    for name, grad in zip(weights, torch.autograd.grad(expected, list(weights.values())), strict=True):
        assert by_weights[name].numpy() == pytest.approx(grad.numpy(), rel=1e-7, abs=1e-9)
