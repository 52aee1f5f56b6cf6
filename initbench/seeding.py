"""Named random streams: every number initbench draws comes from one of these.

A stream is named by ``(seed, purpose, name)``; its 128-bit Philox key is the hash of that name, so streams
neither collide nor depend on each other, on the order of the draws, or on what else is being trained.
The initializer's name is never part of a name here: at equal seed all initializers see the same base noise
and the same batches, which makes comparisons between them paired. No global generator is read or written.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_SCHEME = "initbench-rng/1"


def stream(seed: int, purpose: str, name: str = "") -> np.random.Generator:
    """A fresh generator at the start of the stream ``(seed, purpose, name)``.

    Args:
        seed: the trial's seed, any integer >= 0; 0 is a seed like any other.
        purpose: what the numbers are for: ``"init"``, ``"order"``, ``"split"``, ``"data"``;
            ``"pretrain-order"`` and ``"corruption"`` where an initializer learns from data.
        name: the tensor or the epoch within that purpose, e.g. ``"layers.0.weight"``.
    """
    label = f"{_SCHEME}\0{seed}\0{purpose}\0{name}".encode()
    key = int.from_bytes(hashlib.blake2b(label, digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def permutation(n: int, seed: int, purpose: str, name: str = "") -> NDArray[np.int64]:
    """A uniformly random order of ``0 .. n-1``, the same on every machine and NumPy release.

    Sorts raw 64-bit words rather than calling ``Generator.permutation``, whose algorithm NumPy may change.
    """
    words = stream(seed, purpose, name).bit_generator.random_raw(n)
    return np.argsort(words, kind="stable")
