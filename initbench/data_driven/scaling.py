"""Scales and biases from one batch of training inputs: LSUV, mean-only, and Krähenbühl's two.

All of them pass the batch through the network layer by layer, in float64, and set each layer before they go on to the
next. No label is needed, and no gradient but that of a random direction in the last.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.activations import ACTIVATIONS
from initbench.data_driven.problem import ParamArrays, Prepared, Problem
from initbench.seeding import stream

Array = NDArray[np.float64]


def lsuv(problem: Problem, *, base: str = "orthogonal", batch: int = 1024) -> Prepared:
    """Layer-sequential unit variance: scale each weight until its products W·h have variance 1 over batch and units.

    Without the bias a product is linear in the weight, so one division is exact and the paper's loop (divide, measure
    again, until within a tolerance or out of tries) ends after its first round. Biases are as their policy has it.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are scaled; the paper's is orthogonal.
        batch: samples to measure on.

    Raises:
        ValueError: a layer answers all samples with one number, which no scale mends.

    References:
        Mishkin & Matas 2016, arXiv:1511.06422, algorithm 1.
    """

    def scale(weight: Array, bias: Array, product: Array) -> tuple[Array, Array]:
        return weight / _positive(product.std()), bias

    return _layer_by_layer(problem, batch, scale)


def mean_only(problem: Problem, *, base: str = "he_normal", batch: int = 1024, mean: float = 0.0) -> Prepared:
    """Set each bias so that every unit's pre-activation has the given mean over the batch; weights stay.

    What LSUV leaves out, alone: the initial step of mean-only batch normalization.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights.
        batch: samples to measure on.
        mean: of every pre-activation.

    References:
        Salimans & Kingma 2016, arXiv:1602.07868, sections 3 and 4.
    """
    return _layer_by_layer(problem, batch, lambda weight, bias, product: (weight, mean - product.mean(axis=0)))


def krahenbuhl_within(problem: Problem, *, base: str = "normal", batch: int = 1024, mean: float = 0.0) -> Prepared:
    """Scale and shift each unit so that its pre-activation has the given mean and variance 1 over the batch.

    Salimans & Kingma's data-dependent initialization (2016, arXiv:1602.07868, eq. 5) is the same with mean 0.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are scaled; its own scale has no effect.
        batch: samples to measure on.
        mean: of every pre-activation; the paper's β.

    Raises:
        ValueError: a unit answers all samples with one number.

    References:
        Krähenbühl et al. 2016, arXiv:1511.06856, algorithm 1.
    """

    def normalise(weight: Array, bias: Array, product: Array) -> tuple[Array, Array]:
        scale = 1 / _positive(product.std(axis=0))
        return weight * scale[:, None], mean - product.mean(axis=0) * scale

    return _layer_by_layer(problem, batch, normalise)


def krahenbuhl_between(
    problem: Problem, *, base: str = "normal", batch: int = 1024, mean: float = 0.0, rounds: int = 10
) -> Prepared:
    """Krähenbühl's within-layer rule, then a factor per layer, so that all layers' weights change at one relative rate.

    The rate of a layer is the root mean square of its weight's gradient over that of its weight, with random N(0, 1)
    gradients of the logits. Where the activation is positively homogeneous (relu, leaky_relu, identity) factors s_l on
    the weights multiply layer l's rate by Π s / s_l², so that one round equalises the rates and gives the logits
    standard deviation 1, exactly. For other activations the rounds are repeated; they need not converge.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are scaled.
        batch: samples to measure on.
        mean: of every pre-activation before the factors.
        rounds: the most there are; fewer where the rates agree within 1 %.

    Raises:
        ValueError: a unit answers all samples with one number, or a layer has no gradient.

    References:
        Krähenbühl et al. 2016, arXiv:1511.06856, algorithm 2 and section 3.2.
    """
    within = krahenbuhl_within(problem, base=base, batch=batch, mean=mean)
    x = problem.inputs.batch(batch, problem.seed)
    params = {name: values.astype(np.float64) for name, values in within.params.items()}
    n, samples = problem.n_layers, within.samples
    for _ in range(rounds):
        rates, spread = relative_rates(problem, params, x)
        samples += len(x)
        if rates.max() < 1.01 * rates.min() and abs(spread - 1) < 0.01:
            break
        factors = np.sqrt(rates / math.exp(np.log(rates).mean())) * spread ** (-1 / n)
        # A layer's bias is as large as what it is added to: all factors up to its own.
        for layer, (factor, so_far) in enumerate(zip(factors, np.cumprod(factors), strict=True)):
            params[f"layers.{layer}.weight"] *= factor
            params[f"layers.{layer}.bias"] *= so_far
    return Prepared({name: values.astype(np.float32) for name, values in params.items()}, samples)


def relative_rates(problem: Problem, params: dict[str, Array], x: Array) -> tuple[Array, float]:
    """Of every layer, rms gradient over rms weight, with random gradients of the logits; and the logits' deviation.

    The gradients are averaged over the batch as squares: one sample's, so that samples do not cancel each other.
    """
    inputs, slopes, h = [], [], x
    for layer in range(problem.n_layers):
        inputs.append(h)
        z = h @ params[f"layers.{layer}.weight"].T + params[f"layers.{layer}.bias"]
        h, slope = _activated(problem, z)
        slopes.append(slope)
    grad = stream(problem.seed, "init", "logit gradients").standard_normal(z.shape)
    rates = np.empty(problem.n_layers)
    for layer in range(problem.n_layers - 1, -1, -1):
        weight = params[f"layers.{layer}.weight"]
        # The sum over units and inputs of (δ aᵀ)², sample by sample, is ‖δ‖²‖a‖².
        squares = (grad**2).sum(axis=1) * (inputs[layer] ** 2).sum(axis=1)
        rates[layer] = math.sqrt(squares.mean() / weight.size) / math.sqrt(np.mean(weight**2))
        if layer:
            grad = (grad @ weight) * slopes[layer - 1]
    if not (rates > 0).all() or not np.isfinite(rates).all():
        raise ValueError(f"the gradient of layer {int(np.argmin(rates > 0))} is zero or not finite")
    return rates, _positive(float(z.std()))


def _layer_by_layer(
    problem: Problem,
    batch: int,
    rule: Callable[[Array, Array, Array], tuple[Array, Array]],
) -> Prepared:
    """Set each layer by a rule (weight, bias, products W·h) -> (weight, bias), the output layer too."""
    h = problem.inputs.batch(batch, problem.seed)
    n_samples, params = len(h), ParamArrays()
    for layer in range(problem.n_layers):
        weight, bias = (problem.params[f"layers.{layer}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
        try:
            weight, bias = rule(weight, bias, h @ weight.T)
        except ValueError as error:
            raise ValueError(f"layers.{layer}: {error}") from error
        for kind, values in (("weight", weight), ("bias", bias)):
            params[f"layers.{layer}.{kind}"] = values.astype(np.float32)
        # As the network will compute it: with the weight as it is stored.
        z = h @ params[f"layers.{layer}.weight"].T.astype(np.float64) + params[f"layers.{layer}.bias"]
        h, _ = _activated(problem, z)
    return Prepared(params, n_samples)


def _activated(problem: Problem, z: Array) -> tuple[Array, Array]:
    """Activations and slopes."""
    from initbench.engine.compiled.activations import KERNELS, activate

    if problem.activation not in KERNELS:
        row = ACTIVATIONS[problem.activation]
        return row.function(z, **problem.activation_params), row.derivative(z, **problem.activation_params)
    h, slope = z.ravel().copy(), np.empty(z.size)
    activate(KERNELS.index(problem.activation), problem.parameter, h, slope)
    return h.reshape(z.shape), slope.reshape(z.shape)


def _positive(deviation: Any) -> Any:
    if not np.all(deviation > 0):
        raise ValueError("it answers all samples with one number, which no scale mends")
    return deviation
