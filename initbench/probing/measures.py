"""What is measured of a layer, as functions of tensors ``[trial, …]``; each gives ``[trial]``, NaN where undefined.

What float32 can hold, its square may not: squares are summed up in float64, or of numbers divided by their largest.
"""

import math

import numpy as np
import torch
from torch import Tensor

from initbench.activations import ACTIVATIONS

# A slope below these parts of the steepest: a unit that is flat for every input learns nothing; one that is nearly flat
# for an input passes little of its gradient on.
DEAD, SATURATED = 1e-3, 0.05
# How many inputs the singular values are averaged over: their spread over inputs is small beside that over seeds.
JACOBIAN_INPUTS = 4
# Weight gradients of two units are the same one if they agree to this part of the largest.
_SAME = 1e-5


def rms(x: Tensor) -> Tensor:
    """The root mean square over all but the first dimension."""
    flat = x.flatten(1)
    return _norm(flat).squeeze(1) / math.sqrt(flat.shape[1]) if flat.shape[1] else _norm(flat).squeeze(1) * math.nan


def mean(x: Tensor) -> Tensor:
    """The mean over all but the first dimension."""
    return x.flatten(1).mean(1)


def effective_rank(x: Tensor) -> Tensor:
    """The participation ratio of ``[trial, input, unit]``: ``(Σ s²)² / Σ s⁴`` of its singular values s.

    It is k where k singular values are equal and the others zero; 1 where all inputs give the same but for a factor.
    """
    x = _scaled(x)
    # Of the two products of the matrix with itself the smaller.
    gram = x @ x.mT if x.shape[1] <= x.shape[2] else x.mT @ x
    return gram.diagonal(dim1=1, dim2=2).sum(1).square() / gram.square().sum((1, 2))


def cosines(x: Tensor) -> Tensor:
    """``[trial, input, input]``: the cosines of all pairs of inputs of ``[trial, input, unit]``; NaN for a zero."""
    unit = x / _norm(x).to(x.dtype)
    return unit @ unit.mT


def correlation(x: Tensor) -> Tensor:
    """The mean cosine of two different inputs, of ``[trial, input, unit]``; those that give zero are left out."""
    norm = _norm(x)
    unit = x / torch.where(norm > 0, norm, 1.0).to(x.dtype)
    n = (norm > 0).sum((1, 2)).double()
    # The square of a sum is the sum of all products.
    off_diagonal = unit.sum(1).double().square().sum(1) - n
    found = torch.where(n > 1, off_diagonal / (n * (n - 1)), torch.nan)
    return torch.where(norm.isfinite().all(2).all(1), found, torch.nan)


def distinct(grad: Tensor) -> Tensor:
    """The share of units of ``[trial, unit, …]`` whose gradient is none of the units' before.

    Units are compared by three fixed projections, in order of the first: nobody needs all pairs for it.
    """
    grad = _scaled(grad.flatten(2))
    rng = np.random.default_rng(0)
    directions = torch.tensor(rng.standard_normal((grad.shape[2], 3)), dtype=grad.dtype, device=grad.device)
    at = grad @ directions
    at = at / torch.clamp(at.abs().amax((1, 2), keepdim=True), min=torch.finfo(at.dtype).tiny)
    order = at[:, :, :1].argsort(1).expand_as(at)
    steps = at.gather(1, order).diff(dim=1).abs().amax(2)
    found = (1 + (steps > _SAME).sum(1)) / grad.shape[1]
    return torch.where(at.isfinite().all(2).all(1), found, torch.nan)


def slopes(dead: Tensor, saturated: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of dead units and of saturated pairs.

    Args:
        dead: ``[trial, input, unit]``, whether the slope is under :data:`DEAD`.
        saturated: likewise under :data:`SATURATED`.
    """
    return dead.all(1).float().mean(1), saturated.float().mean((1, 2))


def steepest(activation: str, params: tuple[tuple[str, float], ...] = ()) -> float:
    """The largest absolute slope of an activation."""
    x = np.linspace(-20, 20, 40_001)
    return float(np.abs(ACTIVATIONS[activation].derivative(x, **dict(params))).max())


def jacobian(singular: Tensor) -> dict[str, Tensor]:
    """Numbers ``[trial]`` from the singular values ``[trial, input, value]`` of the map from inputs to outputs."""
    largest, smallest = singular.amax(2), singular.amin(2)
    # What is left of a singular value 0.
    smallest = torch.where(smallest < 1e-13 * largest, 0.0, smallest)
    return {
        "jacobian_max": largest.mean(1),
        "jacobian_mean": singular.square().mean(2).sqrt().mean(1),
        "jacobian_min": smallest.mean(1),
        "jacobian_condition": (largest / smallest).log().mean(1).exp(),
    }


def parts(values: Tensor, n: int = 32) -> Tensor:
    """``[trial, n]``: the means of n equally large parts of ``[trial, value]`` in ascending order.

    Their mean is that of all values; where a value lies in two parts, each has its share of it.
    """
    count = values.shape[1]
    summed = torch.cumsum(values.double().sort(dim=1).values, 1)
    summed = torch.cat([torch.zeros_like(summed[:, :1]), summed], 1)
    ends = torch.arange(n + 1, dtype=torch.float64, device=values.device) * count / n
    below = ends.floor().long().clamp(max=count - 1)
    at = summed[:, below] + (ends - below) * (summed[:, below + 1] - summed[:, below])
    return at.diff(dim=1) * n / count


def uniform_loss(n_classes: int) -> float:
    """The cross-entropy of equal probabilities."""
    return math.log(n_classes)


def _norm(x: Tensor) -> Tensor:
    """The Euclidean norm over the last dimension, which stays, summed up in float64."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float64)
    return norm


def _scaled(x: Tensor) -> Tensor:
    """With 1 as the largest number of each trial."""
    largest = x.abs().flatten(1).amax(1).view(-1, *[1] * (x.dim() - 1))
    return x / torch.where(largest > 0, largest, 1.0)
