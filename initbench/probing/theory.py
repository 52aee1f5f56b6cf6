"""Mean-field theory of wide random perceptrons, for any listed activation. It needs no torch.

Pre-activations ``h = W·φ(h') + b`` with weights of variance ``σ_w² / fan_in`` and biases of variance ``σ_b²``. In the
limit of wide layers they are Gaussian, and two numbers follow from layer to layer: their variance q (the length map)
and the correlation c of two inputs.

What follows of a network of some depth and width is in :mod:`initbench.probing.expected`.

References:
    Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from initbench.activations import ACTIVATIONS

Array = NDArray[np.float64]

# Terms of Hermite series; nodes between two kinks; how far out a standard normal variable is followed.
_TERMS, _NODES, _FAR = 128, 96, 11.0
# What is taken for no variance at all; and a small one, at which every activation is a power about zero.
LEAST, _SMALL = 1e-280, 1e-20


@dataclass(frozen=True)
class Field:
    """An activation between wide layers.

    Attributes:
        activation: a name of :data:`initbench.activations.ACTIVATIONS`.
        params: its parameters.
        sigma_w: the standard deviation of a weight times the root of its fan-in.
        sigma_b: that of a bias.
    """

    activation: str
    sigma_w: float
    sigma_b: float = 0.0
    params: tuple[tuple[str, float], ...] = ()

    def next(self, q: float) -> float:
        """The length map: the variance of the next layer, ``σ_w² E[φ(√q z)²] + σ_b²``."""
        return self.sigma_w**2 * mean_square(self.activation, q, self.params) + self.sigma_b**2

    def chi(self, q: float, c: float = 1.0) -> float:
        """``χ = σ_w² E[φ'(u₁) φ'(u₂)]``, u of variance q and correlation c.

        By so much a squared gradient, and at c = 1 a small squared distance of two inputs, grows in a layer.
        """
        return float(self.sigma_w**2 * of_pairs(moments(self.activation, q, self.params).slopes, c))

    def next_correlation(self, q: float, c: float) -> float:
        """The correlation map at the variance q: that of the next layer's pre-activations."""
        found = moments(self.activation, q, self.params)
        return float((self.sigma_w**2 * of_pairs(found.values, c) + self.sigma_b**2) / self.next(q))

    @cached_property
    def fixed_point(self) -> float:
        """q*: where the length map leads from q = 1; infinite where it grows for ever, 0 where nothing is left.

        Where every q stays what it is, as with relu and ``σ_w = √2``, it is 1.
        """

        def excess(log_q: float) -> float:
            q = math.exp(log_q)
            return self.next(q) / q - 1

        start = excess(0.0)
        if abs(start) < 1e-12:
            return 1.0
        # Towards where it goes, a tenth of a decade at a time, to the first q that stays.
        side = math.copysign(math.log(10) / 10, start)
        for step in range(1, 301):
            if (excess(step * side) > 0) != (start > 0):
                return float(math.exp(brentq(excess, *sorted(((step - 1) * side, step * side)), xtol=1e-14)))
        return math.inf if start > 0 else 0.0

    @property
    def chi_1(self) -> float:
        """χ at the fixed point for c = 1: below 1 ordered, above 1 chaotic, 1 on the edge of chaos."""
        q = self.fixed_point
        return self.chi(min(max(q, LEAST), 1e12))

    @cached_property
    def fixed_correlation(self) -> float:
        """c*: where the correlation of two different inputs leads at q*."""
        q = self.fixed_point
        if not 0 < q < math.inf:
            return math.nan
        if self.chi_1 <= 1 + 1e-9:
            return 1.0
        # The map is convex from 0 on: below 1 there it has one fixed point, which attracts.
        return float(brentq(lambda c: self.next_correlation(q, c) - c, -1e-9, 1 - 1e-7))

    @property
    def xi(self) -> float:
        """``ξ = -1 / ln χ(c*)``: over how many layers what two inputs have in common is forgotten; ∞ on the edge."""
        chi = self.chi(self.fixed_point, self.fixed_correlation) if 0 < self.fixed_point < math.inf else math.nan
        if math.isnan(chi) or chi <= 0:
            return math.nan
        return math.inf if abs(chi - 1) < 1e-9 else -1 / math.log(chi)


@dataclass(frozen=True)
class Moments:
    """Of an activation at pre-activations ``√q z``, z ~ N(0, 1).

    Attributes:
        square: ``E[φ²]``.
        values: Hermite coefficients of φ, ``[term]``; the last one stands for all after it.
        slopes: those of φ'.
        squares: those of φ².
        slope_square: ``E[φ'²]``.
        slope_squares: Hermite coefficients of φ'².
    """

    square: float
    values: Array
    slopes: Array
    squares: Array
    slope_square: float
    slope_squares: Array


def mean_square(activation: str, q: float, params: tuple[tuple[str, float], ...] = ()) -> float:
    """``E[φ(√q z)²]``, z ~ N(0, 1)."""
    return _first_two(activation, q, params)[1]


def _quadrature(activation: str, q: float) -> tuple[float, Array, Array]:
    """``√q``, and nodes z with weights for the mean of a function of ``√q z`` that bends where the activation does."""
    root = math.sqrt(max(q, LEAST))
    row = ACTIVATIONS[activation]
    edges = sorted({-_FAR, 0.0, _FAR, *(kink / root for kink in row.kinks if abs(kink / root) < _FAR)})
    # Where pre-activations are large, what is curved about zero is curved in a small part of the range.
    edges = sorted({*edges, *(side * width / root for side in (-1, 1) for width in (1, 5) if width / root < _FAR)})
    x, w = _legendre()
    z = np.concatenate([(b - a) / 2 * x + (a + b) / 2 for a, b in zip(edges, edges[1:], strict=False)])
    weight = np.concatenate([(b - a) / 2 * w for a, b in zip(edges, edges[1:], strict=False)])
    return root, z, weight * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def moments(activation: str, q: float, params: tuple[tuple[str, float], ...] = ()) -> Moments:
    """Of an activation at pre-activations of one variance."""
    inside = min(max(q, _SMALL), 1 / _SMALL)
    found = _moments(activation, inside, params)
    if inside == q:
        return found
    # As small or as large as this, an activation is a power, and only the scale of its values changes.
    of = curves(activation, params)
    factor = math.exp(float(of.log_square(math.log(max(q, LEAST))) - of.log_square(math.log(inside))))
    return replace(
        found,
        square=factor * found.square,
        values=math.sqrt(factor) * found.values,
        squares=factor * found.squares,
    )


@lru_cache(maxsize=4096)
def _moments(activation: str, q: float, params: tuple[tuple[str, float], ...]) -> Moments:
    row = ACTIVATIONS[activation]
    root, z, weight = _quadrature(activation, q)
    value, slope = row.function(root * z, **dict(params)), row.derivative(root * z, **dict(params))
    basis = _hermite(z) * weight
    square, slope_square = float(weight @ value**2), float(weight @ slope**2)
    fourth = float(weight @ value**4)
    return Moments(
        square,
        _with_rest(basis @ value, square),
        _with_rest(basis @ slope, slope_square),
        _with_rest(basis @ value**2, fourth),
        slope_square,
        _with_rest(basis @ slope**2, float(weight @ slope**4)),
    )


@dataclass(frozen=True)
class Curves:
    """An activation's means at pre-activations of any variance q, as functions of ``log q``, to about 1e-8."""

    mean_ratio: CubicSpline
    square: CubicSpline
    slope: CubicSpline

    def mean(self, log_q: Array) -> Array:
        """``E[φ]``."""
        inside = np.clip(log_q, *self.square.x[[0, -1]])
        return np.asarray(self.mean_ratio(inside) * np.exp(self.log_square(log_q) / 2))

    def log_square(self, log_q: Array | float, order: int = 0) -> Array:
        """``log E[φ²]``, or its derivative of this order, at most the second."""
        return _along(self.square, log_q, order)

    def log_slope(self, log_q: Array | float, order: int = 0) -> Array:
        """``log E[φ'²]`` likewise."""
        return _along(self.slope, log_q, order)


def _along(spline: CubicSpline, x: Array | float, order: int) -> Array:
    """A spline, and beyond its ends its tangents: there an activation is a power."""
    inside = np.clip(x, *spline.x[[0, -1]])
    if order == 0:
        return np.asarray(spline(inside) + spline(inside, 1) * (np.asarray(x) - inside))
    return np.asarray(spline(inside, order) * (1.0 if order == 1 else inside == x))


@lru_cache(maxsize=32)
def curves(activation: str, params: tuple[tuple[str, float], ...] = ()) -> Curves:
    """The means of an activation."""
    at = np.log(np.logspace(-12, 10, 441))
    each = [_first_two(activation, math.exp(one), params) for one in at]
    mean, square, slope = np.array(each).T
    return Curves(
        CubicSpline(at, mean / np.sqrt(square)), CubicSpline(at, np.log(square)), CubicSpline(at, np.log(slope))
    )


def _first_two(activation: str, q: float, params: tuple[tuple[str, float], ...]) -> tuple[float, float, float]:
    """``E[φ]``, ``E[φ²]`` and ``E[φ'²]``."""
    root, z, weight = _quadrature(activation, q)
    row, named = ACTIVATIONS[activation], dict(params)
    values = row.function(root * z, **named)
    return float(weight @ values), float(weight @ values**2), float(weight @ row.derivative(root * z, **named) ** 2)


def of_pairs(coefficients: Array, c: Array | float) -> Array:
    """``E[f(u₁) f(u₂)] = Σ aₖ² cᵏ``, u standard normal of the correlation c, a the Hermite coefficients of f."""
    powers = np.power.outer(np.asarray(c, dtype=float), np.arange(coefficients.shape[-1]))
    return np.asarray((powers * coefficients**2).sum(-1))


def _with_rest(coefficients: Array, square: float) -> Array:
    """A series whose squares sum up to ``square``: what the terms lack is that of one more."""
    return np.append(coefficients, math.sqrt(max(0.0, square - float(coefficients @ coefficients))))


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    x, w = leggauss(_NODES)
    return x, w


def _hermite(z: Array) -> Array:
    """``[term, z]``: orthonormal Hermite polynomials."""
    found = np.empty((_TERMS, len(z)))
    found[0], found[1] = 1.0, z
    for k in range(2, _TERMS):
        found[k] = (z * found[k - 1] - math.sqrt(k - 1) * found[k - 2]) / math.sqrt(k)
    return found
