"""Checks before any training: every module is run, every initializer drawn and certified, once for every shape.

What they find is wrong with the cells that have this module or this initializer, and with no others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from initbench.data import DatasetSpec, samples
from initbench.errors import InputError
from initbench.experiment.plan import Trial
from initbench.experiment.start import architecture_of, parts_of
from initbench.initializers import Certificate, Law
from initbench.initializers.conformance import unrepeatable
from initbench.initializers.network import Part
from initbench.models import Architecture, modules
from initbench.trial import Cell


@dataclass(frozen=True)
class Check:
    """One check, of what some cells share.

    Attributes:
        cells: they cannot be trained if it fails.
        run: returns a line for each thing that is no fault and still worth knowing; raises an InputError that says
            what is wrong, or a MemoryError.
    """

    cells: tuple[Cell, ...]
    run: Callable[[], list[str]]


def checks(trials: Iterable[Trial]) -> list[Check]:
    """The checks of some trials, in an order that follows from them.

    Raises:
        InputError: a data set cannot be read, or its samples are not what a model needs.
    """
    seeds: dict[Cell, int] = {}
    for trial in trials:
        seeds.setdefault(trial.cell, trial.seed)
    alike: dict[tuple[Architecture, DatasetSpec, int], list[Cell]] = {}
    for cell in seeds:
        architecture, n_train = architecture_of(cell), len(samples(cell.dataset).train)
        if not architecture.is_plain:
            alike.setdefault((architecture, cell.dataset, n_train % cell.batch_size or cell.batch_size), []).append(
                cell
            )
    found = [Check(tuple(cells), partial(_run, *shared)) for shared, cells in alike.items()]
    drawn: dict[Any, InputError | None] = {}
    return found + [Check((cell,), partial(_draw, cell, seed, drawn)) for cell, seed in seeds.items()]


def _run(architecture: Architecture, dataset: DatasetSpec, batch: int) -> list[str]:
    modules.check(architecture, batch)
    return []


def _draw(cell: Cell, seed: int, drawn: dict[Any, InputError | None]) -> list[str]:
    """Of every way in which a parameter is drawn one, unless another cell has drawn it so."""
    notes = []
    for part in parts_of(cell):
        asked = (part.draws or part.name, part.factors, tuple(block.shape for block in part.parameter.blocks))
        if asked not in drawn:
            try:
                notes += _certified(part, seed)
                drawn[asked] = None
            except InputError as error:
                drawn[asked] = error
        known = drawn[asked]
        if known is not None:
            raise known
    return notes


def _certified(part: Part, seed: int) -> list[str]:
    shape = tuple(part.parameter.tensor.shape)
    if part.kept:
        if part.parameter.looks_like_a_weight and "other" in part.parameter.roles:
            return [f"note: {part.name} of shape {shape} keeps the module's own values"]
        return []
    found = _examined(part, seed)
    where = f"'{found.law}' on {part.name} of shape {shape}"
    if found.faults:
        raise InputError(f"{where}: {found.faults[0]}")
    return [f"note: {where}: {note}" for note in found.notes]


def _examined(part: Part, seed: int) -> Certificate:
    """The certificate of a part; what a law from outside does besides is among its faults."""
    blocks = part.blocks(seed)
    found = part.certificate(blocks)
    if any(isinstance(draw.law, Law) and draw.law.code for draw in part.draws):
        unlike = unrepeatable(np.concatenate(blocks), lambda: np.concatenate(part.blocks(seed)))
        found = replace(found, faults=(*found.faults, *unlike))
    return found
