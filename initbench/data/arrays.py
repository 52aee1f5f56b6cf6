"""What every data set source returns: samples and targets as arrays, with a hash of the whole content."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from initbench.errors import InputError

# Grey, grey and alpha, colour, colour and alpha.
_MOST_CHANNELS = 4
# More different numbers than these are classes only if they are whole, with so many samples each on average.
_FEW_CLASSES, _SELDOM = 20, 10


# Compared and hashed by identity: it is large, and read once.
@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples and targets of one data set.

    Attributes:
        x: ``[n, features]``, uint8 (pixels, kept compact) or float32; images flattened from ``image``.
        y: ``[n]``, int64, classes ``0 .. n_classes-1``; float64 where numbers are to be predicted.
        n_test: the last ``n_test`` rows are the data set's own test set; 0 where it brings none.
        image: ``(channels, height, width)`` of a sample, None where samples are rows of a table.
        classes: what the user calls them, where they are no numbers of ours.
        vocabulary: of text how many different characters there are: ``x`` holds their numbers, rows are in the order of
            the text, and each character is a class. Else 0.
    """

    x: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float64]
    n_test: int = 0
    image: tuple[int, int, int] | None = None
    classes: tuple[str, ...] = ()
    vocabulary: int = 0

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample: that of the image, or ``(features,)``."""
        return self.image or self.x.shape[1:]

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 where numbers are to be predicted."""
        return self.vocabulary or (int(self.y.max()) + 1 if self.y.dtype.kind == "i" else 0)

    @cached_property
    def sha256(self) -> str:
        """The content hash: types, shapes, values and the place of the test set; part of every record."""
        x, y = np.ascontiguousarray(self.x), np.ascontiguousarray(self.y)
        shape = (len(x), *self.sample_shape)
        more = "" if self.n_classes else f" {y.dtype.str}"
        digest = hashlib.sha256(f"initbench-data/1 {x.dtype.str} {shape} {self.n_test}{more}".encode())
        digest.update(x.data)
        digest.update(y.data)
        return digest.hexdigest()


def paired(x: NDArray[np.generic], labels: NDArray[np.generic], where: str) -> None:
    """Refuse what is not samples ``[n, ...]`` and as many labels ``[n]``, at least one."""
    if x.ndim < 2 or labels.ndim != 1 or len(x) != len(labels) or x.size == 0:
        raise InputError(f"{where}: need samples [n, ...] and labels [n], got shapes {x.shape} and {labels.shape}")


def checked(
    x: NDArray[np.generic], labels: NDArray[np.generic], where: str, n_test: int = 0, task: str | None = None
) -> Arrays:
    """Arrays from samples and labels a user supplied.

    Args:
        x: ``[n, features]``, or images ``[n, h, w]``, ``[n, h, w, c]`` or ``[n, c, h, w]`` (the axis of at most four
            entries is the channels, the last of two); anything else is flattened. uint8 stays, all else becomes
            float32.
        labels: ``[n]`` integers or texts, classes that are numbered in sorted order; or numbers to predict.
        where: the file, for messages.
        n_test: how many of the last rows are the test set.
        task: what is learned, as the user says; None: classes, unless the labels look like numbers to predict.

    Raises:
        InputError: nothing there, sizes that differ, values that are not finite numbers, fewer than two classes, or
            labels that are not what the task needs.
    """
    paired(x, labels, where)
    if x.dtype.kind not in "biuf":
        raise InputError(f"{where}: samples must be numbers, got type {x.dtype}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{where}: a label is missing or not finite")
    x, image = _channels_first(x)
    x = x.reshape(len(x), -1)
    if x.dtype != np.uint8:
        # What is too large for float32 is told below, as any value that is not finite.
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        rows = np.flatnonzero(~np.isfinite(x).all(axis=1))
        if rows.size:
            raise InputError(f"{where}: sample {rows[0]} holds a value that is missing or not finite")
    if task == "regression":
        if labels.dtype.kind not in "iuf":
            raise InputError(f"{where}: dataset.task=regression needs numbers to predict, got type {labels.dtype}")
        return Arrays(x, labels.astype(np.float64), n_test, image)  # type: ignore[arg-type]
    classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"{where}: need at least 2 classes, got {len(classes)}")
    if task is None and _looks_continuous(labels, classes):
        raise InputError(
            f"{where}: the labels are {len(classes)} numbers in {len(labels)} samples; dataset.task=regression "
            "predicts them, dataset.task=classification takes each for a class"
        )
    if len(classes) > len(labels) // 2:
        raise InputError(f"{where}: {len(classes)} classes in {len(labels)} samples; is this column a class label?")
    return Arrays(x, y.astype(np.int64), n_test, image, tuple(map(str, classes.tolist())))  # type: ignore[arg-type]


def _looks_continuous(labels: NDArray[np.generic], classes: NDArray[np.generic]) -> bool:
    """Whether labels are rather numbers than names of classes: many of them, each seldom, or not whole."""
    if labels.dtype.kind not in "iuf" or len(classes) <= _FEW_CLASSES:
        return False
    return len(labels) < _SELDOM * len(classes) or bool((classes.astype(np.float64) % 1).any())


def _channels_first(x: NDArray[np.generic]) -> tuple[NDArray[np.generic], tuple[int, int, int] | None]:
    """Samples with the channels first, as torch has them, and the shape of an image; None where they are no images."""
    if x.ndim == 3:
        return x, (1, x.shape[1], x.shape[2])
    if x.ndim != 4:
        return x, None
    if x.shape[3] <= _MOST_CHANNELS or x.shape[1] > _MOST_CHANNELS:
        x = x.transpose(0, 3, 1, 2)
    return x, (x.shape[1], x.shape[2], x.shape[3])
