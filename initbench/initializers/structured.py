"""Laws whose weights depend on each other: orthogonal and sparse."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.fans import fans

Weight = NDArray[np.float32]


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
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return (gain * (q if shape[0] >= fan_in else q.T)).reshape(shape).astype(np.float32)


def sparse(shape: Sequence[int], rng: np.random.Generator, *, k: int = 15, std: float = 1.0) -> Weight:
    """Exactly ``k`` non-zero incoming weights per unit, N(0, std²), at random places; the rest is zero.

    This is the paper's law (k = 15, std = 1). ``torch.nn.init.sparse_`` is another one: it limits the outgoing
    weights of each input and draws them with std 0.01.

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
