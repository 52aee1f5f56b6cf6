"""What compiled code is given: arrays that begin where a BLAS likes them to, and the parts that belong together."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Where every array begins, in bytes: a BLAS may take another way through one that starts elsewhere, and a network's
# bits must not depend on where its memory happens to lie.
_ALIGN = 64


class Inputs(NamedTuple):
    """Samples, standardised as they are read.

    Attributes:
        x: ``[n, features]``.
        mean: ``[features]``, subtracted from a sample.
        by_std: ``[features]``, what it is then multiplied by.
    """

    x: Array
    mean: Array
    by_std: Array


class Signals(NamedTuple):
    """What a training says and hears while compiled code runs.

    Attributes:
        steps: one number, raised by one after each step.
        stop: one number; training ends early where it is not 0.
    """

    steps: Array
    stop: Array


def places(lengths: list[int], dtype: np.dtype[Any]) -> Array:
    """Where arrays of these lengths begin when they lie behind each other, aligned; and where the last ends."""
    lane = _ALIGN // dtype.itemsize
    return np.cumsum([0, *(-(-length // lane) * lane for length in lengths)])


def aligned(length: int, dtype: np.dtype[Any]) -> Array:
    """An array of zeros that begins where a BLAS likes it to."""
    raw = np.zeros(length * dtype.itemsize + _ALIGN, np.uint8)
    start = -raw.ctypes.data % _ALIGN
    return raw[start : start + length * dtype.itemsize].view(dtype)
