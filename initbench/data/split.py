"""A data set as networks are trained on it: split by a named stream, standardised with training statistics."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.data.arrays import Arrays
from initbench.data.spec import DatasetSpec, load
from initbench.errors import InputError
from initbench.seeding import permutation
from initbench.tasks import TASKS, USUAL


# Compared and hashed by identity: it is large, and made once.
@dataclass(frozen=True, eq=False)
class Samples:
    """A data set, split, and how to standardise it: all that training needs of it.

    Attributes:
        x: ``[n, features]``, uint8 or float; the networks see ``(x - mean) / std``, or the numbers of characters.
        y: ``[n]``, int64 classes; of regression numbers with mean 0 and variance 1 among the training samples, of the
            type of ``mean``.
        mean: ``[features]``; ``std`` likewise. Their type is the type the networks are trained in.
        train: row numbers of the training samples; ``val`` and ``test`` likewise.
        n_classes: the number of classes; 0 where there are none.
        task: what is learned, a key of :data:`initbench.tasks.TASKS`.
        vocabulary: of text how many different characters there are, else 0.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    mean: NDArray[np.floating[Any]]
    std: NDArray[np.floating[Any]]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    n_classes: int
    task: str = USUAL
    vocabulary: int = 0

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        """``[n_classes]``, of the classes among the training samples."""
        counts = np.bincount(self.y[self.train], minlength=self.n_classes)
        frequencies: NDArray[np.float64] = counts / len(self.train)
        return frequencies

    @property
    def n_outputs(self) -> int:
        """How many numbers a network puts out."""
        return TASKS[self.task].n_outputs(self.n_classes)

    @cached_property
    def n_majority(self) -> int | None:
        """Test samples of the most frequent class among them; None where there are no classes."""
        return int(np.bincount(self.y[self.test]).max()) if self.n_classes else None

    @cached_property
    def constant(self) -> tuple[float, float, float]:
        """The mean loss of the best constant prediction on the training, validation and test samples, by the task."""
        of_split = TASKS[self.task].constant
        return of_split(self.y[self.train]), of_split(self.y[self.val]), of_split(self.y[self.test])


def samples(spec: DatasetSpec, seed: int = 0) -> Samples:
    """A data set as the networks of a seed are trained on it, in float32; the same object for the same :func:`load`.

    How many samples there are of each split and class, and the test samples, are the same for all seeds; so is
    everything where the split is fixed, which is that of seed 0.

    Raises:
        InputError: as :func:`load` and :func:`split`, or the data are not for the task.
    """
    return _samples(load(spec), spec, seed if spec.split == "seed" else 0)


# As many as the seeds that are trained side by side: all have one ``x``, and 8 bytes a sample of their own.
@lru_cache(maxsize=64)
def _samples(arrays: Arrays, spec: DatasetSpec, seed: int) -> Samples:
    if spec.task == "binary" and arrays.n_classes != 2:
        raise InputError(f"dataset.task=binary needs two classes, and data set '{spec.name}' has {arrays.n_classes}")
    if arrays.vocabulary and spec.standardize != "none":
        raise InputError(f"dataset.standardize must be none for text; got '{spec.standardize}'")
    parts = split(arrays, spec, seed)
    mean, std = statistics(arrays.x, parts.train, spec.standardize)
    return Samples(
        arrays.x,
        arrays.y if arrays.n_classes else _targets(arrays.y, parts, spec),
        mean.astype(np.float32),
        std.astype(np.float32),
        parts.train,
        parts.val,
        parts.test,
        arrays.n_classes,
        spec.task,
        arrays.vocabulary,
    )


def _targets(y: NDArray[Any], parts: "Split", spec: DatasetSpec) -> NDArray[np.float32]:
    """Numbers to predict, standardised with the mean and the standard deviation of the training samples."""
    for name, rows in (("train", parts.train), ("val", parts.val), ("test", parts.test)):
        if np.ptp(y[rows]) == 0:
            raise InputError(f"data set '{spec.name}': all numbers to predict in the {name} split are equal")
    own = y[parts.train]
    standardised: NDArray[np.float32] = ((y - own.mean()) / own.std()).astype(np.float32)
    return standardised


@dataclass(frozen=True)
class Split:
    """Row numbers of the training, validation and test samples; disjoint, together all rows unless fewer are wanted."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split(arrays: Arrays, spec: DatasetSpec, seed: int = 0) -> Split:
    """Split the rows, stratified by class where there are any, by the stream ``(seed, "split")``.

    Test samples that the source does not set apart are those of seed 0, whatever the seed. Of a text the end is the
    test set, and what comes before that the validation set.

    Raises:
        InputError: a split would be empty, or a class would be missing from the training samples.
    """
    n = len(arrays.y)
    # Numbers to predict, and windows of a text, are drawn from as if of one class.
    y = arrays.y.astype(np.int64) if arrays.n_classes and not arrays.vocabulary else np.zeros(n, np.int64)
    take = _last if arrays.vocabulary else _take
    rows = np.arange(n - arrays.n_test)
    test = np.arange(n - arrays.n_test, n)
    if not arrays.n_test:
        rows, test = take(rows, y, spec.test, 0, "test")
    train, val = take(rows, y, spec.val, seed, "val")
    if spec.train is not None:
        if spec.train > len(train):
            raise InputError(f"data set '{spec.name}': {len(train)} samples are left to train on, not {spec.train:g}")
        train = _take(train, y, spec.train, seed, "train")[1]
    for name, part in (("train", train), ("val", val), ("test", test)):
        if not len(part):
            raise InputError(f"data set '{spec.name}' ({n} samples): the {name} split is empty")
    missing = np.setdiff1d(y, y[train])
    if missing.size:
        called = f"'{arrays.classes[missing[0]]}'" if arrays.classes else missing[0]
        raise InputError(f"data set '{spec.name}': class {called} has no training sample")
    return Split(train, val, test)


def _take(
    rows: NDArray[np.int64], y: NDArray[np.int64], size: float, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(rest, taken)``, both sorted: ``size`` rows in equal proportion from every class."""
    n_taken = round(size * len(rows)) if size < 1 else int(size)
    order = rows[permutation(len(rows), seed, "split", name)]
    by_class = order[np.argsort(y[order], kind="stable")]
    # Rank of each row within its class, as a fraction: taking the smallest ranks takes every class alike.
    counts = np.bincount(y[by_class])
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(by_class)) - starts[y[by_class]]
    by_rank = by_class[np.argsort((rank + 0.5) / counts[y[by_class]], kind="stable")]
    return np.sort(by_rank[n_taken:]), np.sort(by_rank[:n_taken])


def _last(
    rows: NDArray[np.int64], y: NDArray[np.int64], size: float, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As :func:`_take`, the rows at the end."""
    n_left = len(rows) - (round(size * len(rows)) if size < 1 else min(int(size), len(rows)))
    return rows[:n_left], rows[n_left:]


def statistics(x: NDArray[Any], rows: NDArray[np.int64], how: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is taken from inputs and what they are divided by, each ``[features]``, as the given rows have it.

    Mean and standard deviation (1 of constant features), or the least and the range, or nothing.
    """
    n_features = x.shape[1]
    if how == "none":
        return np.zeros(n_features), np.ones(n_features)
    if how == "unit":
        least = min(block.min() for block in _blocks(x, rows))
        most = max(block.max() for block in _blocks(x, rows))
        return np.full(n_features, least), np.full(n_features, most - least or 1.0)
    axis = 0 if how == "feature" else None
    count = len(rows) * (1 if how == "feature" else n_features)
    mean = sum(block.sum(axis) for block in _blocks(x, rows)) / count
    variance = sum(((block - mean) ** 2).sum(axis) for block in _blocks(x, rows)) / count
    std = np.sqrt(np.where(variance > 0, variance, 1.0))
    return np.broadcast_to(mean, (n_features,)).copy(), np.broadcast_to(std, (n_features,)).copy()


def _blocks(x: NDArray[Any], rows: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    """The given rows in float64, a few at a time: a float64 copy of all of MNIST would be 400 MB."""
    for i in range(0, len(rows), 4096):
        yield x[rows[i : i + 4096]].astype(np.float64)
