"""The catalogue of initialization laws.

A law is a function ``(shape, rng, **params) -> float32 array`` that draws one weight in torch's layout
``[out, in, *kernel]``. A new law is one function and one line in :data:`LAWS`; a name for the command line
is a YAML of two to five lines in ``configs/init/`` that picks a law and its parameters.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.biases import BIASES, Bias, draw_bias
from initbench.initializers.certificates import Certificate, Promise, certify
from initbench.initializers.fans import fan, fans
from initbench.initializers.laws import LAWS, Law

__all__ = ["BIASES", "LAWS", "Bias", "Certificate", "Law", "Promise", "certify", "draw", "draw_bias", "fan", "fans"]


def draw(law: str, shape: Sequence[int], rng: np.random.Generator, **params: Any) -> NDArray[np.float32]:
    """One weight of ``shape`` (torch's layout) by the named law.

    Raises:
        KeyError: no such law.
        ValueError: a parameter outside the law's range, or a shape it has no meaning for.
        TypeError: a parameter the law does not have.
    """
    return LAWS[law].function(shape, rng, **params)
