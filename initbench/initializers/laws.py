"""The table of laws: for each its function, its formula, its source, its tier, and what it promises of a weight."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.certificates import Promise, fixed
from initbench.initializers.distributions import normal_between, truncated_std
from initbench.initializers.fans import fan, fans
from initbench.initializers.paired import mirrored, mirrored_part, sinusoidal, tanh_identity
from initbench.initializers.quasirandom import sobol
from initbench.initializers.scaled import (
    critical,
    glorot_normal,
    glorot_truncated,
    glorot_uniform,
    he_normal,
    he_rademacher,
    he_truncated,
    he_uniform,
    lecun_normal,
    lecun_truncated,
    lecun_uniform,
    positive,
    positive_mean,
    random_walk,
    random_walk_std,
    uniform_fan_in,
    variance_scaling,
)
from initbench.initializers.structured import (
    delta_orthogonal,
    dirac,
    identity,
    orthogonal,
    sparse,
    sparse_torch,
    zero_hadamard,
)
from initbench.initializers.unscaled import constant, half_normal, normal, truncated_normal, truncated_torch, uniform
from initbench.signature import defaults

Shape = Sequence[int]


@dataclass(frozen=True)
class Law:
    """One line of the catalogue.

    Attributes:
        function: ``(shape, rng, **params) -> float32 array``.
        formula: the law in its own parameters.
        source: where it comes from.
        tier: 1 needs no data and is in every library, 2 looks at training data, 3 comes from one line of research.
        promise: ``(shape, **params) -> Promise``, what holds of every weight; None promises nothing.
        deterministic: no number is random, so that all seeds start from the same weight.
        code: hash of the source code of a law from outside, part of a trial's key; empty for ours, which have tests.
        file: the plugin it comes from, see :mod:`initbench.initializers.plugins`; empty for ours.
    """

    function: Callable[..., NDArray[np.float32]]
    formula: str
    source: str
    tier: int = 1
    promise: Callable[..., Promise] | None = None
    deterministic: bool = False
    code: str = ""
    file: str = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters and their default values."""
        return defaults(self.function)


def _drawn(distribution: str, std: float, mean: float = 0.0) -> Promise:
    """Independent entries of a symmetric distribution with this standard deviation."""
    bounds = {"uniform": math.sqrt(3), "truncated_normal": 2 / truncated_std(), "rademacher": 1.0}
    bound = bounds[distribution] * std if distribution in bounds else None
    return Promise(mean, std, distribution, bound=bound)


def _one_signed(distribution: str, rms: float) -> Promise:
    """The absolute values of a zero-mean law whose second moment is rms²."""
    if distribution == "uniform":
        return Promise(math.sqrt(3) / 2 * rms, rms / 2, "half_uniform", bound=math.sqrt(3) * rms)
    mean = math.sqrt(2 / math.pi) * rms
    return Promise(mean, math.sqrt(1 - 2 / math.pi) * rms, "half_normal")


def _scaled(distribution: str, mode: str = "fan_in") -> Callable[..., Promise]:
    """Of the laws with variance gain²/fan."""
    return lambda shape, gain, mode=mode: _drawn(distribution, gain / math.sqrt(fan(shape, mode)))


def _constant(shape: Shape, value: float) -> Promise:
    return fixed(shape, {abs(value): math.prod(shape)}, math.prod(shape) * (1 if value >= 0 else -1))


def _truncated_normal(shape: Shape, std: float, cut: float, corrected: bool) -> Promise:
    unit = std / truncated_std(cut) if corrected else std
    # The kurtosis of a normal that is cut elsewhere is below the normal's.
    distribution = "truncated_normal" if cut == 2 else "normal"
    return Promise(0.0, unit * truncated_std(cut), distribution, bound=cut * unit)


def _truncated_torch(shape: Shape, std: float, mean: float, low: float, high: float) -> Promise:
    cut = (low - mean) / std, (high - mean) / std
    _, of_mean, of_std = normal_between(*cut)
    # A cut takes the tails away: the kurtosis of what is left is below the normal's, unless it is a tail itself.
    distribution = "truncated_normal" if cut == (-2, 2) else "normal" if low < mean < high else "normal_tail"
    return Promise(mean + std * of_mean, std * of_std, distribution, bound=max(abs(low), abs(high)))


def _identity(shape: Shape, gain: float) -> Promise:
    n = min(shape[0], shape[1])
    return fixed(shape, {abs(gain): n}, n if gain > 0 else -n)


def _orthogonal(shape: Shape, gain: float) -> Promise:
    fan_in, _ = fans(shape)
    return Promise(0.0, gain / math.sqrt(max(shape[0], fan_in)), "normal", gain=gain)


def _delta_orthogonal(shape: Shape, gain: float) -> Promise:
    if len(shape) == 2:
        return _orthogonal(shape, gain)
    n, taps = shape[0] * shape[1], math.prod(shape[2:])
    std = gain / math.sqrt(shape[0] * taps)
    return Promise(0.0, std, "normal", zeros=n * (taps - 1), gain=gain, low_rank=True)


def _zero_hadamard(shape: Shape, scale: str) -> Promise:
    out, channels = shape[:2]
    if out <= channels:
        return _identity(shape, 1.0)
    k = math.ceil(math.log2(out))
    # How many more entries are positive than negative.
    surplus = int((1 - 2 * (np.bitwise_count(np.arange(out)[:, None] & np.arange(channels)) % 2.0)).sum())
    return fixed(shape, {2 ** (-(k if scale == "notebook" else k - 1) / 2): out * channels}, surplus)


def _sparse(shape: Shape, k: int, std: float) -> Promise:
    fan_in, _ = fans(shape)
    return Promise(0.0, std * math.sqrt(k / fan_in), "normal", zeros=shape[0] * (fan_in - k), low_rank=True)


def _sparse_torch(shape: Shape, sparsity: float, std: float) -> Promise:
    fan_in, _ = fans(shape)
    zeros = math.ceil(sparsity * shape[0])
    return Promise(0.0, std * math.sqrt(1 - zeros / shape[0]), "normal", zeros=zeros * fan_in)


def _positive_mean(shape: Shape, distribution: str) -> Promise:
    to_rms = math.sqrt(math.pi / 2) if distribution == "normal" else 2 / math.sqrt(3)
    return _one_signed(distribution, to_rms / fans(shape)[0])


def _sobol(shape: Shape, gain: float, mode: str, distribution: str, layout: str) -> Promise:
    return _drawn(distribution, gain / math.sqrt(fan(shape, mode)))


def _mirrored(shape: Shape, mirror: str, base: str, gain: float) -> Promise:
    part = mirrored_part(shape, mirror)
    fan_in, _ = fans(part)
    size = fan_in if base == "normal" else max(part[0], fan_in)
    return Promise(0.0, gain / math.sqrt(size), "normal", gain=gain if base == "orthogonal" else None, mirror=mirror)


def _sinusoidal(shape: Shape, gain: float) -> Promise:
    (n, _), m = fans(shape), shape[0]
    # A wave's mean square is ½, of one that has one or two points to a turn that of its phase.
    squares = [math.sin(2 * math.pi * i / m) ** 2 if 2 * i % n == 0 else 0.5 for i in range(1, m + 1)]
    mean = sum(math.sin(2 * math.pi * i / m) for i in range(n, m + 1, n)) / m
    std = math.sqrt(sum(squares) / m - mean**2)
    asked = gain * math.sqrt(2 / (n + m) * (1 - 1 / (n * m)))
    return Promise(mean * asked / std, asked)


def _tanh_identity(shape: Shape, noise: float, mode: str) -> Promise:
    return Promise(0.0, noise / math.sqrt(fan(shape, mode)), "normal", diagonal=1.0)


LAWS: dict[str, Law] = {
    "constant": Law(constant, "w = value", "folklore; Rumelhart et al. 1986 on symmetry", 1, _constant, True),
    "normal": Law(
        normal,
        "N(mean, std²)",
        "std 0.01: Krizhevsky et al. 2012",
        promise=lambda shape, std, mean: _drawn("normal", std, mean),
    ),
    "uniform": Law(
        uniform,
        "U(low, high)",
        "±0.05: Keras RandomUniform",
        promise=lambda shape, low, high: Promise(
            (low + high) / 2, (high - low) / math.sqrt(12), "uniform", bound=max(abs(low), abs(high))
        ),
    ),
    "truncated_normal": Law(
        truncated_normal, "N(0, std²) given |w| <= cut·std", "TensorFlow, Keras, JAX", 1, _truncated_normal
    ),
    "truncated_torch": Law(
        truncated_torch,
        "N(mean, std²) given low <= w <= high",
        "torch.nn.init.trunc_normal_",
        1,
        _truncated_torch,
    ),
    "half_normal": Law(half_normal, "|N(0, std²)|", "no paper", promise=lambda shape, std: _one_signed("normal", std)),
    "uniform_fan_in": Law(
        uniform_fan_in,
        "U(±1 / √fan_in)",
        "torch.nn.Linear; article D2",
        promise=lambda shape: _drawn("uniform", math.sqrt(1 / (3 * fans(shape)[0]))),
    ),
    "lecun_normal": Law(lecun_normal, "N(0, gain² / fan_in)", "LeCun et al. 1998", 1, _scaled("normal")),
    "lecun_uniform": Law(lecun_uniform, "U(±gain · √(3 / fan_in))", "LeCun et al. 1998", 1, _scaled("uniform")),
    "lecun_truncated": Law(
        lecun_truncated, "N(0, gain² / fan_in), cut at 2.27 std", "Keras, JAX", 1, _scaled("truncated_normal")
    ),
    "glorot_normal": Law(
        glorot_normal,
        "N(0, 2·gain² / (fan_in + fan_out))",
        "Glorot & Bengio 2010",
        1,
        _scaled("normal", "fan_avg"),
    ),
    "glorot_uniform": Law(
        glorot_uniform,
        "U(±gain · √(6 / (fan_in + fan_out)))",
        "Glorot & Bengio 2010",
        1,
        _scaled("uniform", "fan_avg"),
    ),
    "glorot_truncated": Law(
        glorot_truncated,
        "N(0, 2·gain² / (fan_in + fan_out)), cut at 2.27 std",
        "Keras, JAX",
        1,
        _scaled("truncated_normal", "fan_avg"),
    ),
    "he_normal": Law(he_normal, "N(0, gain² / fan)", "He et al. 2015, arXiv:1502.01852", 1, _scaled("normal")),
    "he_uniform": Law(he_uniform, "U(±gain · √(3 / fan))", "He et al. 2015, arXiv:1502.01852", 1, _scaled("uniform")),
    "he_truncated": Law(
        he_truncated, "N(0, gain² / fan), cut at 2.27 std", "Keras, JAX", 1, _scaled("truncated_normal")
    ),
    "he_rademacher": Law(
        he_rademacher, "±gain / √fan, fair signs", "Grzejdziok, vanishing empirical variance", 3, _scaled("rademacher")
    ),
    "variance_scaling": Law(
        variance_scaling,
        "variance scale / fan",
        "TensorFlow, Keras, JAX",
        promise=lambda shape, scale, mode, distribution: _drawn(distribution, math.sqrt(scale / fan(shape, mode))),
    ),
    "identity": Law(identity, "gain where i = j, else 0", "Le et al. 2015, arXiv:1504.00941", 1, _identity, True),
    "dirac": Law(
        dirac,
        "gain at the centre tap where i = j, else 0",
        "Zagoruyko & Komodakis 2017, arXiv:1706.00388",
        1,
        _identity,
        True,
    ),
    "orthogonal": Law(orthogonal, "gain · Q, Q Haar-orthogonal", "Saxe et al. 2014, arXiv:1312.6120", 1, _orthogonal),
    "delta_orthogonal": Law(
        delta_orthogonal,
        "gain · Q at the centre tap, else 0",
        "Xiao et al. 2018, arXiv:1806.05393",
        1,
        _delta_orthogonal,
    ),
    "sparse": Law(sparse, "k weights N(0, std²) per unit, rest 0", "Martens 2010", 1, _sparse),
    "sparse_torch": Law(
        sparse_torch, "⌈sparsity·out⌉ zeros per input, rest N(0, std²)", "torch.nn.init.sparse_", 1, _sparse_torch
    ),
    "positive": Law(
        positive,
        "|w|, variance of w gain² / fan_in",
        "no paper: He's magnitudes without signs",
        promise=lambda shape, gain, distribution: _one_signed(distribution, gain / math.sqrt(fans(shape)[0])),
    ),
    "positive_mean": Law(
        positive_mean, "w > 0, mean 1 / fan_in", "no paper: keeps the mean of a layer", 1, _positive_mean
    ),
    "critical": Law(
        critical,
        "N(0, σ_w² / fan_in), σ_w = gain at the edge of chaos",
        "Poole et al. 2016; Schoenholz et al. 2017, arXiv:1611.01232",
        3,
        _scaled("normal"),
    ),
    "random_walk": Law(
        random_walk,
        "N(0, g² / fan_in), g = gain · exp((kurtosis − 1) / (4·fan_in))",
        "Sussillo & Abbott 2014, arXiv:1412.6558",
        3,
        lambda shape, gain, kurtosis: _drawn("normal", random_walk_std(shape, gain, kurtosis)),
    ),
    "zero_hadamard": Law(
        zero_hadamard,
        "identity, or ±c of a Hadamard matrix where out > in",
        "Zhao et al. 2022, arXiv:2110.12661",
        3,
        _zero_hadamard,
        True,
    ),
    "sobol": Law(
        sobol,
        "Sobol numbers as normal or uniform, variance gain² / fan",
        "Miranskyy et al. 2024, arXiv:2408.02654",
        3,
        _sobol,
    ),
    "mirrored": Law(
        mirrored,
        "[Q; −Q], [Q, −Q] or [[Q, −Q], [−Q, Q]], Q orthogonal or normal",
        "Balduzzi et al. 2017, arXiv:1702.08591; Burkholz & Dubatovka 2019, arXiv:1806.06362",
        3,
        _mirrored,
    ),
    "sinusoidal": Law(
        sinusoidal,
        "a·sin(i·(2πj/n + 2π/m)), variance 2·gain² / (n + m)",
        "Fernández-Hernández et al. 2025, arXiv:2505.12909",
        3,
        _sinusoidal,
        True,
    ),
    "tanh_identity": Law(
        tanh_identity,
        "1 where i ≡ j modulo the shorter side, else 0, + N(0, noise² / fan)",
        "Lee et al. 2025, arXiv:2410.02242",
        3,
        _tanh_identity,
    ),
}
