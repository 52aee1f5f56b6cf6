"""One layer that learns to reconstruct its inputs, as an autoencoder or as a restricted Boltzmann machine.

Both keep one weight ``[out, in]`` for the way up and the way down, a bias above and an offset below, and follow their
gradient with Adam, whose steps are of one size whatever the scale of the inputs.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from initbench.engine.compiled.activations import KERNELS, activate
from initbench.engine.compiled.blas import Product
from initbench.engine.compiled.elementary import exp
from initbench.engine.compiled.kernels import add_bias, multiply, standardise, sum_rows
from initbench.engine.compiled.machine_code import compiled
from initbench.engine.compiled.memory import Array, aligned, places
from initbench.engine.compiled.products import input_gradients, outputs, weight_gradient
from initbench.engine.compiled.rules import update
from initbench.engine.job import Floats
from initbench.engine.optimizers.adam import Adam

_SIGMOID = KERNELS.index("sigmoid")

# As Adam's authors recommend it: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
_ADAM = Adam(beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0)


class Layer(NamedTuple):
    """One layer with its scratch memory, as compiled code takes it.

    Attributes:
        at: where weight ``[out, in]``, bias ``[out]`` and offset ``[in]`` begin in ``params``, and where it ends.
        activation: the number of the activation above, and ``parameter`` its parameter.
        params: all parameters; ``grad`` and each of Adam's two buffers in ``state`` are of the same layout.
        clean: ``[batch, in]``, what is to be reconstructed; ``seen`` what the layer is shown instead.
        hidden: ``[batch, out]``, what is above; ``slope`` and ``back`` likewise, derivatives and gradients.
        below: ``[batch, in]``, the reconstruction, then its error.
        product: the matrix product.
    """

    at: Array
    activation: int
    parameter: Any
    params: Array
    grad: Array
    state: Array
    clean: Array
    seen: Array
    hidden: Array
    slope: Array
    back: Array
    below: Array
    product: Product


class Noise(NamedTuple):
    """What is missing from what the autoencoder is shown.

    Attributes:
        corruption: the probability that an element is missing.
        fill: ``[in]``, what is in its place.
    """

    corruption: float
    fill: Array


def layer(weight: Floats, bias: Floats, activation: str, parameter: float, batch_size: int, product: Product) -> Layer:
    """Memory for a layer with the given parameters; its offset is 0.

    Raises:
        ValueError: the activation has no compiled code.
    """
    if activation not in KERNELS:
        raise ValueError(f"it trains in compiled code, which has no activation '{activation}'")
    fan_out, fan_in = weight.shape
    dtype = weight.dtype
    at = _places(weight)

    def rows(size: int) -> Array:
        return aligned(batch_size * size, dtype).reshape(batch_size, size)

    result = Layer(
        at=at,
        activation=KERNELS.index(activation),
        parameter=dtype.type(parameter),
        params=aligned(at[-1], dtype),
        grad=aligned(at[-1], dtype),
        state=aligned(2 * at[-1], dtype).reshape(2, -1),
        clean=rows(fan_in),
        seen=rows(fan_in),
        hidden=rows(fan_out),
        slope=rows(fan_out),
        back=rows(fan_out),
        below=rows(fan_in),
        product=product,
    )
    for target, values in zip(parts(result, result.params), (weight, bias), strict=False):
        target[...] = values
    return result


def size(weight: Floats) -> int:
    """How many numbers ``params`` of a layer with this weight has."""
    return int(_places(weight)[-1])


def _places(weight: Floats) -> Array:
    return places([weight.size, *weight.shape], weight.dtype)


def parts(one: Layer, flat: Array) -> tuple[Array, Array, Array]:
    """Weight, bias and offset in ``params``, or the same parts of its gradient, as views."""
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    w, b, c, _ = one.at
    return flat[w : w + fan_out * fan_in].reshape(fan_out, fan_in), flat[b : b + fan_out], flat[c : c + fan_in]


@compiled
def _read(one, inputs, rows):
    """The samples ``rows``, standardised, as what is to be reconstructed."""
    for i in range(len(rows)):
        standardise(inputs.x[rows[i]], inputs.mean, inputs.by_std, one.clean[i])


@compiled
def corrupt(one, n, noise, rng):
    """Show the layer its inputs without those elements that are missing."""
    threshold, fill = np.float32(noise.corruption), noise.fill
    for i in range(n):
        clean, seen = one.clean[i], one.seen[i]
        for j in range(len(fill)):
            seen[j] = clean[j]
        if noise.corruption:
            for j in range(len(fill)):
                if rng.random(None, np.float32) < threshold:
                    seen[j] = fill[j]


@compiled
def _up(one, inputs, out, slope, n, activation):
    """``out = φ(inputs · Wᵀ + b)`` and the slopes."""
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    z = out.reshape(-1)[: n * fan_out]
    outputs(one.product, inputs.reshape(-1), one.params, z, n, fan_in, fan_out)
    add_bias(z, one.params[one.at[1] : one.at[1] + fan_out], n)
    activate(activation, one.parameter, z, slope.reshape(-1)[: n * fan_out])


@compiled
def _down(one, hidden, n, binary):
    """``below = hidden · W + c``, or the logistic function of that where what is below lies in 0..1."""
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    z = one.below.reshape(-1)[: n * fan_in]
    input_gradients(one.product, hidden.reshape(-1), one.params, z, n, fan_in, fan_out)
    add_bias(z, one.params[one.at[2] : one.at[2] + fan_in], n)
    if binary:
        unit = z.dtype.type(1)
        for i in range(len(z)):
            z[i] = unit / (unit + exp(-z[i]))


@compiled
def _outer(one, above, inputs, keep, n):
    """``grad of W = keep · grad of W + aboveᵀ · inputs``."""
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    weight_gradient(one.product, above.reshape(-1), inputs.reshape(-1), keep, one.grad, n, fan_in, fan_out)


@compiled
def autoencoder_gradient(one, n, binary):
    """The gradient of the reconstruction's loss, averaged over ``n`` samples; and the sum of ‖r − a‖² over them.

    With z = Wᵀ φ(W ã + b) + c the loss is ½‖r − a‖², r = z; or, where a lies in 0..1 (``binary``), the cross-entropy of
    a and r = σ(z), summed over the elements. ``one.clean`` holds a, ``one.seen`` ã.
    """
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    _up(one, one.seen, one.hidden, one.slope, n, one.activation)
    _down(one, one.hidden, n, binary)
    # Of both losses the gradient with respect to z is r − a.
    error, clean = one.below.reshape(-1)[: n * fan_in], one.clean.reshape(-1)
    share, loss = error.dtype.type(1.0 / n), 0.0
    for i in range(n * fan_in):
        e = error[i] - clean[i]
        loss += e * e
        error[i] = share * e
    sum_rows(error, one.grad[one.at[2] : one.at[2] + fan_in])
    back = one.back.reshape(-1)[: n * fan_out]
    outputs(one.product, error, one.params, back, n, fan_in, fan_out)
    multiply(back, one.slope.reshape(-1)[: n * fan_out])
    sum_rows(back, one.grad[one.at[1] : one.at[1] + fan_out])
    _outer(one, one.hidden, one.below, 0, n)
    _outer(one, one.back, one.seen, 1, n)
    return loss


@compiled
def rbm_gradient(one, n, binary, rng):
    """The descent direction of one step of contrastive divergence (CD-1) over ``n`` samples; and the sum of ‖v₁ − v₀‖².

    Hidden units are binary. ``one.clean`` holds v₀, visible units that are binary (their probabilities, in 0..1) or
    Gaussian with variance 1; v₁ and the hidden probabilities that enter the statistics are means, only the states that
    drive the reconstruction are drawn.

    References:
        Hinton 2002, Neural Computation 14(8), section 4; Hinton 2010, A Practical Guide to Training Restricted
        Boltzmann Machines, section 3; Gaussian units: section 13.2.
    """
    fan_in, fan_out = one.below.shape[1], one.hidden.shape[1]
    kind = one.params.dtype.type
    share, loss = kind(1.0 / n), 0.0
    _up(one, one.clean, one.hidden, one.slope, n, _SIGMOID)
    first, states = one.hidden.reshape(-1)[: n * fan_out], one.back.reshape(-1)
    for i in range(n * fan_out):
        states[i] = kind(1) if rng.random(None, np.float32) < first[i] else kind(0)
    _down(one, one.back, n, binary)
    _up(one, one.below, one.back, one.slope, n, _SIGMOID)
    second = one.back.reshape(-1)[: n * fan_out]
    # The gradient descends: reconstruction's statistics less the data's.
    for i in range(n * fan_out):
        first[i] *= -share
        second[i] *= share
    _outer(one, one.hidden, one.clean, 0, n)
    _outer(one, one.back, one.below, 1, n)
    visible, clean = one.below.reshape(-1)[: n * fan_in], one.clean.reshape(-1)
    for i in range(n * fan_in):
        e = visible[i] - clean[i]
        loss += e * e
        visible[i] = share * e
    sum_rows(visible, one.grad[one.at[2] : one.at[2] + fan_in])
    for i in range(n * fan_out):
        second[i] += first[i]
    sum_rows(second, one.grad[one.at[1] : one.at[1] + fan_out])
    return loss


@compiled
def train_epoch(one, machine, binary, inputs, order, lrs, steps_before, noise, rng, signals):
    """Train over the samples ``order`` once, by batches as large as the layer's memory.

    Args:
        one: the layer, changed in place.
        machine: a restricted Boltzmann machine instead of an autoencoder.
        binary: its visible units are binary.
        inputs: all of them.
        order: row numbers.
        lrs: ``[step]``, Adam's step sizes.
        steps_before: steps of earlier epochs.
        noise: what is missing from what the autoencoder is shown.
        rng: draws what is missing, or the states of the hidden units.
        signals: the steps made, and whether to end early.

    Returns:
        The squared error of the reconstruction, summed over the samples as they were seen.
    """
    loss, batch = 0.0, len(one.clean)
    for step in range(len(lrs)):
        rows = order[step * batch : (step + 1) * batch]
        n = len(rows)
        _read(one, inputs, rows)
        if machine:
            loss += rbm_gradient(one, n, binary, rng)
        else:
            corrupt(one, n, noise, rng)
            loss += autoencoder_gradient(one, n, binary)
        update(_ADAM, one.params, one.grad, one.state, lrs[step], steps_before + step + 1)
        signals.steps[0] += 1
        if signals.stop[0] or not loss < math.inf:
            break
    return loss


@compiled
def encode(one, binary, inputs, codes):
    """Fill in the codes φ(W a + b) ``[n, out]`` of all inputs.

    Returns:
        The squared error of the reconstruction from these codes, summed over the inputs.
    """
    loss = 0.0
    for start in range(0, len(inputs.x), len(one.clean)):
        rows = np.arange(start, min(start + len(one.clean), len(inputs.x)))
        n = len(rows)
        _read(one, inputs, rows)
        _up(one, one.clean, one.hidden, one.slope, n, one.activation)
        codes[start : start + n] = one.hidden[:n]
        _down(one, one.hidden, n, binary)
        for i in range(n):
            for j in range(one.below.shape[1]):
                e = one.below[i, j] - one.clean[i, j]
                loss += e * e
    return loss
