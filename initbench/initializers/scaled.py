"""Variance scaling: Var(W) = scale / fan, with gain² = scale. Glorot, He and LeCun are settings of it.

All draw one un-stacked weight; a stack of networks is built from single draws.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.distributions import standardized
from initbench.initializers.fans import fan, fans

Weight = NDArray[np.float32]


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
        mode: ``fan_in``, ``fan_out``, ``fan_avg`` or ``fan_geo_avg``.
        distribution: ``normal``, ``uniform`` (on ±√(3·scale/fan)), ``truncated_normal`` (cut at two standard
            deviations before the correction that restores the variance, as Keras and JAX do) or ``rademacher``.

    Raises:
        ValueError: a parameter outside its set.
    """
    if scale < 0:
        raise ValueError(f"scale must be >= 0; got {scale}")
    std = math.sqrt(scale / fan(shape, mode))
    z, unit = standardized(distribution, shape, rng)
    return np.float32(std * unit) * z


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


def he_truncated(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), mode: str = "fan_in"
) -> Weight:
    """He from a normal cut at two standard deviations, its variance gain²/fan restored: Keras' and JAX's he_normal."""
    return variance_scaling(shape, rng, scale=_square(gain), mode=mode, distribution="truncated_normal")


def he_rademacher(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), mode: str = "fan_in"
) -> Weight:
    """±gain/√fan with fair signs: of all laws with He's variance the one of least kurtosis.

    References:
        Grzejdziok, "The vanishing empirical variance in randomly initialized deep ReLU networks": low kurtosis delays
        the loss of variance in deep and narrow networks.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode=mode, distribution="rademacher")


def glorot_normal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Glorot (Xavier) normal, N(0, gain²·2/(fan_in + fan_out)): a compromise of forward and backward variance.

    References:
        Glorot & Bengio 2010, PMLR 9:249-256, eq. 12.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_avg", distribution="normal")


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Glorot (Xavier) uniform, U(±gain·√(6/(fan_in + fan_out))); eq. 16 of the paper."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_avg", distribution="uniform")


def glorot_truncated(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Glorot from a normal cut at two standard deviations, its variance restored: Keras' and JAX's glorot_normal."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_avg", distribution="truncated_normal")


def lecun_normal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """LeCun normal, N(0, gain²/fan_in).

    References:
        LeCun et al. 1998, Efficient BackProp, eq. 16.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="normal")


def lecun_uniform(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """LeCun uniform, U(±gain·√(3/fan_in))."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="uniform")


def lecun_truncated(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """LeCun from a normal cut at two standard deviations, its variance restored: Keras' and JAX's lecun_normal."""
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="truncated_normal")


def critical(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """N(0, σ_w²/fan_in) on the edge of chaos: ``gain`` is the σ_w that goes with the activation and the biases.

    ``init.gain=critical``, the default of the initializer of this name, solves for it
    (:func:`initbench.activations.critical_gain`).

    References:
        Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.
    """
    return variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution="normal")


def random_walk_std(shape: Sequence[int], gain: float, kurtosis: float) -> float:
    """The standard deviation that :func:`random_walk` draws with."""
    n, _ = fans(shape)
    excess = 1.2 / (max(n, 6) - 2.4) if math.isclose(kurtosis, 6) else (kurtosis - 1) / (4 * n)
    return math.sqrt(_square(gain) / n) * math.exp(excess)


def random_walk(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), kurtosis: float = 6.0
) -> Weight:
    """N(0, g²/fan_in) with g so large that the mean of the *logarithm* of the norm stays, not the mean of the norm.

    The norm's logarithm makes a random walk over the layers, whose drift −(kurtosis − 1)/(4·fan_in) is taken out:
    g = gain·exp((kurtosis − 1)/(4·fan_in)). For identity (gain 1, kurtosis 3) that is the paper's exp(1/(2N)), for relu
    (kurtosis 6) its fit √2·exp(1.2/(max(N, 6) − 2.4)) is used; the paper has no other activation.

    Args:
        shape: ``(out, in, *kernel)``; N is the fan_in.
        rng: the only source of randomness.
        gain: at infinite width, the root-mean-square gain of the activation.
        kurtosis: E[φ⁴]/E[φ²]² of the activation under N(0, 1), :func:`initbench.activations.kurtosis`.

    References:
        Sussillo & Abbott 2014, arXiv:1412.6558.
    """
    return np.float32(random_walk_std(shape, gain, kurtosis)) * rng.standard_normal(shape, np.float32)


def uniform_fan_in(shape: Sequence[int], rng: np.random.Generator) -> Weight:
    """U(±1/√fan_in), variance 1/(3·fan_in): what ``torch.nn.Linear`` draws (its ``kaiming_uniform_(a=√5)``)."""
    return variance_scaling(shape, rng, scale=1 / 3, mode="fan_in", distribution="uniform")


def positive(
    shape: Sequence[int], rng: np.random.Generator, *, gain: float = math.sqrt(2), distribution: str = "normal"
) -> Weight:
    """|He|: He's magnitudes with the signs removed, so E[w²] = gain²/fan_in and, for the normal, E[w] = 0.798·√E[w²].

    No paper defines a positive initialization; of the natural readings this one changes only the signs.

    Raises:
        ValueError: ``distribution`` is neither ``normal`` nor ``uniform``, or ``gain`` is not positive.
    """
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution must be one of normal, uniform; got '{distribution}'")
    return np.abs(variance_scaling(shape, rng, scale=_square(gain), mode="fan_in", distribution=distribution))


def positive_mean(shape: Sequence[int], rng: np.random.Generator, *, distribution: str = "normal") -> Weight:
    """|N(0, π/2)|/fan_in, or U(0, 2/fan_in): positive weights with fan_in·E[w] = 1, which keep the layer's mean.

    The other scale for one-signed weights: nothing explodes, but the units of a layer are near copies of each other.

    Raises:
        ValueError: ``distribution`` is neither ``normal`` nor ``uniform``.
    """
    means = {"normal": math.sqrt(2 / math.pi), "uniform": 0.5 * math.sqrt(3)}
    if distribution not in means:
        raise ValueError(f"distribution must be one of normal, uniform; got '{distribution}'")
    std = 1 / (means[distribution] * fans(shape)[0])
    z, unit = standardized(distribution, shape, rng)
    weight: Weight = np.abs(np.float32(std * unit) * z)
    return weight
