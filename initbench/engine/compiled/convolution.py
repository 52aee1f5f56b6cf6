"""One plain convolutional network in one piece of memory, a few samples at a time, out of the cache.

Maps have their channels last: the numbers below one place of a kernel's row lie behind each other, and a convolution is
a copy of such rows and a product. The gradients of a batch are added up over its parts.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from initbench.engine.compiled.activations import KERNELS, activate
from initbench.engine.compiled.blas import Product
from initbench.engine.compiled.kernels import add_bias, add_rows, cross_entropy, multiply, name_classes, standardise
from initbench.engine.compiled.machine_code import compiled
from initbench.engine.compiled.memory import Array, aligned, places
from initbench.engine.compiled.products import input_gradients, outputs, weight_gradient
from initbench.engine.compiled.rules import update
from initbench.engine.job import Floats

# How much of what the samples of a part need may lie in a core's second-level cache.
_PART_BYTES = 3 << 19


class Images(NamedTuple):
    """What a network of convolutions is given, and the stride of its first one."""

    channels: int
    height: int
    width: int
    stride: int


class Maps(NamedTuple):
    """A convolutional network's shape, parameters and scratch memory, as compiled code takes it.

    Attributes:
        depth: convolutions, ``kernel`` by ``kernel``, of ``channels`` channels each; the first has a ``stride``.
        kernel: see ``depth``.
        stride: see ``depth``.
        channels: of the samples and of what every convolution puts out.
        height: of the samples, and of the maps that every convolution puts out; ``width`` likewise.
        width: see ``height``.
        weight_at: where each layer's weight begins in ``params``, ``[out, row, column, in]``, that of the output layer
            last; ``bias_at`` likewise.
        bias_at: see ``weight_at``.
        activation: its number, and ``parameter`` its parameter.
        parameter: see ``activation``.
        params: all parameters.
        grad: their gradients, in the same layout.
        state: the optimizer's, ``[buffer, element]``.
        x: ``[part, features]``, standardised samples.
        padded: each convolution's input with zeros around it, ``[part, height, width, channels]``, from ``padded_at``.
        padded_at: see ``padded``.
        rows: what each convolution multiplies, ``[part and place, kernel's numbers]``, from ``rows_at``.
        rows_at: see ``rows``.
        out: activations ``[part, height, width, channels]`` of each convolution, from ``out_at``; ``slope`` likewise.
        out_at: see ``out``.
        slope: the derivatives of the activations.
        back: the gradient of a convolution's output.
        back_rows: that of ``rows`` of one convolution; ``back_padded`` of its padded input.
        back_padded: see ``back_rows``.
        logits: ``[part, classes]``, and ``back_logits`` their gradient.
        back_logits: see ``logits``.
        product: the matrix product.
    """

    depth: int
    kernel: int
    stride: int
    channels: Array
    height: Array
    width: Array
    weight_at: Array
    bias_at: Array
    activation: int
    parameter: Any
    params: Array
    grad: Array
    state: Array
    x: Array
    padded: Array
    padded_at: Array
    rows: Array
    rows_at: Array
    out: Array
    out_at: Array
    slope: Array
    back: Array
    back_rows: Array
    back_padded: Array
    logits: Array
    back_logits: Array
    product: Product


def workspace(
    params: Mapping[str, Floats],
    images: Images,
    activation: str,
    parameter: float,
    n_buffers: int,
    product: Product,
) -> Maps:
    """Memory for one network with the given parameters.

    Args:
        params: ``layers.0.weight`` ``[out, in, row, column]``, ``layers.0.bias`` ``[out]`` and so on; the output layer
            last, ``[classes, channels · height · width]``.
        images: what it is given.
        activation: a name of :data:`KERNELS`.
        parameter: the activation's parameter.
        n_buffers: arrays of state that the optimizer keeps for each parameter.
        product: the matrix product of the parameters' type.
    """
    depth = len(params) // 2 - 1
    weights = [params[f"layers.{layer}.weight"] for layer in range(depth + 1)]
    dtype, kernel, n_classes = weights[0].dtype, weights[0].shape[2], len(weights[-1])
    channels = np.array([images.channels, *(len(weight) for weight in weights[:-1])])
    height, width = (
        np.full(depth + 1, -(-images.height // images.stride)),
        np.full(depth + 1, -(-images.width // images.stride)),
    )
    height[0], width[0] = images.height, images.width
    at = places([*(weight.size for weight in weights), *(len(weight) for weight in weights)], dtype)
    n_places = int(height[-1] * width[-1])
    of_rows = [n_places * kernel * kernel * int(channels[layer]) for layer in range(depth)]
    of_out = [n_places * int(channels[layer + 1]) for layer in range(depth)]
    of_padded = [int((height[i] + kernel - 1) * (width[i] + kernel - 1) * channels[i]) for i in range(depth)]
    part = max(1, _PART_BYTES // (dtype.itemsize * (sum(of_rows) + sum(of_out) * 2 + sum(of_padded) + max(of_rows))))
    part = 1 << (part.bit_length() - 1)

    def zeros(length: int) -> Array:
        return aligned(length, dtype)

    rows_at, out_at, padded_at = (places([part * size for size in of], dtype) for of in (of_rows, of_out, of_padded))
    result = Maps(
        depth=depth,
        kernel=kernel,
        stride=images.stride,
        channels=channels,
        height=height,
        width=width,
        weight_at=at[: depth + 1],
        bias_at=at[depth + 1 : -1],
        activation=KERNELS.index(activation),
        parameter=dtype.type(parameter),
        params=zeros(at[-1]),
        grad=zeros(at[-1]),
        state=zeros(n_buffers * at[-1]).reshape(n_buffers, at[-1]),
        x=zeros(part * images.channels * images.height * images.width).reshape(part, -1),
        padded=zeros(padded_at[-1]),
        padded_at=padded_at,
        rows=zeros(rows_at[-1]),
        rows_at=rows_at,
        out=zeros(out_at[-1]),
        out_at=out_at,
        slope=zeros(out_at[-1]),
        back=zeros(part * max(of_out)),
        back_rows=zeros(part * max(of_rows)),
        back_padded=zeros(part * max(of_padded)),
        logits=zeros(part * n_classes).reshape(part, n_classes),
        back_logits=zeros(part * n_classes).reshape(part, n_classes),
        product=product,
    )
    for layer, (weight, views) in enumerate(zip(weights, _views(result), strict=True)):
        views[0][...] = weight.reshape(views[0].shape)
        views[1][...] = params[f"layers.{layer}.bias"]
    return result


def _views(net: Maps) -> list[tuple[Array, Array]]:
    """Weight ``[out, in, row, column]`` and bias of every layer; the output layer's rows and columns are the maps'."""
    found = []
    for layer in range(net.depth + 1):
        last = layer == net.depth
        n_out = net.logits.shape[1] if last else int(net.channels[layer + 1])
        rows, columns = (net.height[-1], net.width[-1]) if last else (net.kernel, net.kernel)
        shape = (n_out, int(rows), int(columns), int(net.channels[layer]))
        start, bias = net.weight_at[layer], net.bias_at[layer]
        weight = net.params[start : start + math.prod(shape)].reshape(shape).transpose(0, 3, 1, 2)
        found.append((weight, net.params[bias : bias + n_out]))
    return found


def parameters(net: Maps) -> dict[str, Array]:
    """The parameters by name, in torch's layout."""
    result: dict[str, Array] = {}
    for layer, (weight, bias) in enumerate(_views(net)):
        flat = weight.reshape(len(weight), -1) if layer == net.depth else weight
        result |= {f"layers.{layer}.weight": flat, f"layers.{layer}.bias": bias}
    return result


def flops(net: Maps) -> float:
    """About what a step of training costs for each sample."""
    return 6.0 * float(net.rows_at[-1] * net.channels[-1] / len(net.x) + len(net.params))


@compiled
def _enter(net, layer, values, n):
    """Copy maps ``[n, height, width, channels]`` into a convolution's padded input."""
    height, width, channels = net.height[layer], net.width[layer], net.channels[layer]
    edge, across = net.kernel // 2, width + net.kernel - 1
    for i in range(n):
        for y in range(height):
            to = net.padded_at[layer] + ((i * (height + net.kernel - 1) + y + edge) * across + edge) * channels
            at = (i * height + y) * width * channels
            row, source = net.padded[to : to + width * channels], values[at : at + width * channels]
            for j in range(len(row)):
                row[j] = source[j]


@compiled
def _samples(net, inputs, rows):
    """Read samples, ``[channels, height, width]``, into the first convolution's padded input."""
    height, width, channels = net.height[0], net.width[0], net.channels[0]
    edge, across = net.kernel // 2, width + net.kernel - 1
    for i in range(len(rows)):
        x = net.x[i]
        standardise(inputs.x[rows[i]], inputs.mean, inputs.by_std, x)
        for y in range(height):
            to = net.padded_at[0] + ((i * (height + net.kernel - 1) + y + edge) * across + edge) * channels
            for c in range(channels):
                for j in range(width):
                    net.padded[to + j * channels + c] = x[(c * height + y) * width + j]


@compiled
def _unfold(net, layer, n):
    """What a convolution multiplies: for each of its places the numbers below the kernel, row by row."""
    channels, stride = net.channels[layer], net.stride if layer == 0 else 1
    length, across = net.kernel * channels, (net.width[layer] + net.kernel - 1) * channels
    down, to = net.height[layer] + net.kernel - 1, net.rows_at[layer]
    for i in range(n):
        for y in range(net.height[layer + 1]):
            for x in range(net.width[layer + 1]):
                at = net.padded_at[layer] + (i * down + y * stride) * across + x * stride * channels
                for _ in range(net.kernel):
                    row, source = net.rows[to : to + length], net.padded[at : at + length]
                    for j in range(length):
                        row[j] = source[j]
                    to += length
                    at += across


@compiled
def _fold(net, layer, n):
    """The gradient of a convolution's input, into ``net.back``, from that of what it multiplies; its stride is 1."""
    height, width, channels = net.height[layer], net.width[layer], net.channels[layer]
    length, across = net.kernel * channels, (width + net.kernel - 1) * channels
    down, edge, start = height + net.kernel - 1, net.kernel // 2, 0
    net.back_padded[: n * down * across] = 0
    for i in range(n):
        for y in range(height):
            for x in range(width):
                at = (i * down + y) * across + x * channels
                for _ in range(net.kernel):
                    row, source = net.back_padded[at : at + length], net.back_rows[start : start + length]
                    for j in range(length):
                        row[j] += source[j]
                    start += length
                    at += across
    for i in range(n):
        for y in range(height):
            at, to = (i * down + y + edge) * across + edge * channels, (i * height + y) * width * channels
            row, source = net.back[to : to + width * channels], net.back_padded[at : at + width * channels]
            for j in range(len(row)):
                row[j] = source[j]


@compiled
def _forward(net, inputs, rows):
    """The logits of a part of the samples."""
    n, n_places = len(rows), net.height[-1] * net.width[-1]
    _samples(net, inputs, rows)
    below = net.out
    for layer in range(net.depth):
        if layer:
            _enter(net, layer, below, n)
        _unfold(net, layer, n)
        fan_in, fan_out = net.kernel * net.kernel * net.channels[layer], net.channels[layer + 1]
        w, b, at, size = net.weight_at[layer], net.bias_at[layer], net.out_at[layer], n * n_places * fan_out
        z = net.out[at : at + size]
        outputs(net.product, net.rows[net.rows_at[layer] :], net.params[w:], z, n * n_places, fan_in, fan_out)
        add_bias(z, net.params[b : b + fan_out], n * n_places)
        activate(net.activation, net.parameter, z, net.slope[at : at + size])
        below = z
    w, b, n_classes = net.weight_at[net.depth], net.bias_at[net.depth], net.logits.shape[1]
    logits = net.logits.reshape(-1)[: n * n_classes]
    outputs(net.product, below, net.params[w:], logits, n, n_places * net.channels[-1], n_classes)
    add_bias(logits, net.params[b : b + n_classes], n)


@compiled
def _measure(net, inputs, y, rows):
    """The summed loss of a part of the samples, and the correct ones; the gradients of their logits are then there."""
    _forward(net, inputs, rows)
    return cross_entropy(net.logits[: len(rows)], y[rows], net.back_logits[: len(rows)])


@compiled
def _backward(net, n):
    """Add the gradients of a part of the samples, from that of the logits, to ``net.grad``."""
    n_places, n_classes, last = net.height[-1] * net.width[-1], net.logits.shape[1], net.depth - 1
    grad, fan_in = net.back_logits.reshape(-1)[: n * n_classes], n_places * net.channels[-1]
    w, b = net.weight_at[net.depth], net.bias_at[net.depth]
    weight_gradient(net.product, grad, net.out[net.out_at[last] :], 1.0, net.grad[w:], n, fan_in, n_classes)
    add_rows(grad, net.grad[b : b + n_classes])
    input_gradients(net.product, grad, net.params[w:], net.back, n, fan_in, n_classes)
    for layer in range(last, -1, -1):
        fan_in, fan_out = net.kernel * net.kernel * net.channels[layer], net.channels[layer + 1]
        w, b, at, size = net.weight_at[layer], net.bias_at[layer], net.out_at[layer], n * n_places * fan_out
        back = net.back[:size]
        multiply(back, net.slope[at : at + size])
        below = net.rows[net.rows_at[layer] :]
        weight_gradient(net.product, back, below, 1.0, net.grad[w:], n * n_places, fan_in, fan_out)
        add_rows(back, net.grad[b : b + fan_out])
        if layer:
            input_gradients(net.product, back, net.params[w:], net.back_rows, n * n_places, fan_in, fan_out)
            _fold(net, layer, n)


@compiled
def train_steps(net, hyper, inputs, y, order, batch_size, lrs, steps_before, loss, n_correct, signals):
    """See :func:`initbench.engine.compiled.perceptron.train_steps`."""
    part = len(net.x)
    for step in range(len(lrs)):
        rows = order[step * batch_size : (step + 1) * batch_size]
        batch_loss, batch_correct = 0.0, 0
        net.grad[:] = 0
        for start in range(0, len(rows), part):
            some = rows[start : start + part]
            n = len(some)
            part_loss, part_correct = _measure(net, inputs, y, some)
            batch_loss += part_loss
            batch_correct += part_correct
            # The mean is over the batch.
            share = net.params.dtype.type(n / len(rows))
            for i in range(n):
                for j in range(net.logits.shape[1]):
                    net.back_logits[i, j] *= share
            _backward(net, n)
        if not abs(batch_loss) < math.inf:
            return loss, n_correct, step
        loss += batch_loss
        n_correct += batch_correct
        update(hyper, net.params, net.grad, net.state, lrs[step], steps_before + step + 1)
        signals.steps[0] += 1
        if signals.stop[0]:
            break
    return loss, n_correct, -1


@compiled
def evaluate(net, inputs, y, rows):
    """See :func:`initbench.engine.compiled.perceptron.evaluate`."""
    loss, n_correct, part = 0.0, 0, len(net.x)
    answered = np.zeros(net.logits.shape[1], np.bool_)
    for start in range(0, len(rows), part):
        some = rows[start : start + part]
        part_loss, part_correct = _measure(net, inputs, y, some)
        loss += part_loss
        n_correct += part_correct
        name_classes(net.logits[: len(some)], answered)
    return loss, n_correct, answered.sum()
