"""The catalogue of initialization laws.

A law is a function ``(shape, rng, **params) -> float32 array`` that draws one weight in torch's layout
``[out, in, *kernel]``. A new law is one function and one line in :data:`LAWS`; a name for the command line
is a YAML of two to five lines in ``configs/init/`` that picks a law and its parameters.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fan, fans
from initbench.initializers.scaled import (
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    positive,
    uniform_fan_in,
    variance_scaling,
)
from initbench.initializers.structured import orthogonal, sparse
from initbench.initializers.unscaled import constant, normal, uniform

__all__ = ["BIASES", "LAWS", "Law", "draw", "draw_bias", "fan", "fans"]

Weight = NDArray[np.float32]


@dataclass(frozen=True)
class Law:
    """One line of the catalogue: the function, its formula in its own parameters, and where it comes from."""

    function: Callable[..., Weight]
    formula: str
    source: str

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters and their default values, read off the function's signature."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


LAWS: dict[str, Law] = {
    "constant": Law(constant, "w = value", "folklore; Rumelhart et al. 1986 on symmetry"),
    "normal": Law(normal, "N(mean, std²)", "std 0.01: Krizhevsky et al. 2012"),
    "uniform": Law(uniform, "U(low, high)", "±0.05: Keras RandomUniform"),
    "uniform_fan_in": Law(uniform_fan_in, "U(±1 / √fan_in)", "torch.nn.Linear; article D2"),
    "lecun_normal": Law(lecun_normal, "N(0, gain² / fan_in)", "LeCun et al. 1998"),
    "lecun_uniform": Law(lecun_uniform, "U(±gain · √(3 / fan_in))", "LeCun et al. 1998"),
    "glorot_normal": Law(glorot_normal, "N(0, 2·gain² / (fan_in + fan_out))", "Glorot & Bengio 2010"),
    "glorot_uniform": Law(glorot_uniform, "U(±gain · √(6 / (fan_in + fan_out)))", "Glorot & Bengio 2010"),
    "he_normal": Law(he_normal, "N(0, gain² / fan)", "He et al. 2015, arXiv:1502.01852"),
    "he_uniform": Law(he_uniform, "U(±gain · √(3 / fan))", "He et al. 2015, arXiv:1502.01852"),
    "variance_scaling": Law(variance_scaling, "variance scale / fan", "TensorFlow, Keras, JAX"),
    "orthogonal": Law(orthogonal, "gain · Q, Q Haar-orthogonal", "Saxe et al. 2014, arXiv:1312.6120"),
    "sparse": Law(sparse, "k weights N(0, std²) per unit, rest 0", "Martens 2010"),
    "positive": Law(positive, "|N(0, gain² / fan_in)|", "no paper: He's magnitudes without signs"),
}

BIASES = ("zeros", "uniform_fan_in")


def draw(law: str, shape: Sequence[int], rng: np.random.Generator, **params: Any) -> Weight:
    """One weight of ``shape`` (torch's layout) by the named law.

    Raises:
        KeyError: no such law.
        ValueError: a parameter outside the law's range, or a shape it has no meaning for.
        TypeError: a parameter the law does not have.
    """
    return LAWS[law].function(shape, rng, **params)


def draw_bias(rule: str, weight_shape: Sequence[int], rng: np.random.Generator) -> Weight:
    """The bias that goes with a weight: ``zeros``, or torch's ``uniform_fan_in``, U(±1 / √fan_in) of that weight."""
    if rule == "zeros":
        return np.zeros(weight_shape[0], np.float32)
    if rule == "uniform_fan_in":
        bound = 1 / np.sqrt(fans(weight_shape)[0])
        return uniform(weight_shape[:1], rng, low=-bound, high=bound)
    raise ValueError(f"bias must be one of {', '.join(BIASES)}; got '{rule}'")
