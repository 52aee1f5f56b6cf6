"""Probes as a table: what networks do before any training, with their settings spelled out. Needs no torch.

A quantity is one of :data:`LAYERS` (a number for every layer, the first one first) or of :data:`VALUES` (one number for
the whole network). :meth:`Probes.value` makes one number for every network of either.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis.trials import Identity, Wanted, cell_of, identity_of, selected
from initbench.errors import InputError, unknown
from initbench.records import store
from initbench.records.columns import Setting
from initbench.records.probe import ProbeRecord

# What is measured of every layer. A layer is what has a weight, with the norm and the activation behind it; the last
# one gives the output.
LAYERS = {
    "forward_rms": "root mean square of what the layer hands on, behind its activation",
    "forward_mean": "mean of what the layer hands on",
    "preactivation_rms": "root mean square before the activation, where there is one",
    "backward_rms": "root mean square of the gradient of the loss that comes back to the layer's own output",
    "weight_gradient_rms": "root mean square of the gradient of the loss in the weight",
    "dead": "share of units whose activation is flat for every input: its slope under a thousandth of the steepest",
    "saturated": "share of units and inputs with a slope under a twentieth of the steepest",
    "effective_rank": "(sum of s^2)^2 / (sum of s^4) of the singular values s of outputs [input, unit]; 1: all alike",
    "correlation": "mean cosine of two inputs' outputs of the layer, before its activation",
    "distinct": "share of units whose weight gradient no earlier unit has: 1/width under full symmetry",
    "update_ratio": "root mean square of the first step of the optimizer over that of the weight",
}
# What is measured of the whole network.
VALUES = {
    "loss": "mean cross-entropy of the first batch before the first step",
    "loss_uniform": "that of equal probabilities: the logarithm of the number of classes",
    "jacobian_max": "largest singular value of d output / d input, the mean over some inputs",
    "jacobian_mean": "root mean square of these singular values, the mean over the inputs",
    "jacobian_min": "smallest of them, the mean over the inputs",
    "jacobian_condition": "largest over smallest, the geometric mean over the inputs",
}
_REDUCE: dict[str, Callable[[NDArray[np.float64]], Any]] = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "min": np.min,
    "max": np.max,
    "mean": np.mean,
    "ratio": lambda values: values[-1] / values[0],
    "spread": lambda values: values.max() / values.min(),
}
REDUCTIONS = tuple(_REDUCE)

_NAME = re.compile(r"(\w+)(?:\[(-?\d*):(-?\d*)\])?(?:\.(\w+))?")
# What comes after the first step is none of a probe's settings.
_LATER = {"schedule": "", "warmup": 0.0, "epochs": 0}
_NOT_OF_PROBES = (*_LATER, "train_total", "val_total", "test_total", "test_majority", "target")


@dataclass(frozen=True)
class Probes:
    """Probed networks, sorted by cell and seed.

    Attributes:
        records: what was measured of each.
        cells: one row per cell, with its settings as text and numbers, as :attr:`initbench.analysis.trials.Trials` has
            them, but for what comes after the first step.
        identities: per cell what a network's identity says, without the seed.
        cell: ``[records]``, the row of each one's cell.
        seed: ``[records]``.
    """

    records: tuple[ProbeRecord, ...]
    cells: pd.DataFrame
    identities: list[Identity]
    cell: NDArray[np.int64]
    seed: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.records)

    def take(self, rows: Iterable[int]) -> "Probes":
        """Some of them, by number; all cells stay."""
        rows = list(rows)
        return Probes(
            tuple(self.records[row] for row in rows), self.cells, self.identities, self.cell[rows], self.seed[rows]
        )

    def frame(self) -> pd.DataFrame:
        """Everything measured, a row for each number.

        Columns: ``cell`` and ``seed``; ``quantity``; ``layer`` (from 1; 0 for a quantity of the whole network);
        ``value``, NaN where it has no meaning or was not finite.
        """
        rows = []
        for record, cell, seed in zip(self.records, self.cell.tolist(), self.seed.tolist(), strict=True):
            for quantity, numbers in record.layers.items():
                rows += [(cell, seed, quantity, layer, number) for layer, number in enumerate(numbers, start=1)]
            rows += [(cell, seed, quantity, 0, number) for quantity, number in record.values.items()]
        frame = pd.DataFrame(rows, columns=["cell", "seed", "quantity", "layer", "value"])
        return frame.astype({"value": float})

    def value(self, name: str) -> pd.DataFrame:
        """One number for every network: a row each, in the order of ``records``.

        A quantity of the whole network goes by its name: ``loss``, ``jacobian_condition``. One of layers goes by
        ``QUANTITY.REDUCTION``: ``backward_rms.ratio``, ``dead.max``. Reductions are over the layers in which the
        quantity has a meaning:

        * ``first``, ``last``: of the first of them, of the last;
        * ``min``, ``max``, ``mean``: over all of them;
        * ``ratio``: last over first;
        * ``spread``: largest over smallest.

        Layers are counted as a Python slice counts: ``forward_rms[:-1].ratio`` leaves out the output layer,
        ``weight_gradient_rms[1:-1].spread`` the first layer too.

        Returns:
            Columns ``cell`` (the row in ``cells``), ``seed``, ``value``. The value is NaN where a network failed,
            where a number that it needs was not finite, or where there is nothing to divide by (0 over 0); a ratio to
            zero is infinite.

        Raises:
            InputError: there is no such quantity or reduction.
        """
        reduce = reduction(name)
        values = np.array([reduce(record) for record in self.records], dtype=float)
        return pd.DataFrame({"cell": self.cell, "seed": self.seed, "value": values})


def reduction(name: str, more: Iterable[str] = ()) -> Callable[[ProbeRecord], float]:
    """From a record to the number that a name stands for, as :meth:`Probes.value` has it.

    Args:
        name: of the number.
        more: what else there is to choose from, for the message.

    Raises:
        InputError: there is no such quantity or reduction.
    """
    match = _NAME.fullmatch(name)
    quantity, first, last, how = match.groups() if match else (name, None, None, None)
    if quantity not in {*LAYERS, *VALUES}:
        raise unknown("quantity", quantity, [*more, *LAYERS, *VALUES])
    if quantity in VALUES:
        if how or first is not None:
            raise InputError(f"{quantity} is one number of the whole network, by its name alone; got '{name}'")
        return lambda record: _number(record.values.get(quantity))
    if how not in _REDUCE:
        raise InputError(
            f"{quantity} has a number for every layer: give {quantity}.REDUCTION with one of "
            f"{', '.join(_REDUCE)}; got '{name}'"
        )
    layers = slice(*(int(end) if end else None for end in (first, last)))

    def reduced(record: ProbeRecord) -> float:
        found = np.array([_number(one) for one in record.layers.get(quantity, [])], dtype=float)[layers]
        # Of a network all of whose numbers are finite, None is said of layers in which there is no such thing.
        if record.outcome == "ok":
            found = found[~np.isnan(found)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(_REDUCE[how](found)) if len(found) else float("nan")

    return reduced


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def probes_of(records: Iterable[ProbeRecord]) -> Probes:
    """The probes of records in memory; one that was asked for in several ways is there once for each."""
    distinct = {(record.key, record.asked.text()): record for record in records}
    known: dict[str, tuple[int, Setting, Identity]] = {}
    place = []
    for record in distinct.values():
        trial = {name: value for name, value in record.trial.items() if name not in ("seed", "probe")}
        setting = Setting(trial, record.asked, record.formula, None, None)
        identity = identity_of(setting)
        text = f"{json.dumps(identity)} {record.asked.label}"
        place.append(known.setdefault(text, (len(known), setting, identity))[0])
    identities = [identity for _, _, identity in known.values()]
    rows = [cell_of(setting, identity | _LATER, {}, None) for _, setting, identity in known.values()]
    cells = pd.DataFrame(rows)
    order = cells.sort_values(["dataset", "model", "activation", "depth", "width", "whole"]).index if rows else []
    cells = cells.iloc[order].reset_index(drop=True).drop(columns=list(_NOT_OF_PROBES)) if rows else cells
    number = np.empty(len(rows), dtype=np.int64)
    number[order] = np.arange(len(rows))
    seeds = np.array([record.trial["seed"] for record in distinct.values()], dtype=np.int64)
    cell = number[np.array(place, dtype=np.int64)]
    sorted_ = np.lexsort((seeds, cell))
    found = list(distinct.values())
    return Probes(
        tuple(found[row] for row in sorted_), cells, [identities[old] for old in order], cell[sorted_], seeds[sorted_]
    )


def load(folders: Sequence[Path]) -> tuple[list[ProbeRecord], list[str]]:
    """The records of kind ``probe`` below some folders, each once for every way in which it was asked for.

    Of several of one network the one finished first is taken, but one that failed only if there is no other.

    Returns:
        The records, and a line for every file that is passed over.

    Raises:
        StorageError: a folder or a file cannot be read.
    """
    kept: dict[tuple[str, bytes], tuple[tuple[bool, str], ProbeRecord]] = {}
    told: list[str] = []
    for path in store.files(folders):
        for header, lines in store.read_all(path, lambda unusable: told.append(str(unusable))):
            for line in lines:
                if isinstance(line, ProbeRecord):
                    subject, rank = (line.key, line.asked.text()), (line.outcome == "failed", header.finished)
                    if subject not in kept or rank < kept[subject][0]:
                        kept[subject] = rank, line
    return [record for _, record in kept.values()], told


def select(probes: Probes, filters: Mapping[str, Wanted]) -> Probes:
    """The probes that have, for every filter, one of the wanted values, as :func:`initbench.analysis.trials.select`.

    Raises:
        InputError: a setting that none has, or a selection that leaves nothing; the message says what is there.
    """
    return probes.take(selected(probes.identities, probes.cell, probes.seed, filters).tolist())
