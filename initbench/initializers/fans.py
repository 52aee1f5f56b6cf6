"""Fan counting: how many inputs feed a unit, how many units an input feeds."""

import math
from collections.abc import Sequence

MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """``(fan_in, fan_out)`` of one weight in torch's layout ``[out, in, *kernel]``.

    Raises:
        ValueError: fewer than two dimensions, or an empty one.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"a weight needs at least 2 dimensions, none empty; got shape {tuple(shape)}")
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def fan(shape: Sequence[int], mode: str) -> float:
    """The fan that ``mode`` names: ``fan_in``, ``fan_out``, or their arithmetic or geometric mean."""
    fan_in, fan_out = fans(shape)
    sizes = (fan_in, fan_out, (fan_in + fan_out) / 2, math.sqrt(fan_in * fan_out))
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; got '{mode}'")
    return sizes[MODES.index(mode)]
