"""Laws that do not look at the layer: constants and fixed distributions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
