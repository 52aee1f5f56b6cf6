"""exp and what follows from it, as arithmetic that the compiler can turn into vector code.

For float32 only; float64 takes the library's functions. NaN and infinity pass through: divergence must be seen.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

f32 = np.float32


def exp(x: Any) -> Any:
    """e^x, in float32 to 1.3 units in the last place."""
    raise NotImplementedError


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, in float32 to 5 units in the last place."""
    raise NotImplementedError


def expm1(x: Any) -> Any:
    """e^x - 1, accurate near 0."""
    raise NotImplementedError


def log1p(u: Any) -> Any:
    """log(1 + u) for u in 0..1."""
    raise NotImplementedError


def erf(x: Any) -> Any:
    """The error function, in float32 with an absolute error below 3e-7."""
    raise NotImplementedError


@overload(exp)
def _exp_of(x):
    if x != types.float32:
        return lambda x: math.exp(x)

    def exp_32(x):
        y = f32(88.72) if x > f32(88.72) else x
        y = f32(-87.33) if y < f32(-87.33) else y
        # y = n·ln 2 + r with |r| <= ln 2 / 2: e^r by its Taylor polynomial, 2^n by setting its exponent.
        n = np.floor(y * f32(1.4426950408889634) + f32(0.5))
        r = y - n * f32(0.693359375) + n * f32(2.12194440e-4)
        p = f32(1 / 5040) * r + f32(1 / 720)
        p = p * r + f32(1 / 120)
        p = p * r + f32(1 / 24)
        p = p * r + f32(1 / 6)
        p = p * r + f32(1 / 2)
        p = p * r + f32(1)
        p = p * r + f32(1)
        return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(f32)

    return exp_32


@overload(tanh)
def _tanh_of(x):
    if x != types.float32:
        return lambda x: math.tanh(x)

    def tanh_32(x):
        # The rational approximation of Eigen and XLA, odd over even; float32's tanh is ±1 beyond 7.9.
        y = f32(7.9) if x > f32(7.9) else x
        y = f32(-7.9) if y < f32(-7.9) else y
        s = y * y
        p = f32(-2.76076847742355e-16) * s + f32(2.00018790482477e-13)
        p = p * s + f32(-8.60467152213735e-11)
        p = p * s + f32(5.12229709037114e-08)
        p = p * s + f32(1.48572235717979e-05)
        p = p * s + f32(6.37261928875436e-04)
        p = p * s + f32(4.89352455891786e-03)
        q = f32(1.19825839466702e-06) * s + f32(1.18534705686654e-04)
        q = q * s + f32(2.26843463243900e-03)
        q = q * s + f32(4.89352518554385e-03)
        return y * p / q

    return tanh_32


@overload(expm1)
def _expm1_of(x):
    if x != types.float32:
        return lambda x: math.expm1(x)

    def expm1_32(x):
        p = f32(1 / 40320) * x + f32(1 / 5040)
        p = p * x + f32(1 / 720)
        p = p * x + f32(1 / 120)
        p = p * x + f32(1 / 24)
        p = p * x + f32(1 / 6)
        p = p * x + f32(1 / 2)
        p = p * x + f32(1)
        return p * x if abs(x) < f32(0.5) else exp(x) - f32(1)

    return expm1_32


@overload(log1p)
def _log1p_of(u):
    if u != types.float32:
        return lambda u: math.log1p(u)

    def log1p_32(u):
        # log(1 + u) = 2 artanh(t) with t = u / (2 + u) <= 1/3; the first term left out is below 2e-9.
        t = u / (f32(2) + u)
        s = t * t
        p = f32(1 / 15) * s + f32(1 / 13)
        p = p * s + f32(1 / 11)
        p = p * s + f32(1 / 9)
        p = p * s + f32(1 / 7)
        p = p * s + f32(1 / 5)
        p = p * s + f32(1 / 3)
        p = p * s + f32(1)
        return f32(2) * t * p

    return log1p_32


@overload(erf)
def _erf_of(x):
    if x != types.float32:
        return lambda x: math.erf(x)

    def erf_32(x):
        # Abramowitz & Stegun 1964, 7.1.26.
        t = f32(1) / (f32(1) + f32(0.3275911) * abs(x))
        p = f32(1.061405429) * t + f32(-1.453152027)
        p = p * t + f32(1.421413741)
        p = p * t + f32(-0.284496736)
        p = p * t + f32(0.254829592)
        y = f32(1) - p * t * exp(-x * x)
        return -y if x < f32(0) else y

    return erf_32
