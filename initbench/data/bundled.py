"""Data sets that need no file and no network."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from initbench.data.arrays import Arrays
from initbench.errors import InputError
from initbench.seeding import stream
from initbench.values import number, whole


def digits() -> Arrays:
    """1,797 real handwritten digits, 8x8 pixels with values 0..16, shipped inside scikit-learn.

    References:
        Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits" (its test part).
    """
    # The file alone: importing scikit-learn takes longer than training on it.
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return Arrays(table[:, :-1].astype(np.uint8), table[:, -1].astype(np.int64), image=(1, 8, 8))


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
