"""Laws that do not look at the layer: constants and fixed distributions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.distributions import truncated, truncated_std

Weight = NDArray[np.float32]


def constant(shape: Sequence[int], rng: np.random.Generator, *, value: float = 0.01) -> Weight:
    """Every weight equals ``value``: all units of a layer stay identical (Rumelhart et al. 1986)."""
    return np.full(shape, value, np.float32)


def normal(shape: Sequence[int], rng: np.random.Generator, *, std: float = 0.01, mean: float = 0.0) -> Weight:
    """N(mean, std²), whatever the layer's size.

    Raises:
        ValueError: ``std`` is negative.
    """
    if std < 0:
        raise ValueError(f"std must be >= 0; got {std}")
    return np.float32(mean) + np.float32(std) * rng.standard_normal(shape, np.float32)


def uniform(shape: Sequence[int], rng: np.random.Generator, *, low: float = -0.05, high: float = 0.05) -> Weight:
    """U[low, high), whatever the layer's size.

    Raises:
        ValueError: ``low`` is not below ``high``.
    """
    if not low < high:
        raise ValueError(f"low must be below high; got low={low}, high={high}")
    return np.float32(low) + np.float32(high - low) * rng.random(shape, np.float32)


def truncated_normal(
    shape: Sequence[int], rng: np.random.Generator, *, std: float = 0.05, cut: float = 2.0, corrected: bool = False
) -> Weight:
    """N(0, std²) conditioned on |w| <= cut·std, whatever the layer's size.

    Cutting takes variance away: what comes out has standard deviation 0.8796·std at ``cut=2``, as in Keras, JAX and
    TensorFlow. ``corrected`` scales it back to std, which moves the bound to 2.2737·std.

    Raises:
        ValueError: ``std`` is not positive, or ``cut`` below 0.1, where nearly every draw would be thrown away.
    """
    if std <= 0:
        raise ValueError(f"std must be > 0; got {std}")
    if cut < 0.1:
        raise ValueError(f"cut must be >= 0.1; got {cut}")
    return np.float32(std / truncated_std(cut) if corrected else std) * truncated(shape, rng, cut)


def half_normal(shape: Sequence[int], rng: np.random.Generator, *, std: float = 0.01) -> Weight:
    """|N(0, std²)|: all weights positive, with mean 0.798·std and second moment std².

    Raises:
        ValueError: ``std`` is negative.
    """
    return np.abs(normal(shape, rng, std=std))
