"""Probed perceptrons beside the theory: what it expects of a cell, and how far the mean of its seeds is from that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from initbench.analysis.probes import Probes
from initbench.probing.expected import LOGARITHMIC, Expected, Wide, expected
from initbench.probing.theory import Field
from initbench.records.probe import ProbeRecord

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Theory:
    """What the theory says of one cell.

    Attributes:
        net: the perceptron, as the theory sees it.
        layers: quantity to what is expected of every layer.
        jacobian: what is expected of ``jacobian_mean``.
        deviations: quantity to ``[layer]``: how many standard errors the mean of the seeds is from that; NaN where no
            scatter is derived or a number is missing. That of ``jacobian_mean`` has one entry.
    """

    net: Wide
    layers: dict[str, Expected]
    jacobian: Expected
    deviations: dict[str, Array]

    @cached_property
    def field(self) -> Field | None:
        """The map that leads from one hidden layer to the next, None where there are none or they differ."""
        inner = set(zip(self.net.sigma_w[1:-1], self.net.sigma_b[1:-1], strict=True))
        if len(inner) != 1:
            return None
        ((sigma_w, sigma_b),) = inner
        return Field(self.net.activation, sigma_w, sigma_b, self.net.params)

    def largest(self, quantity: str) -> float:
        """The deviation that is farthest from 0 of all layers, NaN where there is none."""
        found = self.deviations[quantity]
        found = found[np.isfinite(found)]
        return float(found[np.abs(found).argmax()]) if len(found) else math.nan


def theory(probes: Probes, cell: int) -> Theory | None:
    """What the theory says of a cell; None where it says nothing.

    It speaks of perceptrons without a norm whose weights are random with mean zero, and whose numbers are finite.
    """
    records = [record for record, of in zip(probes.records, probes.cell.tolist(), strict=True) if of == cell]
    usable = [record for record in records if record.outcome == "ok"]
    if not usable or len(usable) < len(records):
        return None
    net = _wide(usable[0])
    if net is None:
        return None
    of_batches, correlation = (_stacked([record.given[name] for record in usable]) for name in ("rms", "correlation"))
    squares = (of_batches**2).mean(1)
    measured = {name: _stacked([record.layers[name] for record in usable]) for name in (*LOGARITHMIC, "correlation")}
    with np.errstate(divide="ignore"):
        loss_gradient = float(np.exp(np.log(measured["backward_rms"][:, -1]).mean()))
    layers, jacobian = expected(
        net,
        np.sqrt((of_batches**2).mean(0)),
        correlation.mean(0),
        loss_gradient,
        float(_stacked([record.given["gradient_alike"] for record in usable]).mean()),
        float(np.log(squares).var()) if squares.all() else 0.0,
    )
    of_jacobian = _stacked([[record.values["jacobian_mean"]] for record in usable])
    deviations = {name: layers[name].deviation(values, name in LOGARITHMIC) for name, values in measured.items()}
    # The last one is what the others start from.
    deviations["backward_rms"][-1] = math.nan
    deviations["jacobian_mean"] = jacobian.deviation(of_jacobian, logarithmic=True)
    return Theory(net, layers, jacobian, deviations)


def _wide(record: ProbeRecord) -> Wide | None:
    trial, given = record.trial, record.given
    if trial["model"]["name"] != "mlp" or trial["model"].get("norm") is not None:
        return None
    sigma_w, sigma_b = given.get("sigma_w", []), given.get("sigma_b", [])
    if not sigma_w or None in sigma_w or None in sigma_b or 0 in sigma_w:
        return None
    params = tuple((name, float(value)) for name, value in trial["activation"].items() if name != "name")
    n_classes = round(math.exp(record.values["loss_uniform"] or 0.0))
    return Wide(
        activation=trial["activation"]["name"],
        params=params,
        width=(*trial["width"], n_classes),
        fan_in=[int(value or 0) for value in given["fan_in"]],
        sigma_w=[float(value or 0) for value in sigma_w],
        sigma_b=[float(value or 0) for value in sigma_b],
        orthogonal=[bool(value) for value in given["orthogonal"]],
        batch=trial["batch_size"],
    )


def _stacked(lists: Sequence[Sequence[float | None]]) -> Array:
    return np.array([[math.nan if value is None else value for value in values] for values in lists], dtype=float)
