"""Weights from a low-discrepancy sequence instead of random numbers."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fan, fans

Weight = NDArray[np.float32]

# How many coordinates of the Sobol sequence the flat layout chooses among, and the most that are tabulated.
_N_COORDINATES = 64
_MOST_DIMENSIONS = 21_201


def sobol(
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    gain: float = math.sqrt(2),
    mode: str = "fan_in",
    distribution: str = "normal",
    layout: str = "points",
) -> Weight:
    """He with Sobol numbers: w = F⁻¹(u), variance gain²/fan.

    Args:
        shape: ``(out, in, *kernel)``.
        rng: scrambles the points, or chooses the coordinate.
        gain: dimensionless, > 0.
        mode: the fan.
        distribution: ``normal`` or ``uniform``.
        layout: ``points``: one scrambled point of fan_in coordinates per unit, the units are low-discrepant. ``flat``,
            the paper's: one coordinate of the sequence fills the tensor row by row, and the coordinate plays the seed
            (here one of 64). Its entries have the right distribution and its rows are nearly equal: where a row's
            length has a power of two as a factor the matrix is close to rank one.

    Raises:
        ValueError: a parameter outside its set, or more than 21,201 inputs per unit in the ``points`` layout.

    References:
        Miranskyy, Sorrenti & Thakar 2024, arXiv:2408.02654.
    """
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    if gain <= 0:
        raise ValueError(f"gain must be > 0; got {gain}")
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution must be one of normal, uniform; got '{distribution}'")
    if layout not in ("points", "flat"):
        raise ValueError(f"layout must be one of points, flat; got '{layout}'")
    units, (fan_in, _) = shape[0], fans(shape)
    if layout == "flat":
        coordinate = int(rng.integers(_N_COORDINATES))
        sequence = Sobol(coordinate + 1, scramble=False)
        # The first point is 0, whose normal quantile is infinite.
        sequence.fast_forward(1)
        blocks = [sequence.random(min(4096, units * fan_in - i))[:, -1] for i in range(0, units * fan_in, 4096)]
        u = np.concatenate(blocks)
    else:
        if fan_in > _MOST_DIMENSIONS:
            raise ValueError(f"Sobol points have at most {_MOST_DIMENSIONS:,} coordinates; fan_in is {fan_in:,}")
        scrambled = Sobol(fan_in, scramble=True, rng=int(rng.integers(2**63)))
        points = scrambled.random_base2(math.ceil(math.log2(units)))
        # Numbers of 30 bits: half a step keeps them off 0.
        u = points[:units] + 2.0**-31
    z = ndtri(u) if distribution == "normal" else math.sqrt(3) * (2 * u - 1)
    return (gain / math.sqrt(fan(shape, mode)) * z).astype(np.float32).reshape(shape)
