"""The next character of a text: one logit for each, softmax cross-entropy, told as bits per character."""

import math

from initbench.tasks import classification
from initbench.tasks.declaration import Score, Task

TASK = Task(
    about="the next character",
    loss="cross-entropy",
    score=Score("bits per character", "", -1.0, 4, "bits", "knowing no more than how often each character is there"),
    n_outputs=lambda n_classes: n_classes,
    gradient=classification.gradient,
    measure=classification.measure,
    constant=classification.entropy,
    answer=classification.answer,
    of_loss=lambda loss, entropy: -loss / math.log(2),
    luck=lambda n: 0 * n,
)
