"""Compiled activations with their slopes.

A new one is a function, its name, and its branch. None is needed: an activation without one is trained by torch.
"""

import math

from initbench.engine.compiled.elementary import erf, exp, expm1, log1p, tanh
from initbench.engine.compiled.machine_code import compiled

# Activations: each overwrites pre-activations z by φ(z) and fills in the slope φ'(z); ``a`` is its parameter.


@compiled
def _relu(z, slope, a):
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for i in range(len(z)):
        x = z[i]
        slope[i] = zero if x <= zero else one
        z[i] = zero if x < zero else x


@compiled
def _leaky_relu(z, slope, below, above):
    zero = z.dtype.type(0)
    for i in range(len(z)):
        x = z[i]
        d = below if x <= zero else above
        slope[i] = d
        z[i] = d * x


@compiled
def _elu(z, slope, a, scale):
    zero = z.dtype.type(0)
    for i in range(len(z)):
        x = z[i]
        below = scale * a * expm1(x)
        slope[i] = below + scale * a if x <= zero else scale
        z[i] = below if x <= zero else scale * x


@compiled
def _gelu(z, slope, a):
    one, half = z.dtype.type(1), z.dtype.type(0.5)
    by_root_2, by_root_2_pi = z.dtype.type(1 / math.sqrt(2)), z.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in range(len(z)):
        x = z[i]
        phi = half * (one + erf(x * by_root_2))
        slope[i] = phi + x * by_root_2_pi * exp(-half * x * x)
        z[i] = x * phi


@compiled
def _silu(z, slope, a):
    one = z.dtype.type(1)
    for i in range(len(z)):
        x = z[i]
        s = one / (one + exp(-x))
        slope[i] = s * (one + x * (one - s))
        z[i] = x * s


@compiled
def _hardswish(z, slope, a):
    kind = z.dtype.type
    zero, half, one, three, by_3, by_6 = kind(0), kind(0.5), kind(1), kind(3), kind(1 / 3), kind(1 / 6)
    for i in range(len(z)):
        x = z[i]
        inside, beyond = abs(x) < three, one if x > zero else zero
        slope[i] = by_3 * x + half if inside else beyond
        z[i] = x * (x + three) * by_6 if inside else x * beyond


@compiled
def _mish(z, slope, a):
    one, two, four, most = z.dtype.type(1), z.dtype.type(2), z.dtype.type(4), z.dtype.type(20)
    for i in range(len(z)):
        x = z[i]
        # tanh(log(1 + w)) = n / (n + 2) with n = w (w + 2), w = eˣ; it is 1 long before e²⁰.
        w = exp(most if x > most else x)
        n = w * (w + two)
        h = n / (n + two)
        slope[i] = h + x * four * w * (one + w) / ((n + two) * (n + two))
        z[i] = x * h


@compiled
def _tanh(z, slope, a):
    one = z.dtype.type(1)
    for i in range(len(z)):
        h = tanh(z[i])
        slope[i] = one - h * h
        z[i] = h


@compiled
def _sigmoid(z, slope, a):
    one = z.dtype.type(1)
    for i in range(len(z)):
        h = one / (one + exp(-z[i]))
        slope[i] = h * (one - h)
        z[i] = h


@compiled
def _softsign(z, slope, a):
    one = z.dtype.type(1)
    for i in range(len(z)):
        x = z[i]
        d = one / (one + abs(x))
        slope[i] = d * d
        z[i] = x * d


@compiled
def _softplus(z, slope, a):
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for i in range(len(z)):
        x = z[i]
        u = exp(-abs(x))
        slope[i] = one / (one + u) if x > zero else u / (one + u)
        z[i] = log1p(u) + (zero if x < zero else x)


@compiled
def _identity(z, slope, a):
    one = z.dtype.type(1)
    for i in range(len(slope)):
        slope[i] = one


# The activations that have compiled code, by their number in it; torch does the work of the others.
KERNELS = (
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "softsign",
    "softplus",
    "identity",
    "hardswish",
    "tat",
)


@compiled
def activate(number, a, z, slope):
    """Overwrite pre-activations ``z`` by their activations and fill in the slopes; both flat, of one length.

    Args:
        number: the activation's position in :data:`KERNELS`.
        a: its parameter (``negative_slope``, ``alpha``), of the type of ``z``.
        z: pre-activations.
        slope: the derivative at ``z``.
    """
    if number == 0:
        _relu(z, slope, a)
    elif number == 1:
        _leaky_relu(z, slope, a, z.dtype.type(1))
    elif number == 2:
        _elu(z, slope, a, z.dtype.type(1))
    elif number == 3:
        # Klambauer et al. 2017, arXiv:1706.02515, eq. 14.
        _elu(z, slope, z.dtype.type(1.6732632423543772), z.dtype.type(1.0507009873554805))
    elif number == 4:
        _gelu(z, slope, a)
    elif number == 5:
        _silu(z, slope, a)
    elif number == 6:
        _mish(z, slope, a)
    elif number == 7:
        _tanh(z, slope, a)
    elif number == 8:
        _sigmoid(z, slope, a)
    elif number == 9:
        _softsign(z, slope, a)
    elif number == 10:
        _softplus(z, slope, a)
    elif number == 11:
        _identity(z, slope, a)
    elif number == 12:
        _hardswish(z, slope, a)
    elif number == 13:
        # Zhang et al. 2022, arXiv:2203.08120.
        scale = math.sqrt(2 / (1 + float(a) * float(a)))
        _leaky_relu(z, slope, z.dtype.type(scale * a), z.dtype.type(scale))
