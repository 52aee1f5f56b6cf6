"""Which data sets there are, how one is named, and its arrays."""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.data.arrays import Arrays
from initbench.data.bundled import diabetes, digits, sklearn, synthetic
from initbench.data.downloads import cifar10, idx
from initbench.data.files import csv, npz
from initbench.data.images import image_folder
from initbench.data.text import text
from initbench.errors import InputError
from initbench.tasks import USUAL

SOURCES: dict[str, Callable[..., Arrays]] = {
    "digits": digits,
    "sklearn": sklearn,
    "diabetes": diabetes,
    "synthetic": synthetic,
    "idx": idx,
    "cifar10": cifar10,
    "npz": npz,
    "csv": csv,
    "image_folder": image_folder,
    "text": text,
}

_OF_CLASSES = ("classification", "binary")
# What can be learned from a source, the usual first. Those that can be told by a user are told the task.
_TASKS = {"diabetes": ("regression",), "text": ("next_token",)}
TOLD = ("csv", "npz")


def tasks_of(source: str) -> tuple[str, ...]:
    """The tasks that the data of a source can be for, the usual one first; keys of :data:`initbench.tasks.TASKS`."""
    return (*_OF_CLASSES, "regression") if source in TOLD else _TASKS.get(source, _OF_CLASSES)


STANDARDIZE = ("global", "feature", "unit", "none")
# Which samples are trained on: others for each seed, or the same for all.
SPLITTING = ("seed", "fixed")

_log = logging.getLogger(__name__)

# A file of at most this many bytes is known by its content: that takes a millisecond.
_SMALL = 2**20


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
            tables), ``unit`` (from 0 to 1, as pixels often are) or ``none``.
        sha256: the content hash the data must have; None where it is not known before loading.
        content: the content hash they had when the work was planned, from :func:`pinned`; None before.
        train: how many of the samples that are left, or which fraction, are trained on; None: all of them.
        task: what is learned, a key of :data:`initbench.tasks.TASKS`.
        split: ``seed`` draws validation and training samples anew for each seed, ``fixed`` once for all; the test
            samples never change.
    """

    name: str
    source: str
    options: tuple[tuple[str, Any], ...] = ()
    val: float = 0.2
    test: float = 0.2
    standardize: str = "global"
    sha256: str | None = None
    content: str | None = None
    train: float | None = None
    task: str = USUAL
    split: str = "seed"


def load(spec: DatasetSpec) -> Arrays:
    """The arrays of a data set, checked against the hash that is expected of them.

    The same object as the last time, unless the files have changed since. A pinned data set is the same for as long as
    the process lives, or an error.

    Raises:
        InputError: a file is missing, damaged, malformed, or not the one expected; no network.
    """
    return _content(spec) if spec.content else _today(spec)


def pinned(spec: DatasetSpec) -> DatasetSpec:
    """The data set with the content it has now: what is planned and trained afterwards is of one content.

    Nothing is read where the content is known beforehand, and one that is pinned stays as it is.

    Raises:
        InputError: as :func:`load`.
    """
    return replace(spec, content=spec.content or spec.sha256 or load(spec).sha256)


@lru_cache(maxsize=4)
def _content(spec: DatasetSpec) -> Arrays:
    arrays = _today(spec)
    if arrays.sha256 != spec.content:
        raise InputError(
            f"the files of data set '{spec.name}' have changed since the work was planned; "
            "the same command again plans with what they hold now"
        )
    return arrays


def _today(spec: DatasetSpec) -> Arrays:
    arrays = _read(spec.source, spec.options, _stamp(dict(spec.options)))
    if spec.sha256 is not None and arrays.sha256 != spec.sha256:
        raise InputError(
            f"data set '{spec.name}' has content hash {arrays.sha256[:16]}, not the expected {spec.sha256[:16]}; "
            "set dataset.sha256=null to use it as a data set of its own"
        )
    return arrays


@lru_cache(maxsize=4)
def _read(source: str, options: tuple[tuple[str, Any], ...], stamp: Any) -> Arrays:
    arrays = SOURCES[source](**dict(options))
    _log.info("read %s %s: %d samples of shape %s", source, dict(options), len(arrays.y), arrays.sample_shape)
    return arrays


def _stamp(options: Mapping[str, Any]) -> Any:
    """What changes whenever the file or folder that the option ``path`` names does; None where there is none.

    Downloaded sets have no such option: their bytes are compared with published sums.
    """
    path = options.get("path")
    if not isinstance(path, str):
        return None
    file = Path(path).expanduser()
    try:
        if file.is_dir():
            files = [os.path.join(folder, name) for folder, _, names in os.walk(file) for name in names]
            return tuple((name, *_state(os.stat(name))) for name in sorted(files))
        about = file.stat()
        # A pipe or a device may never end.
        small = stat.S_ISREG(about.st_mode) and about.st_size <= _SMALL
        return _state(about), hashlib.sha256(file.read_bytes()).digest() if small else None
    except (OSError, ValueError):
        # Whoever reads it will say so.
        return None


def _state(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
