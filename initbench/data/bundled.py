"""Data sets that need no file and no network."""

import numpy as np

from initbench.data.arrays import Arrays
from initbench.seeding import stream


def digits() -> Arrays:
    """1,797 real handwritten digits, 8x8 pixels with values 0..16, shipped inside scikit-learn.

    References:
        Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits" (its test part).
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return Arrays(x.astype(np.uint8), y.astype(np.int64))


def synthetic(samples: int = 400, features: int = 16, classes: int = 4, noise: float = 1.0) -> Arrays:
    """Gaussian clouds of equal size around ``classes`` random centres of norm about √features; for tests."""
    rng = stream(0, "data", "synthetic")
    centres = rng.standard_normal((classes, features), np.float32)
    y = np.arange(samples) % classes
    x = centres[y] + np.float32(noise) * rng.standard_normal((samples, features), np.float32)
    return Arrays(x, y.astype(np.int64))
