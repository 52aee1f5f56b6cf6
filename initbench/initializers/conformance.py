"""What every law must do, whoever wrote it: drawn at several shapes, compared, and certified."""

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.errors import one_line
from initbench.initializers.catalogue import Law
from initbench.initializers.certificates import Certificate, certify
from initbench.seeding import stream

# A layer that narrows, one that widens, an output layer, a convolution.
SHAPES = ((128, 784), (512, 128), (10, 128), (64, 32, 3, 3))


def drawn(law: Law, shape: Sequence[int], rng: np.random.Generator, params: Mapping[str, Any]) -> NDArray[np.float32]:
    """One weight by a law that need not be ours, in float32.

    Raises:
        ValueError: the law fails, in its own words, or returns something else than a finite array of the shape.
    """
    try:
        weight = np.asarray(law.function(tuple(shape), rng, **params))
    except ValueError:
        raise
    except Exception as error:
        if not law.code:
            raise
        raise ValueError(one_line(error)) from None
    if weight.shape != tuple(shape):
        raise ValueError(f"it returned an array of shape {weight.shape}")
    if weight.dtype.kind not in "fiu" or not np.isfinite(weight).all():
        raise ValueError("it returned an array that is not of finite numbers")
    return weight.astype(np.float32, copy=False)


def examine(name: str, law: Law, params: Mapping[str, Any]) -> list[Certificate]:
    """The certificates of one law at :data:`SHAPES`, with what else it breaks among their faults.

    A shape that a law of the catalogue refuses is left out; a law from outside must serve dense layers.
    """
    certificates = []
    for shape in SHAPES:
        try:
            weight = drawn(law, shape, stream(0, "init", "a"), params)
        except ValueError as error:
            if law.code and len(shape) == 2:
                certificates.append(_failed(name, shape, str(error)))
            continue
        certificate = certify(name, weight, law.promise(shape, **params) if law.promise else None)
        faults, notes = list(certificate.faults), list(certificate.notes)
        before = _global_states()
        again = drawn(law, shape, stream(0, "init", "a"), params)
        if before != _global_states():
            faults.append("it draws from a global generator, not from rng")
        if (again != weight).any():
            faults.append("the same rng gave another weight")
        if (drawn(law, shape, stream(1, "init", "a"), params) == weight).all() and law.promise is None:
            notes.append("another rng gave the same weight")
        certificates.append(replace(certificate, faults=tuple(faults), notes=tuple(notes)))
    return certificates


def _failed(name: str, shape: Sequence[int], fault: str) -> Certificate:
    nan = float("nan")
    return Certificate(name, tuple(shape), None, nan, nan, nan, nan, None, None, faults=(fault,))


def _global_states() -> list[bytes]:
    """Of every generator that a law might read without being asked."""
    states = [repr(random.getstate()).encode(), repr(np.random.get_state()).encode()]  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        states.append(bytes(torch.get_rng_state().numpy()))
    return states
