"""Regression: one number, the squared error of the standardised target, R²."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initbench.tasks.declaration import Score, Task

if TYPE_CHECKING:
    from torch import Tensor


def gradient(outputs: "Tensor", targets: "Tensor", log: "Tensor") -> "Tensor":
    """See :class:`initbench.tasks.declaration.Task`; targets are numbers of the outputs' type."""
    import torch

    error = outputs.squeeze(2) - targets
    torch.sum(error.square(), 1, out=log[0])
    log[1].zero_()
    # d(mean squared error) / d(output) = 2 (output - target) / n
    return error.mul_(2 / outputs.shape[1]).unsqueeze(2)


def measure(outputs: "Tensor", targets: "Tensor") -> tuple["Tensor", "Tensor"]:
    """See :class:`initbench.tasks.declaration.Task`."""
    import torch

    loss = (outputs.squeeze(2) - targets).square().sum(1).double()
    return loss, torch.zeros(len(outputs), dtype=torch.int64, device=outputs.device)


def variance(targets: NDArray[Any]) -> float:
    """The mean squared error of always predicting the mean."""
    return float(np.var(targets, dtype=np.float64))


def r_squared(loss: Any, variance: Any) -> Any:
    """The share of the variance that is explained: 0 for the mean, below it for what is worse (scikit-learn's too)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - loss / variance


TASK = Task(
    about="a number",
    loss="mean squared error",
    score=Score("R²", "", 1.0, 4, "points of R²", "always predicting the mean"),
    n_outputs=lambda n_classes: 1,
    gradient=gradient,
    measure=measure,
    constant=variance,
    of_loss=r_squared,
    # The correlation with n numbers that have nothing to do with it has a standard error of 1/√n: three of them.
    luck=lambda n: 9 / n,
)
