"""Recorded trials trained again: whether the same weights come out, and what differs where they do not."""

import itertools
import json
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from initbench.data import DatasetSpec, load
from initbench.errors import InputError
from initbench.experiment.execute import Say, execute
from initbench.experiment.progress import say
from initbench.records import store
from initbench.records.columns import Columns
from initbench.records.schema import OUTCOMES, Environment, TrialRecord
from initbench.settings.catalogue import Catalogue
from initbench.settings.recorded import request_of
from initbench.settings.request import Request
from initbench.trial import Cell

# What is compared of two records of a trial, with what to call it.
_COMPARED = {
    "outcome": "outcome",
    "diverged_at": "step of divergence",
    "weights.initial": "initial weights",
    "weights.final": "final weights",
    "n_total": "numbers of samples",
    "n_correct": "correct answers",
    "history.val_correct": "correct validation answers by epoch",
}


@dataclass(frozen=True)
class Verified:
    """What became of one recorded trial.

    Attributes:
        recorded: its record, and ``there`` where that was made.
        again: what came out here, and ``here`` where that is; None where it could not be trained.
        reason: why it could not be trained here, if so.
    """

    recorded: TrialRecord
    there: Environment
    again: TrialRecord | None = None
    here: Environment | None = None
    reason: str = ""

    @property
    def differing(self) -> list[str]:
        """What is not the same; of things that nobody recorded nothing is said."""
        if self.again is None:
            return []
        pairs = [(_of(self.recorded, path), _of(self.again, path), name) for path, name in _COMPARED.items()]
        return [name for was, now, name in pairs if was != now and was not in (None, [])]

    @property
    def environments(self) -> dict[str, tuple[str, str]]:
        """The fields in which the environments differ: what the record has, and what is here."""
        if self.here is None:
            return {}
        was, now = msgspec.structs.asdict(self.there), msgspec.structs.asdict(self.here)
        return {name: (str(was[name]), str(now[name])) for name in now if was[name] != now[name] and was[name]}

    @property
    def name(self) -> str:
        """The trial, for people."""
        trial, asked = self.recorded.trial, self.recorded.asked
        init = asked.label or trial["init"]["law"]
        width = f" width={trial['width'][0]}" if trial["width"] else ""
        return (
            f"{asked.dataset} {trial['model']['name']} depth={trial['depth']}{width} {trial['activation']['name']} "
            f"init={init} lr={trial['lr']:g} seed={trial['seed']} ({self.recorded.key[:12]})"
        )


def sampled(columns: Columns, n: int) -> set[str]:
    """The keys of some trials that were trained to an end, spread over the cells; of the same trials always the same.

    One of every cell comes before a second of any; the seeds are the same for all cells as far as they have them.

    Args:
        columns: the trials.
        n: how many.
    """
    finished = np.flatnonzero(columns.numbers["outcome"] != OUTCOMES.index("failed"))
    names = [json.dumps(cell.trial, sort_keys=True) for cell in columns.cells]
    cells: dict[str, dict[int, str]] = {}
    columns_of = (columns.numbers["cell"], columns.numbers["seed"], columns.keys)
    for cell, seed, key in zip(*(values[finished].tolist() for values in columns_of), strict=True):
        cells.setdefault(names[cell], {})[seed] = key.decode()
    random = np.random.default_rng(0)
    order = random.permutation(sorted({seed for its in cells.values() for seed in its})).tolist()
    its = [cells[name] for name in sorted(cells)]
    shuffled = [[its[i][seed] for seed in order if seed in its[i]] for i in random.permutation(len(its)).tolist()]
    in_turn = [key for turn in itertools.zip_longest(*shuffled) for key in turn if key is not None]
    return set(in_turn[:n])


def verify(
    folders: Sequence[Path],
    keys: Collection[str],
    catalogue: Catalogue,
    places: Sequence[str] = (),
    tell: Say = say,
    quiet: bool = False,
) -> list[Verified]:
    """Train recorded trials again, and hold them to their records.

    On the kind of device and, where it is here, with the matrix product that they were trained with.

    Their records stay as they are; what is trained here is forgotten.

    Args:
        folders: results folders.
        keys: of the trials.
        catalogue: with the plugins that their initializers are from.
        places: overrides that say where data and code are here, see :mod:`initbench.settings.recorded`.
        tell: takes a line for the user.
        quiet: show no progress.

    Raises:
        StorageError: a folder cannot be read, or there is no room for temporary files.
    """
    found, chosen = [], dict[tuple[str, str], list[tuple[TrialRecord, Environment, Request]]]()
    # Of each data set once: to find out that one cannot be downloaded may take long.
    unreadable, absent, product = cache(_unreadable), cache(_absent), cache(_product)
    for record, environment in _records(folders, keys):
        device = environment.device or "cpu"
        try:
            request = request_of(record.trial, record.asked, tuple(places), catalogue)
            why = unreadable(request.cells[0].dataset) or absent(device)
        except InputError as error:
            why = str(error)
        if why:
            found.append(Verified(record, environment, reason=why))
        else:
            chosen.setdefault((device, product(environment.blas)), []).append((record, environment, request))
    for (device, blas), some in chosen.items():
        found += _again(some, device, blas, tell, quiet)
    return sorted(found, key=lambda one: one.name)


def _records(folders: Iterable[Path], keys: Collection[str]) -> list[tuple[TrialRecord, Environment]]:
    """The records of some trials, and where they were made; of several of a trial the one finished first."""
    kept: dict[str, tuple[str, TrialRecord, Environment]] = {}
    for path in store.files(folders):
        # Whoever chose the trials has told of what is damaged.
        for header, lines in store.read_all(path, lambda unusable: None):
            for line in lines:
                if isinstance(line, TrialRecord) and line.key in keys:
                    known = kept.get(line.key)
                    if known is None or header.finished < known[0]:
                        kept[line.key] = header.finished, line, header.environment
    return [(record, environment) for _, record, environment in kept.values()]


def _unreadable(dataset: DatasetSpec) -> str:
    """Why a data set cannot be read here, if so."""
    try:
        load(dataset)
    except InputError as error:
        return str(error)
    return ""


def _absent(device: str) -> str:
    """Why there is no such device here, if so."""
    from initbench.experiment.train import find_device

    try:
        find_device(device)
    except InputError as error:
        return str(error)
    return ""


def _product(recorded: str | None) -> str:
    """The setting for the matrix product that a record names; ``auto`` where there is none of this name here."""
    from initbench.engine.compiled.blas import ROUTES

    found = {route.name: key for key, find in ROUTES.items() if (route := find()) is not None}
    return found.get(recorded or "", "auto")


def _again(
    some: Sequence[tuple[TrialRecord, Environment, Request]], device: str, blas: str, tell: Say, quiet: bool
) -> list[Verified]:
    """Trials of one kind of device and one product, trained as any request is, into a folder that is not kept."""
    seeds: dict[Cell, set[int]] = {}
    for _, _, request in some:
        seeds.setdefault(request.cells[0], set()).update(request.seeds)
    # A request is a product of cells and seeds.
    products: dict[tuple[int, ...], list[Cell]] = {}
    for cell, its in seeds.items():
        products.setdefault(tuple(sorted(its)), []).append(cell)
    refused: dict[Cell, str] = {}
    with tempfile.TemporaryDirectory(prefix="initbench-verify-") as folder:
        for of, cells in products.items():
            asked = replace(
                some[0][2],
                cells=tuple(cells),
                seeds=of,
                device=device,
                blas=blas,
                results=Path(folder),
                name="run",
            )
            try:
                execute(asked, tell=tell, quiet=quiet)
            except InputError as error:
                refused |= dict.fromkeys(cells, str(error))
        made = store.load([Path(folder)])
    found = []
    for record, there, request in some:
        again = made.records.get(record.key)
        here = made.headers[record.key].environment if again else None
        reason = "" if again else refused.get(request.cells[0], "it has left no record")
        found.append(Verified(record, there, again, here, reason))
    return found


def _of(record: TrialRecord, path: str) -> object:
    value: object = record
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def lines_of(found: Sequence[Verified]) -> list[str]:
    """What came out, for people: one line where all are equal, else which differ, and in what the environments do."""
    trained = [one for one in found if one.again is not None]
    different = [one for one in trained if one.differing]
    equal = len(trained) - len(different)
    lines = [f"{one.name}: {', '.join(one.differing)} differ{_why(one)}" for one in different]
    skipped = len(found) - len(trained)
    total = f"{equal} of {len(trained)} trials trained again are equal: initial weights, final weights and counts"
    lines.append(total + (f"; {skipped} could not be trained here" if skipped else ""))
    fields: dict[str, tuple[str, str]] = {}
    for one in different:
        fields |= one.environments
    if fields:
        told = "; ".join(f"{name}: {was} there, {now} here" for name, (was, now) in fields.items())
        lines.append(f"the environments differ in {told}")
    elif different:
        lines.append("the environments do not differ in anything that is recorded")
    if different:
        lines.append(_explained(fields))
    return lines


def skipped_lines(found: Sequence[Verified]) -> list[str]:
    """The trials that could not be trained here, with the reason; a line for each reason."""
    reasons: dict[str, list[str]] = {}
    for one in found:
        if one.again is None:
            reasons.setdefault(one.reason, []).append(one.name)
    return [f"skipped {', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _why(one: Verified) -> str:
    again = one.again
    return f" (here: {again.error})" if again is not None and again.error else ""


def _explained(fields: Mapping[str, tuple[str, str]]) -> str:
    if "blas" in fields:
        return (
            "bits depend on whose matrix product was used (blas): another one rounds otherwise, and after many steps "
            "the weights differ"
        )
    if {"device", "processor", "cpu_capability"} & fields.keys():
        return "bits depend on the processor and the device: others round otherwise"
    return "bits depend on the versions of the libraries and on the processor"
