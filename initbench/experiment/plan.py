"""From a request to a plan: which trials are asked for, and which of them no record has yet. Needs no torch."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from initbench.data import pinned
from initbench.search import Search, Tuning, rounds, search_of, tune
from initbench.settings.request import Request
from initbench.trial import START_GROUPS, Cell, trial_key, trial_keys

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """One network to train: its cell, its seed and its key."""

    cell: Cell
    seed: int
    key: str

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this trial. Of a million trials it is needed one at a time."""
        return self.cell.identity(self.seed, self.cell.dataset.content or "")


def trial_of(cell: Cell, seed: int) -> Trial:
    """The trial of a cell whose data set is pinned."""
    return Trial(cell, seed, trial_key(cell.identity(seed, cell.dataset.content or "")))


@dataclass(frozen=True)
class Plan:
    """All trials of a request, and those of them that no record has yet.

    A trial that is asked for under several names is among ``trials`` once for each, and once in ``todo``. ``tunings``
    says of each cell whose protocol searches how far that has come; its final trials are known, and among ``trials``,
    once that is complete.
    """

    trials: tuple[Trial, ...]
    todo: tuple[Trial, ...]
    tunings: Mapping[Cell, Tuning]

    @property
    def done(self) -> set[str]:
        """The keys of the trials that have records."""
        return {trial.key for trial in self.trials} - {trial.key for trial in self.todo}

    @property
    def n_distinct(self) -> int:
        """How many trials there are, one that is asked for in several ways once."""
        return len({trial.key for trial in self.trials})

    def by_cell(self) -> Iterator[tuple[Cell, list[Trial]]]:
        """The cells with their trials."""
        # Those of a cell follow each other and hold the very same; that is seen without comparing it.
        for _, group in groupby(self.trials, key=lambda trial: id(trial.cell)):
            trials = list(group)
            yield trials[0].cell, trials

    def asked(self) -> dict[bytes, list[str]]:
        """The keys of the trials by how they are asked for, as :meth:`initbench.trial.Asked.text` has it."""
        found: dict[bytes, list[str]] = {}
        for cell, trials in self.by_cell():
            found.setdefault(cell.asked().text(), []).extend(trial.key for trial in trials)
        return found


def plan(request: Request, done: Mapping[str, float]) -> Plan:
    """What a request asks for, and what of it is missing from the records.

    Args:
        request: what is asked for.
        done: the key of every trial that has a record, to its validation score, as
            :func:`initbench.records.columns.done` has it.

    Raises:
        InputError: a data set without a known content hash cannot be read.
    """
    # A file may change while it is planned or trained; a key and its trial are of one content.
    datasets = {dataset: pinned(dataset) for dataset in dict.fromkeys(cell.dataset for cell in request.cells)}
    keys: dict[Cell, Callable[[int], str]] = {}
    found: dict[Cell, tuple[Cell, dict[int, Trial]]] = {}
    tunings: dict[Cell, Tuning] = {}

    def keys_of(cell: Cell) -> Callable[[int], str]:
        if cell not in keys:
            keys[cell] = trial_keys(cell.identity(0, cell.dataset.content or ""))
        return keys[cell]

    def score(cell: Cell, seed: int) -> float | None:
        return done.get(keys_of(cell)(seed))

    for asked in request.cells:
        cell = replace(asked, dataset=datasets[asked.dataset])
        wanted: list[tuple[Cell, Sequence[int]]] = [(cell, request.seeds)]
        if search_of(cell.protocol):
            tunings[cell] = tune(cell, request.seeds, score)
            wanted = [(one, [seed]) for one, seed in tunings[cell].trials]
        for one, seeds in wanted:
            same, known = found.setdefault(one, (one, {}))
            key = keys_of(same)
            known |= {seed: Trial(same, seed, key(seed)) for seed in seeds if seed not in known}
    trials = tuple(trial for _, known in found.values() for trial in known.values())
    # Of one that is asked for in several ways the first says how it is trained.
    todo = {trial.key: trial for trial in reversed(trials) if trial.key not in done}
    _log.info("%d trials of %d cells, %d to do", len(trials), len(request.cells), len(todo))
    return Plan(trials, tuple(reversed(todo.values())), tunings)


# What a line of a plan tells of every cell.
_TOLD = (*START_GROUPS, "dataset", "model", "depth", "width", "activation", "optimizer", "lr", "protocol")

# What a line for people calls a setting.
_WHAT = {"lr": "learning rate"}


def budget(planned: Plan) -> list[str]:
    """What searches spend, in one line."""
    if not planned.tunings:
        return []
    cell = next(iter(planned.tunings))
    search = search_of(cell.protocol)
    assert search is not None
    name, searching = cell.protocol.name, sum(tuning.chosen is None for tuning in planned.tunings.values())
    if not searching:
        what = " and ".join(f"{_WHAT[path]}s" if path in _WHAT else path for path in search.paths)
        return [f"{name}: {what} chosen for {_counted(len(planned.tunings), 'cell')}; fresh seeds train with them"]
    tried = " x ".join(_values(path, len(values)) for path, values in search.grid)
    return [
        f"{name}: {tried} x {_counted(search.seeds, 'seed')} for each of "
        f"{_counted(len(planned.tunings), 'cell')}{_how(search, cell.epochs)}; {searching} still to be chosen"
    ]


def _how(search: Search, epochs: int) -> str:
    """By which way a search spends less, or may spend more, than its grid."""
    whole = search.n_points * epochs
    spent = sum(n * part for n, part in rounds(search.n_points, epochs, search.halving))
    if spent != whole:
        return f", by successive halving ({spent} epochs a seed, not {whole})"
    if not search.extended:
        return ""
    of = f" of {' and of '.join(search.extended)}" if len(search.grid) > 1 else ""
    return f", and up to {search.extend} more{of} where the best is the first or the last"


def _values(path: str, number: int) -> str:
    return _counted(number, _WHAT[path]) if path in _WHAT else f"{_counted(number, 'value')} of {path}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def lines_of(planned: Plan, why: Mapping[Cell, str]) -> list[str]:
    """The cells with their number of trials done, and of some why these are new, for people."""
    todo = {trial.key for trial in planned.todo}
    lines = list[str]()
    differing = _differing([cell for cell, _ in planned.by_cell()])
    for cell, trials in planned.by_cell():
        n_todo = sum(trial.key in todo for trial in trials)
        n_done = len(trials) - n_todo
        width = "x".join(map(str, dict.fromkeys(cell.width)))
        parts = [f"init={cell.init.name}"]
        parts += [f"init_first={cell.init_first.name}"] if cell.init_first else []
        parts += [f"init_output={cell.init_output.name}"] if cell.init_output else []
        parts += [f"bias={cell.bias.name}"] if cell.bias.name != "zeros" else []
        search = search_of(cell.protocol)
        own = [f"{path}={cell.value(path)}" for path in (search.paths if search else ()) if path != "lr"]
        asked = dict(cell.settings)
        told = {part.partition("=")[0] for part in own}
        own += [f"{key}={asked[key]}" for key in differing if key in asked and key not in told]
        own = [f"lr={cell.lr:g}", *own, *(["(search)"] if cell.stage == "search" else [])]
        lines.append(
            f"{cell.dataset.name} {cell.model.name} depth={cell.depth} width={width or '-'} {cell.activation.name} "
            f"{' '.join(parts)} {cell.optimizer.name} {' '.join(own)}: "
            f"{n_done} done, {n_todo} to do{f' ({why[cell]})' if cell in why else ''}"
        )
    return [*lines, *totals(planned)]


def _differing(cells: Sequence[Cell]) -> list[str]:
    """The settings that a line does not tell by itself, and that are not the same for all cells."""
    asked = [dict(cell.settings) for cell in cells]
    keys = dict.fromkeys(key for settings in asked for key in settings if key not in _TOLD)
    return [key for key in keys if len({settings.get(key) for settings in asked}) > 1]


def totals(planned: Plan) -> list[str]:
    """What searches spend, and how many cells and trials there are, done and to do, for people."""
    n_cells, n, n_todo = sum(1 for _ in planned.by_cell()), planned.n_distinct, len(planned.todo)
    return [*budget(planned), f"{n_cells} cells, {n} trials: {n - n_todo} done, {n_todo} to do"]
