"""Two classes by one logit: the logistic cross-entropy, as a network that ends in one sigmoid has it."""

from typing import TYPE_CHECKING

from initbench.tasks.classification import ACCURACY, entropy
from initbench.tasks.declaration import Task

if TYPE_CHECKING:
    from torch import Tensor


def gradient(outputs: "Tensor", targets: "Tensor", log: "Tensor") -> "Tensor":
    """See :class:`initbench.tasks.declaration.Task`; targets are 0 or 1, and the output is the logit of 1."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    logit, target = outputs.squeeze(2), targets.to(outputs.dtype)
    torch.sum((logit > 0) == (targets == 1), 1, dtype=log.dtype, out=log[1])
    torch.sum(binary_cross_entropy_with_logits(logit, target, reduction="none"), 1, out=log[0])
    # d(mean loss) / d(logit) = (sigmoid - target) / n
    return torch.sigmoid(logit).sub_(target).div_(outputs.shape[1]).unsqueeze(2)


def answer(outputs: "Tensor") -> "Tensor":
    """See :class:`initbench.tasks.declaration.Task`."""
    return (outputs.squeeze(2) > 0).long()


def measure(outputs: "Tensor", targets: "Tensor") -> tuple["Tensor", "Tensor"]:
    """See :class:`initbench.tasks.declaration.Task`."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logit = outputs.squeeze(2)
    loss = binary_cross_entropy_with_logits(logit, targets.to(outputs.dtype), reduction="none").sum(1).double()
    return loss, (answer(outputs) == targets).sum(1)


TASK = Task(
    about="one of two classes, by one output",
    loss="binary cross-entropy",
    score=ACCURACY,
    n_outputs=lambda n_classes: 1,
    gradient=gradient,
    measure=measure,
    constant=entropy,
    answer=answer,
)
