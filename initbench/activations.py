"""The activation functions: one table with function, derivative and formula, and the gains that follow from them.

A new activation is one row, and a YAML in ``configs/activation/``. The NumPy functions are the definitions (they give
the gains by quadrature and need no torch); torch trains it by its own function of the same name, and a test holds the
two together. Compiled code for it, which is faster, is a second step: :mod:`initbench.engine.compiled.activations`.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initbench.signature import defaults

if TYPE_CHECKING:
    import torch

    # From the gradient of an output to the gradient of its input.
    Pullback = Callable[[torch.Tensor], torch.Tensor]

Array = NDArray[np.float64]

# Klambauer et al. 2017 (arXiv:1706.02515), eq. 14: the fixed point with mean 0 and variance 1.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True)
class Activation:
    """One row of the table.

    Attributes:
        function: the definition, elementwise on float64 arrays, with its parameters and their defaults.
        derivative: that of ``function``, with the same parameters; its value at a kink is nobody's business.
        formula: the definition as text.
        torch_gain: what ``torch.nn.init.calculate_gain`` answers, None where it has no answer.
        kinks: where ``function`` has a kink or a jump, but for 0.
    """

    function: Callable[..., Array]
    derivative: Callable[..., Array]
    formula: str
    torch_gain: float | Callable[..., float] | None = None
    kinks: tuple[float, ...] = ()

    @property
    def defaults(self) -> dict[str, float]:
        """The parameters, at most one, and their default values."""
        return defaults(self.function)

    def parameter(self, params: Mapping[str, float]) -> float:
        """The value of the one parameter it has, given or by default; 0 where it has none."""
        return next(iter((self.defaults | dict(params)).values()), 0.0)


def _sigmoid(x: Array) -> Array:
    # tanh neither overflows nor warns, however negative x is.
    half: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return half


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_derivative(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def _leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def _leaky_relu_derivative(x: Array, negative_slope: float = 0.01) -> Array:
    return np.where(x > 0, 1.0, negative_slope)


def tat_scale(negative_slope: float) -> float:
    """What makes a leaky relu keep the second moment of N(0, 1)."""
    return math.sqrt(2 / (1 + negative_slope**2))


def _tat(x: Array, negative_slope: float = 0.2) -> Array:
    return tat_scale(negative_slope) * _leaky_relu(x, negative_slope)


def _tat_derivative(x: Array, negative_slope: float = 0.2) -> Array:
    return tat_scale(negative_slope) * _leaky_relu_derivative(x, negative_slope)


def _mish(x: Array) -> Array:
    return np.asarray(x * np.tanh(np.logaddexp(0, x)))


def _mish_derivative(x: Array) -> Array:
    h = np.tanh(np.logaddexp(0, x))
    return np.asarray(h + x * (1 - h**2) * _sigmoid(x))


def _normal_cdf(x: Array) -> Array:
    phi: Array = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return phi


def _normal_density(x: Array) -> Array:
    density: Array = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return density


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0), "max(0, x)", math.sqrt(2)),
    "leaky_relu": Activation(
        _leaky_relu,
        _leaky_relu_derivative,
        "x if x > 0 else negative_slope·x",
        lambda negative_slope=0.01: math.sqrt(2 / (1 + negative_slope**2)),
    ),
    "tat": Activation(_tat, _tat_derivative, "√(2/(1 + a²))·leaky_relu(x, a), a = negative_slope"),
    "elu": Activation(_elu, _elu_derivative, "x if x > 0 else alpha·(eˣ − 1)"),
    "selu": Activation(
        lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda x: _SELU_SCALE * _elu_derivative(x, _SELU_ALPHA),
        "1.0507·elu(x, 1.6733)",
        3 / 4,
    ),
    "gelu": Activation(lambda x: x * _normal_cdf(x), lambda x: _normal_cdf(x) + x * _normal_density(x), "x·Φ(x)"),
    "silu": Activation(lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))), "x·σ(x)"),
    "hardswish": Activation(
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, (x > 0) * 1.0),
        "x·min(max(x + 3, 0), 6)/6",
        kinks=(-3.0, 3.0),
    ),
    "mish": Activation(_mish, _mish_derivative, "x·tanh(log(1 + eˣ))"),
    "tanh": Activation(lambda x: np.tanh(x), lambda x: 1 - np.tanh(x) ** 2, "tanh(x)", 5 / 3),
    "sigmoid": Activation(_sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x)), "σ(x) = 1/(1 + e⁻ˣ)", 1.0),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2, "x/(1 + |x|)"),
    "softplus": Activation(lambda x: np.logaddexp(0, x), _sigmoid, "log(1 + eˣ)"),
    "identity": Activation(lambda x: x, np.ones_like, "x", 1.0),
}

# Gauss-Legendre nodes and weights on (-1, 1), and how far out a standard normal variable is followed.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_FAR = 12.0


@lru_cache(maxsize=64)
def _quadrature(edges: tuple[float, ...]) -> tuple[Array, Array]:
    """Points and weights for the mean of a function of a standard normal variable that is smooth between the edges."""
    pieces = list(itertools.pairwise(edges))
    z = np.concatenate([(high - low) / 2 * _NODES + (high + low) / 2 for low, high in pieces])
    weights = np.concatenate([(high - low) / 2 * _WEIGHTS for low, high in pieces])
    return z, weights * _normal_density(z)


def gaussian_mean(function: Callable[[Array], Array], variance: float = 1.0, kinks: Sequence[float] = ()) -> float:
    """``E[f(√variance · z)]``, z ~ N(0, 1): exact to about 1e-12 where ``f`` is smooth between 0 and its ``kinks``."""
    scaled = {kink / math.sqrt(variance) for kink in kinks}
    edges = {-_FAR, 0.0, _FAR, *(edge for edge in scaled if abs(edge) < _FAR)}
    z, weights = _quadrature(tuple(sorted(edges)))
    return float(np.sum(weights * function(math.sqrt(variance) * z)))


def _moment(name: str, power: int, params: Mapping[str, float] | None) -> float:
    """E[φ(z)ᵖ], z ~ N(0, 1)."""
    activation = ACTIVATIONS[name]
    return gaussian_mean(lambda z: activation.function(z, **(params or {})) ** power, kinks=activation.kinks)


def rms_gain(name: str, params: Mapping[str, float] | None = None) -> float:
    """The gain 1/√E[φ(z)²], z ~ N(0, 1), that keeps the second moment of the activations (He's √2 for relu)."""
    return 1 / math.sqrt(_moment(name, 2, params))


def kurtosis(name: str, params: Mapping[str, float] | None = None) -> float:
    """E[φ(z)⁴] / E[φ(z)²]², z ~ N(0, 1), about zero: 3 for the identity, 6 for relu."""
    return _moment(name, 4, params) / _moment(name, 2, params) ** 2


def critical_gain(name: str, bias_std: float = 0.0, params: Mapping[str, float] | None = None) -> float | None:
    """σ_w on the edge of chaos for biases N(0, bias_std²), or None where there is none; see :func:`critical_point`."""
    point = critical_point(name, bias_std, params)
    return None if point is None else point[0]


def critical_point(
    name: str, bias_std: float = 0.0, params: Mapping[str, float] | None = None
) -> tuple[float, float] | None:
    """``(σ_w, q)`` on the edge of chaos for biases N(0, bias_std²), or None where there is none.

    With W ~ N(0, σ_w²/fan_in), the variance q of the pre-activations has a fixed point
    q = σ_w² E[φ(√q z)²] + bias_std² at which gradients neither grow nor shrink: σ_w² E[φ'(√q z)²] = 1. Without biases,
    where φ(0) = 0, it is q → 0, which is given as 0.

    References:
        Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.
    """
    activation, params = ACTIVATIONS[name], params or {}

    def slope(q: float) -> float:
        return gaussian_mean(lambda x: activation.derivative(x, **params) ** 2, q, activation.kinks)

    def excess(q: float) -> float:
        """What is left of q once the fixed point's right-hand side, at criticality, is taken away; relative to q."""
        square = gaussian_mean(lambda x: activation.function(x, **params) ** 2, q, activation.kinks)
        return 1 - (square / slope(q) + bias_std**2) / q

    # The variances of pre-activations that float32 and a network of any depth could meet, a tenth of a decade apart.
    variances = np.logspace(-6, 3, 91)
    values = [excess(q) for q in variances]
    if abs(values[0]) < 1e-4 and bias_std == 0:
        # No bias and φ(0) = 0: the fixed point is q → 0, or every q where φ is positively homogeneous.
        return 1 / math.sqrt(slope(1e-12)), 0.0
    for low, high, before, after in zip(variances, variances[1:], values, values[1:], strict=False):
        if before < 0 <= after:
            q = _root(excess, low, high)
            return 1 / math.sqrt(slope(q)), q
    return None


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """A zero of an increasing sign change, by bisection to the last digit that matters."""
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def tat_slope(depth: int, eta: float = 0.9) -> float:
    """The negative slope with which ``depth`` layers of tat map the correlation 0 of two inputs to ``eta``.

    With weights that keep norms, a layer maps the correlation c of two inputs to
    c + (1 − a)²/(π(1 + a²))·(√(1 − c²) − c·arccos c), and the deeper the network, the nearer two inputs come to each
    other. It is 0 where a relu of this depth keeps them apart by more than that: a network so shallow needs no slope.

    Args:
        depth: layers with the activation.
        eta: the correlation after all of them, in (0, 1).

    References:
        Zhang, Botev & Martens 2022, arXiv:2203.08120, section 4.1.
    """

    def correlation(slope: float) -> float:
        c, rate = 0.0, (1 - slope) ** 2 / (math.pi * (1 + slope**2))
        for _ in range(depth):
            c = min(1.0, c + rate * (math.sqrt(1 - c * c) - c * math.acos(c)))
        return c

    if correlation(0.0) <= eta:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if correlation(middle) > eta else (low, middle)
    # The slope is part of a trial's identity, and the last digits of an arccos are a library's own.
    return round(low, 10)


def torch_gain(name: str, params: Mapping[str, float] | None = None) -> float | None:
    """The gain of ``torch.nn.init.calculate_gain``, or None where torch knows none."""
    gain = ACTIVATIONS[name].torch_gain
    return gain(**(params or {})) if callable(gain) else gain


def torch_function(name: str, params: Mapping[str, Any] | None = None) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The activation as a function of a torch tensor."""
    import torch

    if name == "identity":
        return lambda x: x
    if name == "tat":
        slope = ACTIVATIONS[name].parameter(params or {})
        return lambda x: torch.nn.functional.leaky_relu(x, slope) * tat_scale(slope)
    function = getattr(torch.nn.functional, name)
    return lambda x: function(x, **(params or {}))


def torch_linearized(
    name: str, params: Mapping[str, Any] | None = None
) -> "Callable[[torch.Tensor], tuple[torch.Tensor, Pullback]]":
    """The activation together with its derivative, for training without a graph.

    Returns:
        A function from a tensor, which it may overwrite, to the activations and their pullback: the function that maps
        the gradient of the activations, which it may overwrite, to the gradient of the tensor.
    """
    import torch

    function, aten = torch_function(name, params), torch.ops.aten

    def relu(x: torch.Tensor) -> "tuple[torch.Tensor, Pullback]":
        h = x.relu_()
        return h, lambda grad: aten.threshold_backward.grad_input(grad, h, 0, grad_input=grad)

    def tanh(x: torch.Tensor) -> "tuple[torch.Tensor, Pullback]":
        h = x.tanh_()
        return h, lambda grad: aten.tanh_backward.grad_input(grad, h, grad_input=grad)

    def sigmoid(x: torch.Tensor) -> "tuple[torch.Tensor, Pullback]":
        h = x.sigmoid_()
        return h, lambda grad: aten.sigmoid_backward.grad_input(grad, h, grad_input=grad)

    def by_autograd(x: torch.Tensor) -> "tuple[torch.Tensor, Pullback]":
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            h = function(leaf)
        return h.detach(), lambda grad: torch.autograd.grad(h, leaf, grad)[0]

    if name == "identity":
        return lambda x: (x, lambda grad: grad)
    return {"relu": relu, "tanh": tanh, "sigmoid": sigmoid}.get(name, by_autograd)
