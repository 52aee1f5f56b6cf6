"""Variance scaling: Var(W) = scale / fan, with gain² = scale. Glorot, He and LeCun are settings of it.

All draw one un-stacked weight; a stack of networks is built from single draws.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fan

Weight = NDArray[np.float32]

# Standard deviation of N(0, 1) conditioned on |z| <= 2: sqrt(1 - 4·φ(2) / (2Φ(2) - 1)). Dividing by it gives
# the truncated law the variance that was asked for.
_STD_OF_TRUNCATED = 0.8796256610342398


def _truncated_normal(shape: Sequence[int], rng: np.random.Generator) -> Weight:
    """N(0, 1) conditioned on |z| <= 2, by redrawing what falls outside."""
    z = rng.standard_normal(shape, np.float32)
    while (outside := np.abs(z) > 2).any():
        z[outside] = rng.standard_normal(int(outside.sum()), np.float32)
    return z


def variance_scaling(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "normal",
) -> Weight:
    """A zero-mean law with variance scale / fan.

    Args:
        shape: ``(out, in, *kernel)``.
        rng: the only source of randomness.
        scale: dimensionless, >= 0; the square of the gain.
        mode: ``fan_in``, ``fan_out`` or ``fan_avg``.
        distribution: ``normal``, ``uniform`` (on ±√(3·scale/fan)) or ``truncated_normal`` (cut at two standard
            deviations before the correction that restores the variance, as Keras and JAX do).

    Raises:
        ValueError: a parameter outside its set.
    """
    if scale < 0:
        raise ValueError(f"scale must be >= 0; got {scale}")
    std = math.sqrt(scale / fan(shape, mode))
    if distribution == "normal":
        return np.float32(std) * rng.standard_normal(shape, np.float32)
    if distribution == "uniform":
        return np.float32(std * math.sqrt(3)) * (2 * rng.random(shape, np.float32) - 1)
    if distribution == "truncated_normal":
        return np.float32(std / _STD_OF_TRUNCATED) * _truncated_normal(shape, rng)
    raise ValueError(f"distribution must be one of normal, uniform, truncated_normal; got '{distribution}'")


def _square(gain: float) -> float:
    if gain <= 0:
        raise ValueError(f"gain must be > 0; got {gain}")
    return gain**2


def he_normal(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), mode: str = "fan_in"
) -> Weight:
    """He (Kaiming) normal, N(0, gain²/fan_in): keeps E[h²] from layer to layer under relu.

    References:
        He et al. 2015, arXiv:1502.01852, eq. 10.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode=mode, distribution="normal")


def he_uniform(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), mode: str = "fan_in"
) -> Weight:
    """He (Kaiming) uniform, U(±gain·√(3/fan_in)); ±√(6/fan_in) for relu."""
    return variance_scaling(shape, rng, scale=_square(gain), mode=mode, distribution="uniform")


def glorot_normal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Glorot (Xavier) normal, N(0, gain²·2/(fan_in + fan_out)): a compromise of forward and backward variance.

    References:
        Glorot & Bengio 2010, PMLR 9:249-256, eq. 12.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_avg", distribution="normal")


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Glorot (Xavier) uniform, U(±gain·√(6/(fan_in + fan_out))); eq. 16 of the paper."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_avg", distribution="uniform")


def lecun_normal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """LeCun normal, N(0, gain²/fan_in).

    References:
        LeCun et al. 1998, Efficient BackProp, eq. 16.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="normal")


def lecun_uniform(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """LeCun uniform, U(±gain·√(3/fan_in))."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="uniform")


def uniform_fan_in(shape: Sequence[int], rng: np.random.Generator) -> Weight:
    """U(±1/√fan_in), variance 1/(3·fan_in): what ``torch.nn.Linear`` draws (its ``kaiming_uniform_(a=√5)``)."""
    return variance_scaling(shape, rng, scale=1 / 3, mode="fan_in", distribution="uniform")


def positive(shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2)) -> Weight:
    """|He normal|: He's magnitudes with the signs removed, so E[w²] = gain²/fan_in and E[w] = √(2/π)·gain/√fan_in.

    No paper defines a positive initialization; of the natural readings this one changes only the signs.
    """
    return np.abs(he_normal(shape, rng, gain=gain))
