"""One perceptron in one piece of memory: an epoch of training and an evaluation, each one call of compiled code."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from initbench.engine.compiled.activations import ACTIVATIONS, activate
from initbench.engine.compiled.blas import KEEP, TURN, gemm
from initbench.engine.compiled.elementary import compiled
from initbench.engine.compiled.kernels import (
    adam,
    add_bias,
    cross_entropy,
    decay_velocity,
    descend,
    multiply,
    nesterov,
    standardise,
    sum_rows,
)
from initbench.engine.job import Floats

Array = NDArray[Any]

# Where every array begins, in bytes: a BLAS may take another way through one that starts elsewhere, and a network's
# bits must not depend on where its memory happens to lie.
_ALIGN = 64

# Samples that pass through the network at once where nothing is trained.
_EVAL_ROWS = 256

SGD, NESTEROV, ADAM, ADAMW = range(4)


class Network(NamedTuple):
    """A network's shape, parameters and scratch memory, as compiled code takes it.

    Attributes:
        sizes: units of every layer, input first.
        weight_at: where each layer's weight ``[out, in]`` begins in ``params``; ``bias_at`` likewise.
        out_at: where each layer's output ``[rows, out]`` begins in ``out``, ``slope`` and ``grad``.
        activation: its number, and ``parameter`` its parameter.
        params: all parameters; ``first`` and ``second`` are the optimizer's state, of the same layout.
        weight_grad: the gradient of one layer's weight, ``bias_grad`` of its bias.
        x: ``[rows, features]``, a standardised batch.
        out: pre-activations, then activations of every layer; the last one's are the logits.
        slope: the derivatives of the activations.
        grad: the gradients of the layers' outputs.
        ints: scratch of the matrix product, as is ``scalars``.
    """

    sizes: Array
    weight_at: Array
    bias_at: Array
    out_at: Array
    activation: int
    parameter: Any
    params: Array
    first: Array
    second: Array
    weight_grad: Array
    bias_grad: Array
    x: Array
    out: Array
    slope: Array
    grad: Array
    ints: Array
    scalars: Array


class Rule(NamedTuple):
    """One trial's optimizer: what it is, and its hyperparameters (float64); those of other optimizers are 0."""

    kind: int
    momentum: float
    weight_decay: float
    beta1: float
    beta2: float
    eps: float


def places(lengths: list[int], dtype: np.dtype[Any]) -> Array:
    """Where arrays of these lengths begin when they lie behind each other, aligned; and where the last ends."""
    lane = _ALIGN // dtype.itemsize
    return np.cumsum([0, *(-(-length // lane) * lane for length in lengths)])


def aligned(length: int, dtype: np.dtype[Any]) -> Array:
    """An array of zeros that begins where a BLAS likes it to."""
    raw = np.zeros(length * dtype.itemsize + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + length * dtype.itemsize].view(dtype)


def network(params: Mapping[str, Floats], activation: str, parameter: float, batch_size: int, rule: Rule) -> Network:
    """Memory for one network with the given parameters.

    Args:
        params: ``layers.0.weight`` ``[out, in]``, ``layers.0.bias`` ``[out]`` and so on.
        activation: a name of :data:`ACTIVATIONS`.
        parameter: the activation's parameter.
        batch_size: the most samples of a training step.
        rule: decides how much state the optimizer needs.
    """
    depth = len(params) // 2
    weights = [params[f"layers.{layer}.weight"] for layer in range(depth)]
    dtype = weights[0].dtype
    sizes = [weights[0].shape[1], *(len(weight) for weight in weights)]
    rows = max(batch_size, _EVAL_ROWS)

    def zeros(length: int) -> Array:
        return aligned(length, dtype)

    lengths = [weight.size for weight in weights] + sizes[1:]
    at = places(lengths, dtype)
    out_at = places([rows * size for size in sizes[1:]], dtype)
    result = Network(
        sizes=np.array(sizes),
        weight_at=at[:depth],
        bias_at=at[depth:-1],
        out_at=out_at,
        activation=ACTIVATIONS.index(activation),
        parameter=dtype.type(parameter),
        params=zeros(at[-1]),
        first=zeros(at[-1]),
        second=zeros(at[-1] if rule.kind in (ADAM, ADAMW) else 0),
        weight_grad=zeros(0 if rule.kind == SGD else max(lengths)),
        bias_grad=zeros(max(sizes)),
        x=zeros(rows * sizes[0]).reshape(rows, sizes[0]),
        out=zeros(out_at[-1]),
        slope=zeros(out_at[-1]),
        grad=zeros(out_at[-1]),
        ints=np.zeros(8, np.int32),
        scalars=np.zeros(2, dtype),
    )
    for name, target in parameters(result).items():
        target[...] = params[name]
    return result


def parameters(net: Network) -> dict[str, Array]:
    """The parameters by name, as views."""
    result = {}
    for layer, (fan_in, fan_out) in enumerate(zip(net.sizes, net.sizes[1:], strict=False)):
        start = net.weight_at[layer]
        result[f"layers.{layer}.weight"] = net.params[start : start + fan_in * fan_out].reshape(fan_out, fan_in)
        start = net.bias_at[layer]
        result[f"layers.{layer}.bias"] = net.params[start : start + fan_out]
    return result


@compiled
def _forward(address, net, x, mean, by_std, rows):
    """The logits of the samples ``rows``, into ``net.out``."""
    n, item, last = len(rows), net.params.itemsize, len(net.sizes) - 2
    for i in range(n):
        standardise(x[rows[i]], mean, by_std, net.x[i])
    below = net.x.ctypes.data
    for layer in range(last + 1):
        fan_in, fan_out, at = net.sizes[layer], net.sizes[layer + 1], net.out_at[layer]
        weight, out = net.params.ctypes.data + item * net.weight_at[layer], net.out.ctypes.data + item * at
        # Rows here are columns to the BLAS: outᵀ = W · xᵀ with W stored as its transpose.
        gemm(
            address, TURN, KEEP, fan_out, n, fan_in, weight, fan_in, below, fan_in, 0, out, fan_out,
            net.ints, net.scalars,
        )  # fmt: skip
        z = net.out[at : at + n * fan_out]
        add_bias(z, net.params[net.bias_at[layer] : net.bias_at[layer] + fan_out], n)
        if layer < last:
            activate(net.activation, net.parameter, z, net.slope[at : at + n * fan_out])
        below = out


@compiled
def _update(address, net, rule, lr, step, n):
    """One optimizer step from the gradient of the logits; ``n`` samples, ``step`` counted from 1."""
    item, last = net.params.itemsize, len(net.sizes) - 2
    coupled = 0.0 if rule.kind == ADAMW else rule.weight_decay
    decoupled = rule.weight_decay if rule.kind == ADAMW else 0.0
    for layer in range(last, -1, -1):
        fan_in, fan_out, at = net.sizes[layer], net.sizes[layer + 1], net.out_at[layer]
        w, b = net.weight_at[layer], net.bias_at[layer]
        weight, bias = net.params[w : w + fan_in * fan_out], net.params[b : b + fan_out]
        first_w, first_b = net.first[w : w + fan_in * fan_out], net.first[b : b + fan_out]
        grad, bias_grad = net.grad.ctypes.data + item * at, net.bias_grad[:fan_out]
        below = net.x.ctypes.data
        if layer:
            before = net.out_at[layer - 1]
            below = net.out.ctypes.data + item * before
            gemm(
                address, KEEP, KEEP, fan_in, n, fan_out, weight.ctypes.data, fan_in, grad, fan_out,
                0, net.grad.ctypes.data + item * before, fan_in, net.ints, net.scalars,
            )  # fmt: skip
            multiply(net.grad[before : before + n * fan_in], net.slope[before : before + n * fan_in])
        sum_rows(net.grad[at : at + n * fan_out], bias_grad)
        # Plain momentum takes up the gradient as the product is made: velocity = momentum · velocity + gᵀ x.
        keep, into = 0.0, net.weight_grad.ctypes.data
        if rule.kind == SGD:
            keep, into = rule.momentum, first_w.ctypes.data
            if coupled:
                decay_velocity(first_w, weight, rule.momentum, coupled)
                keep = 1.0
        gemm(
            address, KEEP, TURN, fan_in, fan_out, n, below, fan_in, grad, fan_out, keep, into, fan_in,
            net.ints, net.scalars,
        )  # fmt: skip
        if rule.kind == SGD:
            descend(weight, first_w, lr)
            decay_velocity(first_b, bias, rule.momentum, coupled)
            for i in range(fan_out):
                first_b[i] += bias_grad[i]
            descend(bias, first_b, lr)
        elif rule.kind == NESTEROV:
            nesterov(weight, net.weight_grad, first_w, lr, rule.momentum, coupled)
            nesterov(bias, bias_grad, first_b, lr, rule.momentum, coupled)
        else:
            second_w, second_b = net.second[w : w + fan_in * fan_out], net.second[b : b + fan_out]
            adam(
                weight, net.weight_grad, first_w, second_w, step, lr, rule.beta1, rule.beta2, rule.eps,
                coupled, decoupled,
            )  # fmt: skip
            adam(bias, bias_grad, first_b, second_b, step, lr, rule.beta1, rule.beta2, rule.eps, coupled, decoupled)


@compiled
def train_epoch(address, net, rule, x, y, mean, by_std, order, batch_size, lrs, steps_before, steps, stop):
    """Train over the samples ``order`` once.

    Args:
        address: of the matrix product.
        net: the network, changed in place.
        rule: the optimizer.
        x: all samples ``[n, features]``.
        y: their classes.
        mean: ``[features]``, subtracted from a sample.
        by_std: ``[features]``, what it is then multiplied by.
        order: row numbers.
        batch_size: samples of a step; the last one may have fewer.
        lrs: ``[step]``, learning rates.
        steps_before: steps of earlier epochs.
        steps: one number, raised by one after each step.
        stop: one number; training ends early where it is not 0.

    Returns:
        The loss, summed over the samples as they were seen; the number of correct ones; and the step within the epoch
        whose loss was NaN or infinite, where training ended, else -1.
    """
    loss, n_correct = 0.0, 0
    n_classes, at = net.sizes[-1], net.out_at[len(net.sizes) - 2]
    for step in range(len(lrs)):
        rows = order[step * batch_size : (step + 1) * batch_size]
        n = len(rows)
        _forward(address, net, x, mean, by_std, rows)
        logits = net.out[at : at + n * n_classes].reshape(n, n_classes)
        grad = net.grad[at : at + n * n_classes].reshape(n, n_classes)
        batch_loss, batch_correct = cross_entropy(logits, y[rows], grad)
        if not abs(batch_loss) < math.inf:
            return loss, n_correct, step
        loss += batch_loss
        n_correct += batch_correct
        _update(address, net, rule, lrs[step], steps_before + step + 1, n)
        steps[0] += 1
        if stop[0]:
            break
    return loss, n_correct, -1


@compiled
def evaluate(address, net, x, y, mean, by_std, rows):
    """The loss summed over the samples ``rows`` (NaN if a logit is not finite), and the number of correct ones."""
    loss, n_correct = 0.0, 0
    n_classes, at = net.sizes[-1], net.out_at[len(net.sizes) - 2]
    for start in range(0, len(rows), len(net.x)):
        part = rows[start : start + len(net.x)]
        n = len(part)
        _forward(address, net, x, mean, by_std, part)
        logits = net.out[at : at + n * n_classes].reshape(n, n_classes)
        grad = net.grad[at : at + n * n_classes].reshape(n, n_classes)
        part_loss, part_correct = cross_entropy(logits, y[part], grad)
        loss += part_loss
        n_correct += part_correct
    return loss, n_correct
