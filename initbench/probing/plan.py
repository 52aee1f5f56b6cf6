"""From a request to the networks that are to be probed, and which of them have no record yet. Needs no torch."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from initbench.data import pinned
from initbench.errors import InputError
from initbench.settings.request import Request
from initbench.tasks import USUAL
from initbench.trial import Cell, trial_keys

# Raised by hand whenever what is measured changes.
PROBE_RECIPE = 1

# Of a trial's identity what comes after the first step.
_LATER = ("schedule", "warmup", "epochs")


@dataclass(frozen=True, slots=True)
class Probe:
    """One network to probe: its cell, its seed and its key."""

    cell: Cell
    seed: int
    key: str

    @property
    def subject(self) -> tuple[str, bytes]:
        """Which network it is, and how it is asked for."""
        return self.key, self.cell.asked().text()


def identity(cell: Cell, seed: int) -> dict[str, Any]:
    """What makes a probe this probe: a trial's identity without what comes after the first step.

    Args:
        cell: its data set is pinned.
        seed: of the network, and of the batch that it sees.
    """
    whole = cell.identity(seed, cell.dataset.content or "")
    return {name: value for name, value in whole.items() if name not in _LATER} | {"probe": PROBE_RECIPE}


def wanted(request: Request) -> list[Probe]:
    """All that a request asks for, once for every way in which it is asked for; in the order of its cells and seeds.

    Raises:
        InputError: a data set without a known content hash cannot be read, or the networks are for a task whose loss
            no probe knows.
    """
    others = {cell.dataset.task for cell in request.cells} - {USUAL}
    if others:
        raise InputError(f"probes know networks for {USUAL} only; these are for {', '.join(sorted(others))}")
    found: dict[tuple[str, bytes], Probe] = {}
    datasets = {dataset: pinned(dataset) for dataset in dict.fromkeys(cell.dataset for cell in request.cells)}
    for asked in request.cells:
        cell = replace(asked, dataset=datasets[asked.dataset])
        key = trial_keys(identity(cell, 0))
        for seed in request.seeds:
            probe = Probe(cell, seed, key(seed))
            found.setdefault(probe.subject, probe)
    return list(found.values())


def lines_of(probes: Collection[Probe], done: Collection[str]) -> list[str]:
    """The cells with their number of probes done, for people."""
    cells: dict[Cell, list[str]] = {}
    for probe in probes:
        cells.setdefault(probe.cell, []).append(probe.key)
    lines = []
    for cell, keys in cells.items():
        n_done = sum(key in done for key in keys)
        width = "x".join(map(str, dict.fromkeys(cell.width)))
        lines.append(
            f"{cell.dataset.name} {cell.model.name} depth={cell.depth} width={width or '-'} {cell.activation.name} "
            f"init={cell.asked().label}: {n_done} done, {len(keys) - n_done} to do"
        )
    distinct = {probe.key for probe in probes}
    n_done = len(distinct & set(done))
    total = f"{len(cells)} cells, {len(distinct)} networks: {n_done} done, {len(distinct) - n_done} to do"
    return [*lines, total]
