"""Laws whose weights depend on each other: identities, orthogonal matrices, Hadamard matrices, sparse ones."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fans

Weight = NDArray[np.float32]


def identity(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """``gain`` on the diagonal, 0 elsewhere; a rectangular matrix is cut, or padded with zeros.

    Raises:
        ValueError: the weight of a convolution, whose identity is :func:`dirac`.

    References:
        Le, Jaitly & Hinton 2015, arXiv:1504.00941.
    """
    if len(shape) > 2:
        raise ValueError(f"identity is for dense weights; the identity of a convolution is dirac; got {tuple(shape)}")
    return dirac(shape, rng, gain=gain)


def dirac(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """``gain`` at the centre tap ``k//2`` of channel i to channel i, 0 elsewhere: the identity of a convolution.

    A dense weight is a convolution with one tap. Even kernels have no centre: the output is shifted by one.

    References:
        Zagoruyko & Komodakis 2017, arXiv:1706.00388; ``torch.nn.init.dirac_``.
    """
    fans(shape)
    weight = np.zeros(shape, np.float32)
    channels = np.arange(min(shape[0], shape[1]))
    place: tuple[Any, ...] = (channels, channels, *(k // 2 for k in shape[2:]))
    weight[place] = gain
    return weight


def orthogonal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """A Haar-random (semi-)orthogonal matrix of shape ``[out, in·kernel]``, times ``gain``.

    ``W Wᵀ = gain²·I`` where out <= in·kernel, else ``Wᵀ W = gain²·I``. The QR is done in float64, and the signs of
    R's diagonal are moved into Q, without which Q would not be Haar (Mezzadri 2006, arXiv:math-ph/0609050).

    Raises:
        ValueError: ``gain`` is not positive.

    References:
        Saxe, McClelland & Ganguli 2014, arXiv:1312.6120.
    """
    if gain <= 0:
        raise ValueError(f"gain must be > 0; got {gain}")
    fan_in, _ = fans(shape)
    rows, columns = max(shape[0], fan_in), min(shape[0], fan_in)
    normal = rng.standard_normal((rows, columns))
    # Several threads round the larger matrices in an order of their own, and on a busy machine wait for each other.
    with _blas().limit(limits=1, user_api="blas"):
        q, r = np.linalg.qr(normal)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return (gain * (q if shape[0] >= fan_in else q.T)).reshape(shape).astype(np.float32)


@lru_cache(maxsize=1)
def _blas() -> Any:
    """The threads of the library that NumPy multiplies with."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def delta_orthogonal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> Weight:
    """An orthogonal matrix at the centre tap ``(k−1)//2``, 0 elsewhere: a convolution that keeps every input's norm.

    A dense weight has no taps to leave empty: there it is :func:`orthogonal`.

    Raises:
        ValueError: ``gain`` is not positive, or a convolution with fewer outputs than inputs.

    References:
        Xiao et al. 2018, arXiv:1806.05393.
    """
    fans(shape)
    out, channels, *kernel = shape
    if not kernel:
        return orthogonal(shape, rng, gain=gain)
    if out < channels:
        raise ValueError(f"delta_orthogonal needs at least as many channels out as in; got {out} out of {channels}")
    weight = np.zeros(shape, np.float32)
    place: tuple[Any, ...] = (..., *((k - 1) // 2 for k in kernel))
    weight[place] = orthogonal((out, channels), rng, gain=gain)
    return weight


def zero_hadamard(shape: Sequence[int], rng: np.random.Generator, *, scale: str = "notebook") -> Weight:
    """ZerO: zeros and ones where a layer keeps or lowers the dimension, a Hadamard matrix where it raises it.

    With out > in the entries are ±c: the first rows and columns of a 2^k-dimensional Hadamard matrix, 2^k >= out. A
    convolution has this matrix at its centre tap, zeros elsewhere. No number is random.

    Args:
        shape: ``(out, in, *kernel)``.
        rng: not used.
        scale: ``notebook`` is c = 2^(−k/2), as in the authors' notebook; ``paper`` is c = 2^(−(k−1)/2), √2 larger.

    Raises:
        ValueError: ``scale`` is neither.

    References:
        Zhao, Schäfer & Anandkumar 2022, arXiv:2110.12661.
    """
    if scale not in ("notebook", "paper"):
        raise ValueError(f"scale must be one of notebook, paper; got '{scale}'")
    fans(shape)
    out, channels, *kernel = shape
    if out <= channels:
        return dirac(shape, rng)
    k = math.ceil(math.log2(out))
    # Sylvester's Hadamard matrix: the sign is the parity of the ones that the two indices have in common.
    common = np.arange(out)[:, None] & np.arange(channels)
    parity = np.bitwise_count(common) % 2
    weight = np.zeros(shape, np.float32)
    c = 2 ** (-(k if scale == "notebook" else k - 1) / 2)
    place: tuple[Any, ...] = (..., *(size // 2 for size in kernel))
    weight[place] = np.where(parity, -c, c)
    return weight


def sparse(shape: Sequence[int], rng: np.random.Generator, *, k: int = 15, std: float = 1.0) -> Weight:
    """Exactly ``k`` non-zero incoming weights per unit, N(0, std²), at random places; the rest is zero.

    This is the paper's law (k = 15, std = 1); ``torch.nn.init.sparse_`` is another one, :func:`sparse_torch`. For a
    convolution the unit's incoming weights are those of all taps.

    Raises:
        ValueError: ``k`` is not in 1 .. fan_in, or ``std`` is not positive.

    References:
        Martens 2010, ICML, section 5; Sutskever et al. 2013, ICML.
    """
    fan_in, _ = fans(shape)
    if not 1 <= k <= fan_in:
        raise ValueError(f"k must be between 1 and fan_in, here {fan_in}; got {k}")
    if std <= 0:
        raise ValueError(f"std must be > 0; got {std}")
    units = shape[0]
    places = np.argsort(rng.random((units, fan_in)), axis=1, kind="stable")[:, :k]
    weight = np.zeros((units, fan_in), np.float32)
    np.put_along_axis(weight, places, np.float32(std) * rng.standard_normal((units, k), np.float32), axis=1)
    return weight.reshape(shape)


def sparse_torch(shape: Sequence[int], rng: np.random.Generator, *, sparsity: float = 0.1, std: float = 0.01) -> Weight:
    """⌈sparsity·out⌉ zeros among the *outgoing* weights of each input, the rest N(0, std²): torch's reading.

    The number of a unit's incoming weights varies. Unlike ``torch.nn.init.sparse_`` the places come from ``rng`` too.

    Raises:
        ValueError: ``sparsity`` is not in [0, 1), or ``std`` is not positive.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must be >= 0 and < 1; got {sparsity}")
    if std <= 0:
        raise ValueError(f"std must be > 0; got {std}")
    fan_in, _ = fans(shape)
    units, n_zeros = shape[0], math.ceil(sparsity * shape[0])
    weight = np.float32(std) * rng.standard_normal((units, fan_in), np.float32)
    places = np.argsort(rng.random((units, fan_in)), axis=0, kind="stable")[:n_zeros]
    np.put_along_axis(weight, places, np.float32(0), axis=0)
    return weight.reshape(shape)
