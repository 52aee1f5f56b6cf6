"""The next character of a text: one logit for each, softmax cross-entropy, told as bits per character."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.tasks import classification
from initbench.tasks.declaration import Score, Task


def entropy(targets: NDArray[Any]) -> float:
    """The mean cross-entropy of predicting every character as often as it is there."""
    counts = np.unique(targets, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


TASK = Task(
    about="the next character",
    loss="cross-entropy",
    score=Score("bits per character", "", -1.0, 4, "bits", "knowing no more than how often each character is there"),
    n_outputs=lambda n_classes: n_classes,
    gradient=classification.gradient,
    measure=classification.measure,
    constant=entropy,
    of_loss=lambda loss, entropy: -loss / math.log(2),
    luck=lambda n: 0 * n,
)
