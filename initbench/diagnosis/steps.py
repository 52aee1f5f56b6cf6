"""The first step of the user's optimizer, and how what a module does changes with its width or depth."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from initbench.diagnosis.evidence import Evidence, restored, rms
from initbench.diagnosis.findings import Finding, number
from initbench.diagnosis.objectives import Objective
from initbench.errors import InputError, in_one_line
from initbench.probing.calls import called
from initbench.probing.module import observe

# A step of a tenth of a weight's size undoes its start; one of a millionth does nothing.
_LARGE, _SMALL = 0.1, 1e-6
# Of log(size) over log(width); the square root is 0.5, and what muP asks for 0.
_SLOPE = 0.25


def updates(evidence: Evidence) -> Iterator[Finding]:
    """Layers that the first step of the user's optimizer overturns, or does not move."""
    for row, ratio in enumerate(evidence.seen.layers["update_ratio"]):
        if math.isnan(ratio) or _SMALL <= ratio <= _LARGE:
            continue
        weight, where = evidence.weight(row), evidence.seen.paths[row]
        if weight is None or not ratio or not math.isfinite(ratio):
            continue
        large = ratio > _LARGE
        yield Finding(
            "large_step" if large else "small_step",
            "doubtful",
            where,
            f"the first step changes the weights of {where} by {number(ratio)} of their size",
            "the learning rate is too high for weights as small as these"
            if large
            else "the gradient that reaches it, or the learning rate, is too small to matter",
        )


def slopes(
    build: Callable[..., nn.Module],
    axis: str,
    sizes: Sequence[int],
    batch: Any,
    objective: Objective,
    optimizer: Callable[[Any], torch.optim.Optimizer],
) -> Iterator[Finding]:
    """How layers' outputs grow with the width or the depth of the module, before training and after three steps.

    Args:
        build: the factory; takes the axis as a keyword.
        axis: its name, as ``width``.
        sizes: at least two, ascending.
        batch: what each module is called with.
        objective: what is trained.
        optimizer: from parameters to an optimizer.

    Raises:
        InputError: a size that cannot be built, or layers that differ.
    """
    before: list[Mapping[str, float]] = []
    changes: list[Mapping[str, float]] = []
    for size in sizes:
        with torch.random.fork_rng(devices=[]), in_one_line(f"{axis}={size}"):
            torch.manual_seed(0)
            module = build(**{axis: size})
        start, end = _before_and_after(module, batch, objective, optimizer)
        before.append(start)
        changes.append(end)
    shared = [path for path in before[0] if all(path in one for one in before)]
    if not shared:
        raise InputError(f"no layer of {axis}={sizes[0]} has the same name in {axis}={sizes[-1]}")
    for when, found in (("before training", before), ("after three steps", changes)):
        by_layer = {path: _slope(sizes, [one[path] for one in found]) for path in shared}
        for path, slope in by_layer.items():
            if abs(slope) >= _SLOPE:
                yield Finding(
                    f"{axis}_slope",
                    "doubtful",
                    path,
                    f"{when}, what {path} puts out {'changes' if found is changes else 'is'} as {axis}^{number(slope)} "
                    f"over {axis} {', '.join(map(str, sizes))}",
                    f"a learning rate found at one {axis} does not carry over to another: what a layer puts out, and "
                    "how much a step changes it, should not depend on it",
                )


def _before_and_after(
    module: nn.Module, batch: Any, objective: Objective, optimizer: Callable[[Any], torch.optim.Optimizer]
) -> tuple[dict[str, float], dict[str, float]]:
    """By layer the size of its output, and that of how it differs after three steps."""

    def outputs() -> dict[str, torch.Tensor]:
        kept: dict[str, torch.Tensor] = {}
        handles = [
            part.register_forward_hook(
                lambda _, __, out, path=path: (
                    kept.setdefault(path, out.detach().clone())
                    if isinstance(out, torch.Tensor) and out.is_floating_point()
                    else None
                )
            )
            for path, part in module.named_modules()
            if path in layers
        ]
        with torch.no_grad():
            called(module, batch)
        for handle in handles:
            handle.remove()
        return kept

    layers = {*observe(module, batch, objective.value, lambda params, grads: {}, jacobian=False).paths}
    with restored(module):
        first = outputs()
        rule = optimizer([one for one in module.parameters() if one.requires_grad])
        for _ in range(3):
            rule.zero_grad()
            objective.value(called(module, batch)).backward()  # type: ignore[no-untyped-call]
            rule.step()
        last = outputs()
    return {path: rms(one) for path, one in first.items()}, {path: rms(last[path] - one) for path, one in first.items()}


def _slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Of the logarithm of the values over that of the sizes; 0 where one is zero or not finite."""
    if not all(math.isfinite(value) and value > 0 for value in values):
        return 0.0
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
