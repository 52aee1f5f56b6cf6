"""One perceptron in one piece of memory: some steps of training and an evaluation, each one call of compiled code."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from initbench.engine.compiled.activations import KERNELS, activate
from initbench.engine.compiled.blas import Product
from initbench.engine.compiled.kernels import add_bias, cross_entropy, multiply, name_classes, standardise, sum_rows
from initbench.engine.compiled.machine_code import compiled
from initbench.engine.compiled.memory import Array, aligned, places
from initbench.engine.compiled.products import input_gradients, outputs, weight_gradient
from initbench.engine.compiled.rules import after, before, update
from initbench.engine.job import Floats

# Samples that pass through the network at once where nothing is trained.
_EVAL_ROWS = 256


class Workspace(NamedTuple):
    """A multilayer perceptron's shape, parameters and scratch memory, as compiled code takes it.

    Attributes:
        sizes: units of every layer, input first.
        weight_at: where each layer's weight ``[out, in]`` begins in ``params``; ``bias_at`` likewise.
        out_at: where each layer's output ``[rows, out]`` begins in ``out``, ``slope`` and ``grad``.
        activation: its number, and ``parameter`` its parameter.
        params: all parameters.
        n_buffers: arrays of the optimizer's state for each parameter, which lie behind each other in ``state``.
        weight_grad: the gradient of one layer's weight, ``bias_grad`` of its bias.
        x: ``[rows, features]``, a standardised batch.
        out: pre-activations, then activations of every layer; the last one's are the logits.
        slope: the derivatives of the activations.
        grad: the gradients of the layers' outputs.
        product: the matrix product.
    """

    sizes: Array
    weight_at: Array
    bias_at: Array
    out_at: Array
    activation: int
    parameter: Any
    params: Array
    n_buffers: int
    state: Array
    weight_grad: Array
    bias_grad: Array
    x: Array
    out: Array
    slope: Array
    grad: Array
    product: Product


def workspace(
    params: Mapping[str, Floats], activation: str, parameter: float, batch_size: int, n_buffers: int, product: Product
) -> Workspace:
    """Memory for one network with the given parameters.

    Args:
        params: ``layers.0.weight`` ``[out, in]``, ``layers.0.bias`` ``[out]`` and so on.
        activation: a name of :data:`KERNELS`.
        parameter: the activation's parameter.
        batch_size: the most samples of a training step.
        n_buffers: arrays of state that the optimizer keeps for each parameter.
        product: the matrix product of the parameters' type.
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
    result = Workspace(
        sizes=np.array(sizes),
        weight_at=at[:depth],
        bias_at=at[depth:-1],
        out_at=out_at,
        activation=KERNELS.index(activation),
        parameter=dtype.type(parameter),
        params=zeros(at[-1]),
        n_buffers=n_buffers,
        state=zeros(n_buffers * at[-1]),
        weight_grad=zeros(max(lengths)),
        bias_grad=zeros(max(sizes)),
        x=zeros(rows * sizes[0]).reshape(rows, sizes[0]),
        out=zeros(out_at[-1]),
        slope=zeros(out_at[-1]),
        grad=zeros(out_at[-1]),
        product=product,
    )
    for name, target in parameters(result).items():
        target[...] = params[name]
    return result


def parameters(net: Workspace) -> dict[str, Array]:
    """The parameters by name, as views."""
    result = {}
    for layer, (fan_in, fan_out) in enumerate(zip(net.sizes, net.sizes[1:], strict=False)):
        start = net.weight_at[layer]
        result[f"layers.{layer}.weight"] = net.params[start : start + fan_in * fan_out].reshape(fan_out, fan_in)
        start = net.bias_at[layer]
        result[f"layers.{layer}.bias"] = net.params[start : start + fan_out]
    return result


def flops(net: Workspace) -> float:
    """About what a step of training costs for each sample."""
    return 6.0 * len(net.params)


@compiled
def _forward(net, inputs, rows):
    """The logits of the samples ``rows``, into ``net.out``."""
    n, last = len(rows), len(net.sizes) - 2
    for i in range(n):
        standardise(inputs.x[rows[i]], inputs.mean, inputs.by_std, net.x[i])
    below = net.x.reshape(-1)
    for layer in range(last + 1):
        fan_in, fan_out, at = net.sizes[layer], net.sizes[layer + 1], net.out_at[layer]
        w, b = net.weight_at[layer], net.bias_at[layer]
        z = net.out[at : at + n * fan_out]
        outputs(net.product, below, net.params[w : w + fan_in * fan_out], z, n, fan_in, fan_out)
        add_bias(z, net.params[b : b + fan_out], n)
        if layer < last:
            activate(net.activation, net.parameter, z, net.slope[at : at + n * fan_out])
        below = z


@compiled
def _state(net, start, size):
    """The optimizer's state ``[buffer, element]`` of the parameter that begins at ``start``."""
    k = net.n_buffers
    return net.state[k * start : k * (start + size)].reshape(k, size)


@compiled
def _step(net, hyper, lr, step, n):
    """One optimizer step from the gradient of the logits; ``n`` samples, ``step`` counted from 1."""
    last = len(net.sizes) - 2
    for layer in range(last, -1, -1):
        fan_in, fan_out, at = net.sizes[layer], net.sizes[layer + 1], net.out_at[layer]
        w, b, size = net.weight_at[layer], net.bias_at[layer], net.sizes[layer] * net.sizes[layer + 1]
        weight, bias = net.params[w : w + size], net.params[b : b + fan_out]
        grad, bias_grad = net.grad[at : at + n * fan_out], net.bias_grad[:fan_out]
        below = net.x.reshape(-1)
        if layer:
            start = net.out_at[layer - 1]
            below, grad_below = net.out[start : start + n * fan_in], net.grad[start : start + n * fan_in]
            input_gradients(net.product, grad, weight, grad_below, n, fan_in, fan_out)
            multiply(grad_below, net.slope[start : start + n * fan_in])
        sum_rows(grad, bias_grad)
        state = _state(net, w, size)
        keep = before(hyper, weight, state)
        if keep >= 0:
            weight_gradient(net.product, grad, below, keep, state[0], n, fan_in, fan_out)
            after(hyper, weight, state, lr)
        else:
            weight_grad = net.weight_grad[:size]
            weight_gradient(net.product, grad, below, 0.0, weight_grad, n, fan_in, fan_out)
            update(hyper, weight, weight_grad, state, lr, step)
        update(hyper, bias, bias_grad, _state(net, b, fan_out), lr, step)


@compiled
def train_steps(net, hyper, inputs, y, order, batch_size, lrs, steps_before, loss, n_correct, signals):
    """Train over the samples ``order`` once: those of an epoch, or of a part of one.

    Args:
        net: the network, changed in place.
        hyper: the optimizer's hyperparameters, whose type says which one it is.
        inputs: all samples.
        y: their classes.
        order: row numbers.
        batch_size: samples of a step; the last one may have fewer.
        lrs: ``[step]``, learning rates.
        steps_before: all steps made before.
        loss: what the steps of this epoch that were made before summed up to.
        n_correct: likewise.
        signals: the steps made, and whether to end early.

    Returns:
        The loss, summed over the samples as they were seen; the number of correct ones; and the step of these whose
        loss was NaN or infinite, where training ended, else -1.
    """
    n_classes, at = net.sizes[-1], net.out_at[len(net.sizes) - 2]
    for step in range(len(lrs)):
        rows = order[step * batch_size : (step + 1) * batch_size]
        n = len(rows)
        _forward(net, inputs, rows)
        logits = net.out[at : at + n * n_classes].reshape(n, n_classes)
        grad = net.grad[at : at + n * n_classes].reshape(n, n_classes)
        batch_loss, batch_correct = cross_entropy(logits, y[rows], grad)
        if not abs(batch_loss) < math.inf:
            return loss, n_correct, step
        loss += batch_loss
        n_correct += batch_correct
        _step(net, hyper, lrs[step], steps_before + step + 1, n)
        signals.steps[0] += 1
        if signals.stop[0]:
            break
    return loss, n_correct, -1


@compiled
def evaluate(net, inputs, y, rows):
    """The summed loss of the samples ``rows``, NaN if a logit is not finite, the correct ones, the classes named."""
    loss, n_correct = 0.0, 0
    n_classes, at = net.sizes[-1], net.out_at[len(net.sizes) - 2]
    answered = np.zeros(n_classes, np.bool_)
    for start in range(0, len(rows), len(net.x)):
        part = rows[start : start + len(net.x)]
        n = len(part)
        _forward(net, inputs, part)
        logits = net.out[at : at + n * n_classes].reshape(n, n_classes)
        grad = net.grad[at : at + n * n_classes].reshape(n, n_classes)
        part_loss, part_correct = cross_entropy(logits, y[part], grad)
        loss += part_loss
        n_correct += part_correct
        name_classes(logits, answered)
    return loss, n_correct, answered.sum()
