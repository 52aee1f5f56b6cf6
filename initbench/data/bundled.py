"""Data sets that need no file and no network."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.data.arrays import Arrays
from initbench.errors import InputError, unknown
from initbench.seeding import stream
from initbench.values import number, whole


def digits() -> Arrays:
    """1,797 real handwritten digits, 8x8 pixels with values 0..16, shipped inside scikit-learn.

    References:
        Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits" (its test part).
    """
    table = _inside_scikit_learn("digits.csv.gz", delimiter=",")
    return Arrays(table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int64), image=(1, 8, 8))


# Data set to its file inside scikit-learn, and what its classes are called.
_TABLES = {
    "breast_cancer": ("breast_cancer.csv", ("malignant", "benign")),
    "iris": ("iris.csv", ("setosa", "versicolor", "virginica")),
    "wine": ("wine_data.csv", ("class_0", "class_1", "class_2")),
}


def sklearn(table: str) -> Arrays:
    """A table of measurements that scikit-learn ships: ``breast_cancer``, ``iris`` or ``wine``.

    References:
        Street, Wolberg & Mangasarian 1993 (569 tumours, 30 features); Fisher 1936 (150 flowers, 4 features); Forina et
        al. 1988 (178 wines, 13 features): UCI.

    Raises:
        InputError: there is no such table.
    """
    if table not in _TABLES:
        raise unknown("dataset.table", table, _TABLES)
    file, classes = _TABLES[table]
    rows = _inside_scikit_learn(file, delimiter=",", skiprows=1)
    return Arrays(rows[:, :-1].astype(np.float32), rows[:, -1].astype(np.int64), classes=classes)


def diabetes() -> Arrays:
    """442 patients, 10 features in their own units, and how far the disease went in a year, a number to predict.

    References:
        Efron, Hastie, Johnstone & Tibshirani 2004, Least Angle Regression; as scikit-learn ships it.
    """
    x, y = (_inside_scikit_learn(f"diabetes_{name}.csv.gz") for name in ("data_raw", "target"))
    return Arrays(x.astype(np.float32), y.astype(np.float64))


def _inside_scikit_learn(file: str, **options: Any) -> NDArray[np.float64]:
    """The file alone: importing scikit-learn takes longer than training on it."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return np.loadtxt(Path(package.origin).parent / "datasets" / "data" / file, **options)


def synthetic(samples: int = 400, features: int = 16, classes: int = 4, noise: float = 1.0) -> Arrays:
    """Gaussian clouds of equal size around ``classes`` random centres of norm about √features; for tests."""
    whole("dataset.classes", classes, 2)
    number("dataset.noise", noise, least=0)
    rng = stream(0, "data", "synthetic")
    centres = rng.standard_normal((classes, features), np.float32)
    y = np.arange(samples) % classes
    with np.errstate(over="ignore", invalid="ignore"):
        x = centres[y] + np.float32(noise) * rng.standard_normal((samples, features), np.float32)
    if not np.isfinite(x).all():
        raise InputError(f"dataset.noise={noise} makes values that are not finite in float32")
    return Arrays(x, y.astype(np.int64))
