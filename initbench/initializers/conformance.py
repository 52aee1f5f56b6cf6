"""What every law must do, whoever wrote it: drawn at several shapes, compared, and certified."""

import logging
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.errors import Stopped, one_line, readable
from initbench.initializers.certificates import Certificate, certify
from initbench.initializers.laws import Law
from initbench.seeding import stream

_log = logging.getLogger(__name__)

# A layer that narrows, one that keeps the width, one that widens, an output layer, a convolution.
SHAPES = ((128, 784), (128, 128), (512, 128), (10, 128), (64, 32, 3, 3))


def drawn(law: Law, shape: Sequence[int], rng: np.random.Generator, params: Mapping[str, Any]) -> NDArray[np.float32]:
    """One weight by a law that need not be ours, in float32.

    Raises:
        ValueError: the law fails, in its own words, or returns something else than a finite array of the shape.
    """
    # What float32 cannot hold is told below.
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            weight = np.asarray(law.function(tuple(shape), rng, **params))
        except ValueError as error:
            raise ValueError(readable(str(error)) or one_line(error)) from error
        except OverflowError as error:
            raise ValueError("a parameter is too large") from error
        except (MemoryError, KeyboardInterrupt, Stopped):
            raise
        # Of someone else's code; what it raises need be no Exception.
        except BaseException as error:
            if not law.code:
                raise
            raise ValueError(one_line(error)) from error
        if weight.shape != tuple(shape):
            raise ValueError(f"it returned an array of shape {weight.shape}")
        if weight.dtype.kind in "fiu":
            weight = weight.astype(np.float32, copy=False)
    if weight.dtype != np.float32 or not np.isfinite(weight).all():
        raise ValueError("it returned an array that is not of finite numbers")
    return weight


def examine(name: str, law: Law, params: Mapping[str, Any]) -> list[Certificate]:
    """The certificates of one law at :data:`SHAPES`, with what else it breaks among their faults.

    A shape that a law of the catalogue refuses is left out; a law from outside must serve dense layers.
    """
    certificates = []
    for shape in SHAPES:

        def draw(seed: int = 0, shape: Sequence[int] = shape) -> NDArray[np.float32]:
            return drawn(law, shape, stream(seed, "init", "a"), params)

        try:
            # A plugin may print, and its words are no part of a table.
            with redirect_stdout(sys.stderr):
                weight = draw()
                unlike = unrepeatable(weight, draw)
                same = (draw(1) == weight).all()
        except (ValueError, MemoryError) as error:
            if law.code and len(shape) == 2:
                _log.info("'%s' fails at %s", name, shape, exc_info=error)
                certificates.append(_failed(name, shape, readable(str(error)) or one_line(error)))
            continue
        certificate = certify(name, weight, law.promise(shape, **params) if law.promise else None)
        silent = law.promise is None and not law.deterministic
        notes = [*certificate.notes, *(["another rng gave the same weight"] if same and silent else [])]
        drawn_anyway = ["it says that it is deterministic, and another rng gave another weight"]
        faults = [*certificate.faults, *unlike, *(drawn_anyway if law.deterministic and not same else [])]
        certificates.append(replace(certificate, faults=tuple(faults), notes=tuple(notes)))
    return certificates


def unrepeatable(weight: NDArray[np.float32], draw: Callable[[], NDArray[np.float32]]) -> list[str]:
    """What is wrong if a weight is not drawn again by the same call from the same stream, and from it alone."""
    before = global_states()
    again = draw()
    faults = []
    if before != global_states():
        faults.append("it draws from a global generator, not from rng")
    if (again != weight).any():
        faults.append("the same rng gave another weight")
    return faults


def _failed(name: str, shape: Sequence[int], fault: str) -> Certificate:
    nan = float("nan")
    return Certificate(name, tuple(shape), None, nan, nan, nan, nan, None, None, faults=(fault,))


def global_states() -> list[bytes]:
    """Of every generator that a user's code might read without being asked."""
    states = [repr(random.getstate()).encode(), repr(np.random.get_state()).encode()]  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        states.append(bytes(torch.get_rng_state().numpy()))
    return states
