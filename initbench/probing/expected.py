"""What the theory of wide perceptrons expects of a probed network, and how far one of its width may be from that.

The length, the correlation and the squared gradient are followed from layer to layer, from the inputs' own lengths and
correlations on. In a layer of n units each is a mean over n random numbers, so that it scatters by a variance of the
order 1/n about what the layers before it give. How these scatters grow or fade on their way, how two of them go
together, and by how much they move a mean logarithm, follows from the derivatives of the maps: to the second order for
the length, to the first for the rest.

References:
    Hanin & Rolnick 2018, arXiv:1803.01719 (relu: variances add up as Σ 1/n); Pennington et al. 2017, arXiv:1711.04735
    (orthogonal weights: lengths are kept, and what is left is the scatter of the activation's slopes).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from initbench.probing.theory import LEAST, Moments, curves, moments, of_pairs

Array = NDArray[np.float64]

# Quantities that are followed as logarithms, so that their scatter is relative.
LOGARITHMIC = ("preactivation_rms", "forward_rms", "backward_rms")


@dataclass(frozen=True)
class Wide:
    """A perceptron as the theory sees it.

    Attributes:
        activation: with ``params``.
        width: units of every layer, the output layer's last.
        fan_in: of every layer.
        sigma_w: of every layer: its weights have the variance ``sigma_w² / fan_in``. ``sigma_b`` likewise of biases.
        orthogonal: of every layer, whether its weight is a multiple of an orthogonal one.
        batch: how many inputs are averaged over.
    """

    activation: str
    params: tuple[tuple[str, float], ...]
    width: Sequence[int]
    fan_in: Sequence[int]
    sigma_w: Sequence[float]
    sigma_b: Sequence[float]
    orthogonal: Sequence[bool]
    batch: int


@dataclass(frozen=True)
class Expected:
    """Of one quantity what is expected of every layer of one network.

    Attributes:
        value: ``[layer]``, in the limit of wide layers; NaN where the theory says nothing.
        sd: ``[layer]``, by how much a network of its width scatters: of the logarithm where the quantity is one of
            :data:`LOGARITHMIC`, of itself else; NaN where nothing is derived.
        shift: ``[layer]``, by how much the mean logarithm at this width is off that of ``value``.
        left_out: ``[layer]``, the order of what was left out: the mean over many networks may be off by it.
    """

    value: Array
    sd: Array
    shift: Array
    left_out: Array

    def deviation(self, measured: Array, logarithmic: bool) -> Array:
        """``[layer]``: how many standard errors the mean of some networks is from what is expected.

        What was left out counts as one more standard error.

        Args:
            measured: ``[network, layer]``, numbers above 0 if ``logarithmic``.
            logarithmic: whether logarithms are compared.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            off = (np.log(measured) if logarithmic else measured).mean(0)
            off -= np.log(self.value) + self.shift if logarithmic else self.value
            return np.asarray(off / np.hypot(self.sd / math.sqrt(len(measured)), self.left_out))


# By how much a scatter may bend a logarithm, and derivatives still tell what follows.
_BENT = 0.05
# What float32 and quadrature leave of a number: no scatter is smaller.
_ROUNDING = 1e-5


def expected(
    net: Wide,
    rms: Array,
    correlation: Array,
    loss_gradient: float = math.nan,
    alike: float = 1.0,
    of_batches: float = 0.0,
) -> tuple[dict[str, Expected], Expected]:
    """What is expected of every layer, and of the Jacobian.

    Args:
        net: the network.
        rms: root mean squares of an input, of equally large parts of all inputs.
        correlation: cosines of two inputs likewise.
        loss_gradient: the root mean square of the gradient that comes to the output layer, on which those of the
            layers before it depend.
        alike: the mean squared cosine of two of these gradients, each with itself too.
        of_batches: the variance of the logarithm of a batch's mean square.

    Returns:
        Quantity to what is expected of each layer; and the root mean square of the singular values of the derivative
        of the outputs by the inputs, of one "layer", as a logarithm.
    """
    layers = _forward(net, rms, correlation, of_batches)
    found = {name: _expected([getattr(one, name) for one in layers]) for name in _Layer.QUANTITIES}
    n_classes = net.width[-1]
    # Of different inputs.
    others = max(0.0, (alike - 1 / net.batch) / (1 - 1 / net.batch)) if net.batch > 1 else 0.0
    back = _backward(net, layers, others, net.batch)
    found["backward_rms"] = _expected([_root(*one) for one in back[:-1]])
    # The loss makes the gradient depend on what came forward, which moves its mean by something of its variance.
    found["backward_rms"] = replace(
        found["backward_rms"],
        value=loss_gradient * found["backward_rms"].value,
        left_out=4 * found["backward_rms"].sd ** 2,
    )
    # Every output: their gradients are orthogonal. The sum of all squared singular values is that of all squared
    # entries.
    growth, scatter, shift = _backward(net, layers, 0.0, n_classes)[-1]
    growth += math.log(net.fan_in[0] / min(n_classes, net.fan_in[0]))
    return found, _expected([_root(growth, scatter, shift)])


# What is expected, its scatter, by how much its mean logarithm is off, and what was left out.
_Number = tuple[float, float, float, float]
_NOTHING = (math.nan,) * 4


def _expected(numbers: Sequence[_Number]) -> Expected:
    return Expected(*(np.array(part) for part in zip(*numbers, strict=True)))


def _root(log_square: float, variance: float, shift: float) -> _Number:
    """Of a root, from what is known of the logarithm of its square."""
    scatter = math.sqrt(max(0.0, variance)) if not math.isnan(variance) else math.nan
    return math.exp(log_square / 2), math.hypot(scatter / 2, _ROUNDING), shift / 2, 0.0


@dataclass(frozen=True)
class _Layer:
    """What the forward pass gives: the quantities, and what the backward pass needs.

    ``log_q`` is the logarithm of the variance of the pre-activations of an average input; by ``variance`` that of a
    network scatters about it, and by ``shift`` its mean is off. ``pair`` are the correlations of two inputs.
    """

    QUANTITIES: ClassVar = ("preactivation_rms", "forward_rms", "forward_mean", "correlation")

    preactivation_rms: _Number
    forward_rms: _Number
    forward_mean: _Number
    correlation: _Number
    inside: Moments
    pair: Array
    log_q: float
    variance: float
    shift: float


def _forward(net: Wide, rms: Array, correlation: Array, of_batches: float) -> list[_Layer]:
    of, layers = curves(net.activation, net.params), list[_Layer]()
    # Of each input its mean square; of an average input the same, with the cosines of two.
    square, middle, pair = rms**2, float((rms**2).mean()), correlation
    # The covariance of the scatter of log q and of the correlation.
    variance, shared, of_pair, shift = of_batches, 0.0, 0.0, 0.0
    for layer, n in enumerate(net.width):
        w2, b2, before = net.sigma_w[layer] ** 2, net.sigma_b[layer] ** 2, layers[-1] if layers else None
        q, q_middle = w2 * square + b2, w2 * middle + b2
        kept = w2 * middle / q_middle if q_middle else 0.0
        if before is None:
            variance, pair = kept**2 * variance, kept * pair + (1 - kept)
        else:
            inside = before.inside
            first, second = (float(of.log_square(before.log_q, order)) for order in (1, 2))
            noise = kept**2 * _scatter(net, inside, pair, layer - 1)
            rise, bend = kept * first, kept * second + kept * (1 - kept) * first**2
            after = _correlated(net, layer, math.exp(before.log_q), pair)
            bent = (_correlated(net, layer, math.exp(before.log_q + 0.01), pair) - after) / 0.01
            grown = w2 * of_pairs(inside.slopes, pair) * math.exp(before.log_q) / q_middle if q_middle else 0 * pair
            grow, turn = math.sqrt(float((grown**2).mean())), float(bent.mean())
            of_pair = (
                grow**2 * (of_pair + _of_cosine(pair, net.width[layer - 1]))
                + 2 * grow * turn * shared
                + turn**2 * variance
            )
            shared = rise * (grow * shared + turn * variance)
            shift = rise * shift + bend * variance / 2 - noise / 2 + kept * _of_sphere(net, inside.squares, layer - 1)
            variance, pair = rise**2 * variance + noise if _is_linear(variance, bend) else math.nan, after
        log_q = math.log(max(q_middle, LEAST))
        inside = moments(net.activation, math.exp(log_q), net.params)
        gaussian = _gaussian(net, pair, layer)
        length = _root(math.log(max(float(q.mean()), LEAST)), variance + gaussian, shift - gaussian / 2)
        first, second = (float(of.log_square(log_q, order)) for order in (1, 2))
        noise = _scatter(net, inside, pair, layer)
        square = np.exp(of.log_square(np.log(np.maximum(q, LEAST))))
        middle = inside.square
        behind = _root(
            math.log(float(square.mean())),
            first**2 * variance + noise,
            first * shift + second * variance / 2 - noise / 2 + _of_sphere(net, inside.squares, layer),
        )
        is_last = layer == len(net.width) - 1
        mean = 0.0 if is_last else float(of.mean(np.log(np.maximum(q, LEAST))).mean())
        scatter = math.sqrt(max(0.0, of_pair) + _of_cosine(pair, n) + _ROUNDING**2)
        layers.append(
            _Layer(
                preactivation_rms=_NOTHING if is_last else length,
                forward_rms=length if is_last else behind,
                forward_mean=(mean, math.nan, math.nan, math.nan),
                # Of second order in the scatter of the length.
                correlation=(float(pair.mean()), scatter, 0.0, variance),
                inside=inside,
                pair=pair,
                log_q=log_q,
                variance=variance,
                shift=shift,
            )
        )
    return layers


def _correlated(net: Wide, layer: int, q: float, pair: Array) -> Array:
    """The correlation map into a layer, at the variance q of the pre-activations before it."""
    w2, b2 = net.sigma_w[layer] ** 2, net.sigma_b[layer] ** 2
    inside = moments(net.activation, q, net.params)
    after = w2 * inside.square + b2
    return (w2 * of_pairs(inside.values, pair) + b2) / after if after else pair


def _backward(net: Wide, layers: Sequence[_Layer], alike: float, n_gradients: int) -> list[tuple[float, float, float]]:
    """How the mean squared gradient grows from the output on: the logarithm, its variance and its shift.

    Of the output of each layer, the first one first, and then of the inputs.

    Args:
        net: the network.
        layers: what the forward pass gives.
        alike: the mean squared cosine of two different gradients at the output.
        n_gradients: how many are averaged over.
    """
    of = curves(net.activation, net.params)
    growth = own = coupled = shift = 0.0
    found = [(0.0, 0.0, 0.0)]
    for layer in range(len(net.width) - 1, -1, -1):
        n = net.fan_in[layer]
        growth += math.log(net.sigma_w[layer] ** 2 * net.width[layer] / n)
        # Behind a weight that keeps lengths nothing scatters; else a sum over units does, as a chi-square.
        lost = max(0.0, 1 - n / net.width[layer]) if net.orthogonal[layer] else 1.0
        noise = lost * 2 * _of_batch(1.0, alike, n_gradients) / n
        if layer:
            before = layers[layer - 1]
            inside, pair = before.inside, before.pair
            growth += math.log(inside.slope_square)
            of_slopes = float(of_pairs(inside.slope_squares, 1.0)) / inside.slope_square**2 - 1
            of_two = float(of_pairs(inside.slope_squares, pair).mean()) / inside.slope_square**2 - 1
            noise += _of_batch(3 * of_slopes, (1 + 2 * alike) * of_two, n_gradients) / n
            alike *= float((of_pairs(inside.slopes, pair) ** 2).mean()) / inside.slope_square**2
            first, second = (float(of.log_slope(before.log_q, order)) for order in (1, 2))
            # That of the length is nearly the same from layer to layer: its parts add up, not their squares.
            coupled += first * math.sqrt(before.variance)
            shift += first * before.shift + second * before.variance / 2
            shift += _of_sphere(net, inside.slope_squares, layer - 1)
            coupled = coupled if _is_linear(before.variance, second) else math.nan
        own += noise
        shift -= noise / 2
        found.append((growth, own + coupled**2, shift))
    return [*found[-2::-1], found[-1]]


def _is_linear(variance: float, bend: float) -> bool:
    """Whether the derivatives tell how a length of this scatter goes on; else nothing is said of the scatter."""
    return variance * abs(bend) < _BENT


def _of_sphere(net: Wide, squares: Array, layer: int) -> float:
    """By how much the logarithm of a mean square behind an orthogonal weight is off, from its Hermite coefficients.

    Its pre-activations are a point of a sphere in n dimensions. One of its coordinates has the density of a normal
    variable times ``1 - (z⁴ - 6z² + 3) / 4n``, to the first order.
    """
    if not net.orthogonal[layer] or not squares[0]:
        return 0.0
    n = max(net.width[layer], net.fan_in[layer])
    return -math.sqrt(24) * float(squares[4] / squares[0]) / (4 * n)


def _gaussian(net: Wide, pair: Array, layer: int) -> float:
    """The relative variance of the mean square of a layer's Gaussian pre-activations about their variance."""
    whole = 2 * _of_batch(1.0, float((pair**2).mean()), net.batch) / net.width[layer]
    if not net.orthogonal[layer]:
        return whole
    # The length is kept; where the layer is narrower than what it sees, that of a part is not.
    return whole * max(0.0, 1 - net.width[layer] / net.fan_in[layer])


def _scatter(net: Wide, here: Moments, pair: Array, layer: int) -> float:
    """The relative variance of the mean square of a layer's activations about that in the limit of wide layers."""
    terms: Array = here.squares**2
    terms[0] = 0.0
    if net.orthogonal[layer] and net.width[layer] >= net.fan_in[layer]:
        # The second term is that of the length of the pre-activations, which is kept.
        terms[2] = 0.0
    pairs = float(of_pairs(np.sqrt(terms), pair).mean())
    return _of_batch(float(terms.sum()), pairs, net.batch) / (net.width[layer] * here.square**2)


def _of_batch(own: float, of_pairs: float, n: int) -> float:
    """The variance of a mean over n inputs, from the variance of one and the mean covariance of two."""
    return own / n + of_pairs * (1 - 1 / n)


def _of_cosine(pair: Array, n: float) -> float:
    """The variance of the cosine of two inputs' pre-activations in n units; that of a mean over pairs is no larger."""
    return float(((1 - pair**2) ** 2).mean() / n)
