"""What a module is trained for, as far as a diagnosis knows it: the loss, and what a constant answer would lose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from initbench.errors import InputError, unknown
from initbench.models.modules import output_of
from initbench.probing.calls import random_direction, tensors

LOSSES = ("cross_entropy", "mse", "bce")
_KNOWN: dict[Any, str] = {
    functional.cross_entropy: "cross_entropy",
    functional.mse_loss: "mse",
    functional.binary_cross_entropy_with_logits: "bce",
}
_MODULES = {nn.CrossEntropyLoss: "cross_entropy", nn.MSELoss: "mse", nn.BCEWithLogitsLoss: "bce"}
# Fewer samples for each class say little of how frequent it is.
_EACH = 10


@dataclass(frozen=True, eq=False)
class Objective:
    """What is made of an output.

    Attributes:
        kind: one of :data:`LOSSES`; ``own`` for a function of the user's; ``none`` where a fixed random direction of
            the output stands for a loss.
        value: from the module's output to a tensor with one number.
        target: what the output is compared with; None where there is nothing.
    """

    kind: str
    value: Callable[[Any], Tensor]
    target: Tensor | None = None

    @property
    def is_known(self) -> bool:
        """Whether it can be said what a constant answer would lose."""
        return self.kind in LOSSES and self.target is not None


def objective(loss: str | Callable[..., Tensor] | None, target: Tensor | None) -> Objective:
    """The objective of a loss and a target.

    Args:
        loss: a name of :data:`LOSSES`, a function of output and target (of the output alone without a target), or None:
            cross-entropy for whole numbers, binary cross-entropy for truth values, else mean squared error.
        target: see there.

    Raises:
        InputError: an unknown name, or a name without a target.
    """
    if target is not None and not isinstance(target, Tensor):
        raise InputError(f"target must be a tensor; got {type(target).__name__}")
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise unknown("loss", loss, LOSSES)
        if target is None:
            raise InputError(f"loss '{loss}' needs a target: what the output is compared with")
        return _named(loss, target)
    if loss is None:
        if target is None:
            return Objective("none", random_direction)
        kind = "bce" if target.dtype == torch.bool else "mse" if target.is_floating_point() else "cross_entropy"
        return _named(kind, target)
    if not callable(loss):
        raise InputError(f"loss must be a function or one of {', '.join(LOSSES)}; got {type(loss).__name__}")
    kind = _KNOWN.get(loss) or next((name for of, name in _MODULES.items() if _is_plain(loss, of)), "own")
    if target is None:
        return Objective("own", loss)
    if kind == "cross_entropy":
        return Objective(kind, lambda output: loss(_classes_second(first(output), target), target), target)
    return Objective(kind, lambda output: loss(output if kind == "own" else first(output), target), target)


def _is_plain(loss: Any, of: type[nn.Module]) -> bool:
    """Whether a loss is of this type, with nothing set that would change its value."""
    if type(loss) is not of:
        return False
    weights = [getattr(loss, name, None) for name in ("weight", "pos_weight")]
    plain = getattr(loss, "reduction", "mean") == "mean" and not getattr(loss, "label_smoothing", 0.0)
    return plain and all(one is None for one in weights)


def first(output: Any) -> Tensor:
    """The logits of what has some by that name, else the first floating-point tensor of an output.

    Raises:
        InputError: there is none.
    """
    named = output_of(output)
    for one in tensors(named if isinstance(named, Tensor) and named.is_floating_point() else output):
        if one.is_floating_point():
            return one
    raise InputError(f"the module's output, a {type(output).__name__}, holds no floating-point tensor; give a loss")


def n_classes(output: Tensor, target: Tensor) -> int:
    """How many classes the logits are of."""
    return int(_classes_second(output, target).shape[1])


def frequencies(target: Tensor, classes: int) -> Tensor | None:
    """The share of each class; None where too few samples tell."""
    if target.is_floating_point():
        # Of probabilities in place of classes.
        return None
    counted = target.flatten()
    counted = counted[(counted >= 0) & (counted < classes)]
    if len(counted) < _EACH * classes:
        return None
    return torch.bincount(counted, minlength=classes).double() / len(counted)


def entropy(shares: Tensor) -> float:
    """Of shares that sum to 1, in nats."""
    return float(-(shares * shares.clamp(min=torch.finfo(torch.float64).tiny).log()).sum())


def _named(kind: str, target: Tensor) -> Objective:
    if kind == "cross_entropy":

        def value(output: Any) -> Tensor:
            logits = first(output)
            # Of a sequence of classes a module may name the last one only.
            classes = target[:, -1] if logits.dim() == target.dim() == 2 and not target.is_floating_point() else target
            return functional.cross_entropy(_precise(_classes_second(logits, classes)), classes)
    else:
        of = functional.mse_loss if kind == "mse" else functional.binary_cross_entropy_with_logits

        def value(output: Any) -> Tensor:
            given = first(output)
            if given.numel() != target.numel():
                raise InputError(f"an output of shape {tuple(given.shape)} and a target of shape {tuple(target.shape)}")
            given = _precise(given.reshape(target.shape))
            return of(given, target.to(given.dtype))

    return Objective(kind, value, target)


def _precise(output: Tensor) -> Tensor:
    """An output in float32 at least."""
    return output if output.dtype == torch.float64 else output.float()


def _classes_second(output: Tensor, target: Tensor) -> Tensor:
    """Logits ``[sample, class, …]``, as torch's cross-entropy wants them, of those and of ``[sample, …, class]``."""
    if output.dim() == target.dim() + 1 and output.dim() > 2 and output.shape[:-1] == target.shape:
        return output.movedim(-1, 1)
    return output
