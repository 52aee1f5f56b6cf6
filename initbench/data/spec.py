"""Which data sets there are, how one is named, and its arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from initbench.data.arrays import Arrays
from initbench.data.bundled import digits, synthetic
from initbench.data.downloads import cifar10, idx
from initbench.data.files import csv, image_folder, npz
from initbench.errors import InputError

SOURCES: dict[str, Callable[..., Arrays]] = {
    "digits": digits,
    "synthetic": synthetic,
    "idx": idx,
    "cifar10": cifar10,
    "npz": npz,
    "csv": csv,
    "image_folder": image_folder,
}

STANDARDIZE = ("global", "feature", "none")


@dataclass(frozen=True)
class DatasetSpec:
    """How to obtain and prepare a data set.

    Attributes:
        name: the name in tables.
        source: a key of :data:`SOURCES`.
        options: the source's arguments, as (name, value) pairs.
        val: size of the validation split: a fraction (< 1) of the non-test samples, or a count.
        test: size of the test split where the source brings no test set of its own.
        standardize: ``global`` (one mean and one standard deviation, for images), ``feature`` (one per column, for
            tables) or ``none``.
        sha256: the content hash the data must have; None where it is not known before loading.
    """

    name: str
    source: str
    options: tuple[tuple[str, Any], ...] = ()
    val: float = 0.2
    test: float = 0.2
    standardize: str = "global"
    sha256: str | None = None


@lru_cache(maxsize=4)
def load(spec: DatasetSpec) -> Arrays:
    """The arrays of a data set, checked against the hash that is expected of them.

    Raises:
        InputError: a file is missing, damaged, malformed, or not the one expected; no network.
    """
    arrays = SOURCES[spec.source](**dict(spec.options))
    if spec.sha256 is not None and arrays.sha256 != spec.sha256:
        raise InputError(
            f"data set '{spec.name}' has content hash {arrays.sha256[:16]}, not the expected {spec.sha256[:16]}; "
            "set dataset.sha256=null to use it as a data set of its own"
        )
    return arrays
