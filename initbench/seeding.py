"""Named random streams: every number initbench draws comes from one of these.

A stream is named by ``(seed, purpose, name)``; its 128-bit Philox key is the hash of that name, so streams
neither collide nor depend on each other, on the order of the draws, or on what else is being trained.
The initializer's name is never part of a name here: at equal seed all initializers see the same base noise
and the same batches, which makes comparisons between them paired. No global generator is read or written, but
for users' code that reads them: for the time of :func:`own_generators` they are in a state of ours.
"""

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

_SCHEME = "initbench-rng/1"
_ONE_AT_A_TIME = threading.RLock()


def stream(seed: int, purpose: str, name: str = "") -> np.random.Generator:
    """A fresh generator at the start of the stream ``(seed, purpose, name)``.

    Args:
        seed: the trial's seed, any integer >= 0; 0 is a seed like any other.
        purpose: what the numbers are for: ``"init"``, ``"order"``, ``"split"``, ``"data"``;
            ``"pretrain-order"`` and ``"corruption"`` where an initializer learns from data; ``"dropout"`` what a
            user's module draws in a step of its training.
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


@contextmanager
def own_generators(rng: np.random.Generator) -> Iterator[None]:
    """The global generators of torch, NumPy and Python in a state that follows from a stream, then as they were.

    What draws from them meanwhile draws the same again from the same stream, whatever else is going on: one thread at a
    time has them. Those of GPUs are among them.
    """
    import torch

    seed = int(rng.integers(2**63))
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        before = random.getstate(), np.random.get_state()  # noqa: NPY002
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
