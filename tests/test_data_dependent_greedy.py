"""Greedy pre-training: one layer's learning against something independent, then all layers one by one."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from problems import LEARNING, QUICK, make_problem, pre_activations, run
from torch.nn import functional as F

from initbench.activations import torch_function
from initbench.data_driven import DATA_LAWS
from initbench.engine.compiled import blas, unsupervised
from initbench.engine.compiled.activations import KERNELS
from initbench.engine.compiled.memory import Inputs, Signals
from initbench.engine.compiled.unsupervised import Noise


def product() -> blas.Product:
    return blas.chosen().product(np.dtype(np.float64))


def make_layer(fan_in: int, fan_out: int, activation: str, n: int, scale: float = 0.5) -> Any:
    rng = np.random.default_rng(fan_in)
    weight, bias = scale * rng.standard_normal((fan_out, fan_in)), scale * rng.standard_normal(fan_out)
    layer = unsupervised.layer(weight, bias, activation, 0.3, n, product())
    unsupervised.parts(layer, layer.params)[2][...] = scale * rng.standard_normal(fan_in)
    return layer, rng


@pytest.mark.full
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("activation", KERNELS)
def test_autoencoder_gradient_is_that_of_autograd(activation: str, binary: bool) -> None:
    layer, rng = make_layer(7, 5, activation, 11)
    layer.clean[...] = rng.random(layer.clean.shape)
    layer.seen[...] = layer.clean * (rng.random(layer.clean.shape) < 0.7)
    loss = unsupervised.autoencoder_gradient(layer, 11, binary)
    weight, bias, offset = (
        torch.from_numpy(v.copy()).requires_grad_() for v in unsupervised.parts(layer, layer.params)
    )
    clean = torch.from_numpy(layer.clean)
    slope = {"negative_slope": 0.3}
    name = {"leaky_relu": slope, "tat": slope, "elu": {"alpha": 0.3}}.get(activation)
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
    loss = unsupervised.rbm_gradient(layer, 11, binary, rng)
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
    unsupervised.rbm_gradient(layer, n, binary, rng)
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


@pytest.mark.full
def test_rbm_raises_the_exact_likelihood() -> None:
    rng = np.random.default_rng(0)
    # Two patterns and their noisy copies: 6 visible units, 4 hidden; the partition function has 16 terms.
    x = (
        np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])[rng.integers(2, size=400)] ^ (rng.random((400, 6)) < 0.05)
    ) * 1.0
    layer = unsupervised.layer(0.01 * rng.standard_normal((4, 6)), np.zeros(4), "sigmoid", 0.0, 20, product())

    def likelihood() -> float:
        weight, bias, offset = (torch.from_numpy(v.copy()) for v in unsupervised.parts(layer, layer.params))
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
        partition = torch.logsumexp(every @ bias + F.softplus(every @ weight + offset).sum(1), 0)
        return float(-free_energy(torch.from_numpy(x), weight, bias, offset, True) / len(x) - partition)

    before = likelihood()
    # All states alike: six fair coins, but for weights of 0.01.
    assert before == pytest.approx(-6 * math.log(2), abs=1e-3)
    signals = Signals(np.zeros(1, np.int64), np.zeros(1, np.int64))
    inputs, noise = Inputs(x, np.zeros(6), np.ones(6)), Noise(0.0, np.zeros(6))
    for epoch in range(20):
        lrs, order = np.full(20, 0.02), rng.permutation(400)
        unsupervised.train_epoch(layer, True, True, inputs, order, lrs, 20 * epoch, noise, rng, signals)
    assert signals.steps[0] == 400
    # Of two noisy patterns the entropy is ln 2 + 6 H(0.05) = 1.88 nats; half the way there is far from noise.
    assert likelihood() > before + (6 * math.log(2) - 1.88) / 2


def test_encode_gives_codes_and_error() -> None:
    layer, rng = make_layer(7, 5, "tanh", 4)
    x = rng.integers(0, 255, (10, 7)).astype(np.uint8)
    mean, by_std = np.full(7, 100.0), np.full(7, 0.02)
    codes = np.empty((10, 5))
    error = unsupervised.encode(layer, False, Inputs(x, mean, by_std), codes)
    weight, bias, offset = unsupervised.parts(layer, layer.params)
    a = (x - mean) * by_std
    np.testing.assert_allclose(codes, np.tanh(a @ weight.T + bias), rtol=1e-12)
    assert error == pytest.approx(((codes @ weight + offset - a) ** 2).sum(), rel=1e-12)


def test_corruption_takes_its_share_of_the_elements() -> None:
    layer, rng = make_layer(500, 2, "tanh", 400)
    layer.clean[...] = rng.random(layer.clean.shape) + 2
    fill = np.linspace(0, 1, 500)
    unsupervised.corrupt(layer, 400, Noise(0.3, fill), rng)
    missing = layer.seen != layer.clean
    assert (layer.seen[missing] == np.broadcast_to(fill, missing.shape)[missing]).all()
    assert missing.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / missing.size))


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
