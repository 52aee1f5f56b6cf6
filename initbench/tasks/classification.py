"""Classification: one logit for each class, softmax cross-entropy, the share of samples whose largest is right."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initbench.tasks.declaration import Score, Task

if TYPE_CHECKING:
    from torch import Tensor

ACCURACY = Score("accuracy", "%", 100.0, 2, "percentage points", "always naming the most frequent class")


def gradient(outputs: "Tensor", targets: "Tensor", log: "Tensor") -> "Tensor":
    """See :class:`initbench.tasks.declaration.Task`; targets are classes, int64."""
    import torch
    from torch.nn.functional import log_softmax

    target = targets.unsqueeze(2)
    torch.sum(outputs.max(2).indices == targets, 1, dtype=log.dtype, out=log[1])
    log_p = log_softmax(outputs, 2)
    torch.sum(log_p.gather(2, target).squeeze(2), 1, out=log[0]).neg_()
    # d(mean loss) / d(logit) = (softmax - one hot) / n
    minus_one = torch.full((), -1.0, dtype=log_p.dtype, device=log_p.device).expand_as(target)
    return log_p.exp_().scatter_add_(2, target, minus_one).div_(outputs.shape[1])


def answer(outputs: "Tensor") -> "Tensor":
    """See :class:`initbench.tasks.declaration.Task`: the first of the largest."""
    return outputs.max(2).indices


def entropy(targets: NDArray[Any]) -> float:
    """The mean cross-entropy of predicting every class as often as it is there."""
    counts = np.unique(targets, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def measure(outputs: "Tensor", targets: "Tensor") -> tuple["Tensor", "Tensor"]:
    """See :class:`initbench.tasks.declaration.Task`."""
    from torch.nn.functional import log_softmax

    loss = log_softmax(outputs, 2).gather(2, targets.unsqueeze(2)).squeeze(2).sum(1).double().neg_()
    return loss, (answer(outputs) == targets).sum(1)


TASK = Task(
    about="one of some classes",
    loss="cross-entropy",
    score=ACCURACY,
    n_outputs=lambda n_classes: n_classes,
    gradient=gradient,
    measure=measure,
    constant=entropy,
    answer=answer,
)
