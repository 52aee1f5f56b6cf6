"""The zero-mean distributions that laws scale: how to draw them, and what is known of them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Weight = NDArray[np.float32]

# Fourth moment over squared variance: what decides how far the standard deviation of n draws strays from its law's.
KURTOSIS = {
    "normal": 3.0,
    "uniform": 1.8,
    "truncated_normal": 2.3655649,
    "rademacher": 1.0,
    "half_normal": 3.8691773,
    "half_uniform": 1.8,
    # Of a normal beyond a bound: at most an exponential's.
    "normal_tail": 9.0,
}


def truncated_std(cut: float = 2.0) -> float:
    """The standard deviation of N(0, 1) conditioned on |z| <= cut: √(1 − 2·cut·φ(cut) / (2Φ(cut) − 1))."""
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


def normal_between(low: float, high: float) -> tuple[float, float, float]:
    """The probability of N(0, 1) between two bounds, and mean and standard deviation given that."""

    def density(z: float) -> float:
        return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    # Of the tail on the side of the bounds, lest one be lost in the rounding of the other.
    side = -1 if low > 0 else 1
    below = [math.erfc(-side * z / math.sqrt(2)) / 2 for z in (low, high)]
    probability = abs(below[1] - below[0])
    if not probability:
        return 0.0, math.nan, math.nan
    mean = (density(low) - density(high)) / probability
    variance = 1 + (low * density(low) - high * density(high)) / probability - mean**2
    return probability, mean, math.sqrt(max(variance, 0.0))


def truncated(shape: Sequence[int], rng: np.random.Generator, cut: float = 2.0) -> Weight:
    """N(0, 1) conditioned on |z| <= cut, by redrawing what falls outside."""
    z = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(z) > cut).any():
        z[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return z


def standardized(distribution: str, shape: Sequence[int], rng: np.random.Generator) -> tuple[Weight, float]:
    """Draws with mean 0, and what to multiply them by for a standard deviation of 1.

    Args:
        distribution: ``normal``, ``uniform``, ``truncated_normal`` (cut at two standard deviations before the
            correction that restores the variance, as Keras and JAX do) or ``rademacher`` (a fair sign).
        shape: of the array.
        rng: the only source of randomness.

    Raises:
        ValueError: a distribution of another name.
    """
    if distribution == "normal":
        return rng.standard_normal(shape, np.float32), 1.0
    if distribution == "uniform":
        return 2 * rng.random(shape, np.float32) - 1, math.sqrt(3)
    if distribution == "truncated_normal":
        return truncated(shape, rng), 1 / truncated_std()
    if distribution == "rademacher":
        return np.where(rng.random(shape, np.float32) < 0.5, np.float32(-1), np.float32(1)), 1.0
    names = "normal, uniform, truncated_normal, rademacher"
    raise ValueError(f"distribution must be one of {names}; got '{distribution}'")
