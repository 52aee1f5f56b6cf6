"""The activation functions: one table with function, formula and gains.

The NumPy functions are the definitions (they give the gains by quadrature and need no torch); the engine
uses torch's function of the same name, and a test holds the two together.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
        formula: the definition as text.
        torch_gain: what ``torch.nn.init.calculate_gain`` answers, None where it has no answer.
    """

    function: Callable[..., Array]
    formula: str
    torch_gain: float | Callable[..., float] | None = None

    @property
    def defaults(self) -> dict[str, float]:
        """The parameters, at most one, and their default values, read off the function's signature."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def _gelu(x: Array) -> Array:
    phi: Array = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return x * phi


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda x: np.maximum(x, 0), "max(0, x)", math.sqrt(2)),
    "leaky_relu": Activation(
        _leaky_relu,
        "x if x > 0 else negative_slope·x",
        lambda negative_slope=0.01: math.sqrt(2 / (1 + negative_slope**2)),
    ),
    "elu": Activation(_elu, "x if x > 0 else alpha·(eˣ − 1)"),
    "selu": Activation(lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA), "1.0507·elu(x, 1.6733)", 3 / 4),
    "gelu": Activation(_gelu, "x·Φ(x)"),
    "silu": Activation(lambda x: x / (1 + np.exp(-x)), "x·σ(x)"),
    "tanh": Activation(np.tanh, "tanh(x)", 5 / 3),
    "sigmoid": Activation(lambda x: 1 / (1 + np.exp(-x)), "σ(x) = 1/(1 + e⁻ˣ)", 1.0),
    "softsign": Activation(lambda x: x / (1 + np.abs(x)), "x/(1 + |x|)"),
    "softplus": Activation(lambda x: np.logaddexp(0, x), "log(1 + eˣ)"),
    "identity": Activation(lambda x: x, "x", 1.0),
}


def rms_gain(name: str, params: Mapping[str, float] | None = None) -> float:
    """The gain 1/√E[φ(z)²], z ~ N(0, 1), that keeps the second moment of the activations (He's √2 for relu).

    Gauss-Legendre on each side of 0 (where relu, elu and selu have their kink), exact to about 1e-12.
    """
    nodes, weights = np.polynomial.legendre.leggauss(128)
    z = np.concatenate([6 * nodes - 6, 6 * nodes + 6])
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    second_moment = np.sum(6 * np.tile(weights, 2) * density * ACTIVATIONS[name].function(z, **(params or {})) ** 2)
    return float(1 / math.sqrt(second_moment))


def torch_gain(name: str, params: Mapping[str, float] | None = None) -> float | None:
    """The gain of ``torch.nn.init.calculate_gain``, or None where torch knows none."""
    gain = ACTIVATIONS[name].torch_gain
    return gain(**(params or {})) if callable(gain) else gain


def torch_function(name: str, params: Mapping[str, Any] | None = None) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The activation as a function of a torch tensor."""
    import torch

    if name == "identity":
        return lambda x: x
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
