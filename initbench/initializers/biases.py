"""The policies for biases: what goes into the vector beside a weight.

A policy is a function ``(weight_shape, rng, frequencies, **params) -> float32 vector`` with one entry per unit.
``frequencies`` are those of the classes where the units are classes, in the output layer; else None.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers import unscaled
from initbench.initializers.certificates import Promise, fixed
from initbench.initializers.fans import fans
from initbench.signature import defaults

Vector = NDArray[np.float32]
Frequencies = NDArray[np.float64] | None


def zeros(shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies) -> Vector:
    """0: the only neutral choice when the weights are compared."""
    return np.zeros(shape[0], np.float32)


def constant(
    shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies, *, value: float = 0.01
) -> Vector:
    """One value for all: small and positive to start with relu units that are on, 1 in parts of AlexNet."""
    return np.full(shape[0], value, np.float32)


def normal(shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies, *, std: float = 0.01) -> Vector:
    """N(0, std²)."""
    return unscaled.normal(shape[:1], rng, std=std)


def uniform_fan_in(shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies) -> Vector:
    """U(±1/√fan_in) of the weight: what ``torch.nn.Linear`` and ``torch.nn.Conv2d`` draw."""
    bound = 1 / math.sqrt(fans(shape)[0])
    return unscaled.uniform(shape[:1], rng, low=-bound, high=bound)


def log_prior(shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies) -> Vector:
    """Log-frequencies of the classes in the output layer, for a first loss near their entropy; 0 elsewhere.

    A class that the training data lack counts as half a sample would among a million.

    References:
        Lin et al. 2017, arXiv:1708.02002, section 4.1.
    """
    if frequencies is None:
        return np.zeros(shape[0], np.float32)
    if len(frequencies) != shape[0]:
        raise ValueError(f"log_prior needs one frequency per unit; got {len(frequencies)} for {shape[0]} units")
    return np.log(np.maximum(frequencies, 5e-7)).astype(np.float32)


@dataclass(frozen=True)
class Bias:
    """One policy.

    Attributes:
        function: what draws it.
        formula: in its own parameters.
        source: where it comes from.
        std: in hidden layers, as a function of the parameters; None where it differs from layer to layer, or where the
            mean is not 0. What the critical gain is solved for.
        promise: ``(weight_shape, **params) -> Promise`` in hidden layers.
    """

    function: Callable[..., Vector]
    formula: str
    source: str
    std: Callable[..., float] | None
    promise: Callable[..., Promise]

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters and their default values."""
        return defaults(self.function)

    @property
    def law(self) -> str:
        """What is drawn, whatever name the policy goes by."""
        return self.function.__name__


def _zeros(shape: Sequence[int]) -> Promise:
    return fixed(shape[:1], {0.0: shape[0]}, 0)


def _constant(shape: Sequence[int], value: float) -> Promise:
    return fixed(shape[:1], {abs(value): shape[0]}, shape[0] if value >= 0 else -shape[0])


def _normal(shape: Sequence[int], std: float) -> Promise:
    return Promise(0.0, std, "normal")


def _uniform_fan_in(shape: Sequence[int]) -> Promise:
    bound = 1 / math.sqrt(fans(shape)[0])
    return Promise(0.0, bound / math.sqrt(3), "uniform", bound=bound)


BIASES: dict[str, Bias] = {
    "zeros": Bias(zeros, "b = 0", "Glorot, He, Saxe; Keras, Flax", lambda: 0.0, _zeros),
    "constant": Bias(constant, "b = value", "0.01: older relu tutorials; 1: AlexNet", None, _constant),
    "normal": Bias(normal, "N(0, std²)", "articles D3, D4: small random biases", lambda std: std, _normal),
    "uniform_fan_in": Bias(uniform_fan_in, "U(±1 / √fan_in)", "torch.nn.Linear", None, _uniform_fan_in),
    "critical": Bias(
        normal,
        "N(0, std²), std = auto: √0.05, or 0 where it has no critical gain",
        "Poole et al. 2016, arXiv:1606.05340",
        lambda std: std,
        _normal,
    ),
    "log_prior": Bias(
        log_prior, "log p_k in the output layer, else 0", "Lin et al. 2017, arXiv:1708.02002", lambda: 0.0, _zeros
    ),
}


def draw_bias(
    policy: str,
    weight_shape: Sequence[int],
    rng: np.random.Generator,
    frequencies: Frequencies = None,
    **params: Any,
) -> Vector:
    """The bias that goes with a weight ``[out, in, *kernel]``, by the named policy.

    Args:
        policy: a key of :data:`BIASES`.
        weight_shape: of the weight in the same layer.
        rng: the only source of randomness.
        frequencies: of the classes, for the output layer.
        params: of the policy.
    """
    # What float32 cannot hold, the certificate tells.
    with np.errstate(over="ignore", invalid="ignore"):
        return BIASES[policy].function(weight_shape, rng, frequencies, **params)
