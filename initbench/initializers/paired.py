"""Laws that pair units or waves: mirrored matrices, with which relu layers are linear at the start, and sinusoids."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fan, fans
from initbench.initializers.structured import orthogonal

Weight = NDArray[np.float32]

# What is mirrored: how many times the rows and the columns of the drawn matrix are there.
MIRRORS = {"none": (1, 1), "rows": (2, 1), "columns": (1, 2), "both": (2, 2)}


def mirrored(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    mirror: str = "rows",
    base: str = "orthogonal",
    gain: float = 1.0,
) -> Weight:
    """A matrix Q and its negative: [Q; −Q], [Q, −Q] or [[Q, −Q], [−Q, Q]].

    A unit and its mirror image together keep what a relu cuts off, relu(z) − relu(−z) = z: where a layer mirrors its
    columns and the one below its rows, they are Q·z of the pre-activations z below. A convolution mirrors channels.

    Args:
        shape: ``(out, in, *kernel)``.
        rng: the only source of randomness.
        mirror: ``rows``, ``columns``, ``both`` or ``none``.
        base: Q is ``orthogonal``, or has independent entries, ``normal``, of variance gain² over Q's own fan_in.
        gain: dimensionless, > 0.

    Raises:
        ValueError: a parameter outside its set, or an odd number of what comes in pairs.

    References:
        Balduzzi et al. 2017, arXiv:1702.08591, section 4; Burkholz & Dubatovka 2019, arXiv:1806.06362, mirror normals.
    """
    fans(shape)
    if mirror not in MIRRORS:
        raise ValueError(f"mirror must be one of {', '.join(MIRRORS)}; got '{mirror}'")
    if base not in ("orthogonal", "normal"):
        raise ValueError(f"base must be one of orthogonal, normal; got '{base}'")
    if gain <= 0:
        raise ValueError(f"gain must be > 0; got {gain}")
    for size, times, what in zip(shape, MIRRORS[mirror], ("units", "inputs"), strict=False):
        if size % times:
            raise ValueError(f"{what} come in pairs, w and −w, so their number must be even; got {size}")
    part = mirrored_part(shape, mirror)
    if base == "orthogonal":
        drawn = orthogonal(part, rng, gain=gain)
    else:
        drawn = np.float32(gain / math.sqrt(fans(part)[0])) * rng.standard_normal(part, np.float32)
    for axis, times in enumerate(MIRRORS[mirror]):
        drawn = np.concatenate([drawn, -drawn], axis) if times == 2 else drawn
    return drawn


def mirrored_part(shape: Sequence[int], mirror: str) -> tuple[int, ...]:
    """The shape of the matrix that is drawn."""
    rows, columns = MIRRORS[mirror]
    return (shape[0] // rows, shape[1] // columns, *shape[2:])


def sinusoidal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """Waves: w_ij = a·sin(i·(2πj/n + 2π/m)), i from 1 to m, j from 0 to n − 1; a makes the variance Glorot's.

    No number is random. Row i is a wave of frequency i; of more rows than half the columns each has a mirror image,
    and of a square matrix of even size n two rows are zero and the rank is n/2 − 1. Beside relu, ``gain=√2`` makes
    equal layers keep norms: there W·relu(z) = W·z/2. What is zero, or equal but for the sign, is so to the last bit.

    Args:
        shape: ``(out, in, *kernel)``; n counts the taps of all channels.
        rng: not used.
        gain: dimensionless, > 0; the paper's is 1, whatever the activation.

    Raises:
        ValueError: ``gain`` is not positive, or a shape so small that every wave is sampled at its zeros.

    References:
        Fernández-Hernández et al. 2025, arXiv:2505.12909, with the offsets of the authors' code.
    """
    if gain <= 0:
        raise ValueError(f"gain must be > 0; got {gain}")
    (n, _), m = fans(shape), shape[0]
    rows, columns = np.arange(1, m + 1, dtype=np.int64)[:, None], np.arange(n, dtype=np.int64)
    # In whole steps of a turn of n·m, so that equal waves are equal.
    step = rows * (columns * m + n) % (n * m)
    mirror = 2 * step > n * m
    step = np.where(mirror, n * m - step, step)
    # sin(π − x) = sin(x).
    wave = np.sin(2 * math.pi / (n * m) * np.where(4 * step > n * m, n * m / 2 - step, step))
    wave = np.where(mirror, -wave, wave)
    # As torch.var has it.
    variance = wave.var(ddof=1) if wave.size > 1 else 0.0
    if variance < 1e-12:
        raise ValueError(f"every wave is sampled at its zeros in a weight of shape {tuple(shape)}")
    return (gain * math.sqrt(2 / (variance * (n + m))) * wave).astype(np.float32).reshape(shape)


def tanh_identity(
    shape: Sequence[int], rng: np.random.Generator, *, noise: float = 0.085, mode: str = "fan_out"
) -> Weight:
    """Ones where row ≡ column modulo the shorter side, else 0, plus N(0, noise²/fan): for tanh.

    Args:
        shape: ``(out, in)``.
        rng: the only source of randomness.
        noise: > 0; the paper's is 0.085.
        mode: the fan. The authors' notebook has fan_out; in layers of one width all fans are the same.

    Raises:
        ValueError: the weight of a convolution, or a parameter outside its range.

    References:
        Lee, Choi & Kim 2025, arXiv:2410.02242.
    """
    if len(shape) > 2:
        raise ValueError(f"tanh_identity is for dense weights; got {tuple(shape)}")
    if noise <= 0:
        raise ValueError(f"noise must be > 0; got {noise}")
    drawn = np.float32(noise / math.sqrt(fan(shape, mode))) * rng.standard_normal(shape, np.float32)
    return drawn + periodic_identity(shape).astype(np.float32)


def periodic_identity(shape: Sequence[int]) -> NDArray[np.bool_]:
    """Where row ≡ column modulo the shorter side: identities beside or on top of each other, the last one cut."""
    short = min(shape[0], shape[1])
    where: NDArray[np.bool_] = np.arange(shape[0])[:, None] % short == np.arange(shape[1]) % short
    return where
