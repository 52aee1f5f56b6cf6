"""Laws that do not look at the layer: constants and fixed distributions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.distributions import normal_between, truncated, truncated_std

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


def truncated_torch(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    std: float = 1.0,
    mean: float = 0.0,
    low: float = -2.0,
    high: float = 2.0,
) -> Weight:
    """N(mean, std²) conditioned on low <= w <= high: absolute bounds, as in ``torch.nn.init.trunc_normal_``.

    With torch's own bounds of ±2 a small ``std`` is cut nowhere: 0.02 stays 0.02, where :func:`truncated_normal` draws
    with 0.0176.

    Raises:
        ValueError: ``std`` is not positive, ``low`` not below ``high``, or fewer than one draw in 1000 lies between.
    """
    if std <= 0:
        raise ValueError(f"std must be > 0; got {std}")
    if not low < high:
        raise ValueError(f"low must be below high; got low={low}, high={high}")
    if normal_between((low - mean) / std, (high - mean) / std)[0] < 1e-3:
        raise ValueError(f"fewer than one draw in 1000 lies between low={low} and high={high}; use other bounds")
    weight = np.float32(mean) + np.float32(std) * rng.standard_normal(shape, np.float32)
    entries = weight.reshape(-1)
    outside = np.flatnonzero((entries < low) | (entries > high))
    while len(outside):
        entries[outside] = np.float32(mean) + np.float32(std) * rng.standard_normal(len(outside), np.float32)
        outside = outside[(entries[outside] < low) | (entries[outside] > high)]
    return weight


def half_normal(shape: Sequence[int], rng: np.random.Generator, *, std: float = 0.01) -> Weight:
    """|N(0, std²)|: all weights positive, with mean 0.798·std and second moment std².

    Raises:
        ValueError: ``std`` is negative.
    """
    return np.abs(normal(shape, rng, std=std))
