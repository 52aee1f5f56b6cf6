"""From a request to a plan: which trials are asked for, and which of them no record has yet. Needs no torch."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from initbench.data import pinned
from initbench.search import Search, Tuning, rounds, search_of, tune
from initbench.settings.request import Request
from initbench.trial import Cell, trial_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One network to train: its cell, its seed, its identity and key."""

    cell: Cell
    seed: int
    identity: dict[str, Any]
    key: str


def trial_of(cell: Cell, seed: int) -> Trial:
    """The trial of a cell whose data set is pinned."""
    identity = cell.identity(seed, cell.dataset.content or "")
    return Trial(cell, seed, identity, trial_key(identity))


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
    def n_distinct(self) -> int:
        """How many trials there are, one that is asked for in several ways once."""
        return len({trial.key for trial in self.trials})

    def asked(self) -> dict[tuple[str, bytes], Trial]:
        """Every trial by its key and how it is asked for, as :meth:`initbench.records.columns.Columns.pairs` has it."""
        texts = {cell: cell.asked().text() for cell in dict.fromkeys(trial.cell for trial in self.trials)}
        return {(trial.key, texts[trial.cell]): trial for trial in self.trials}


def plan(request: Request, done: Mapping[str, float]) -> Plan:
    """What a request asks for, and what of it is missing from the records.

    Args:
        request: what is asked for.
        done: the key of every trial that has a record, to its validation accuracy; 0 where it did not finish.

    Raises:
        InputError: a data set without a known content hash cannot be read.
    """
    # A file may change while it is planned or trained; a key and its trial are of one content.
    datasets = {dataset: pinned(dataset) for dataset in dict.fromkeys(cell.dataset for cell in request.cells)}
    trials: dict[tuple[Cell, int], Trial] = {}
    tunings: dict[Cell, Tuning] = {}

    def score(cell: Cell, seed: int) -> float | None:
        return done.get(trial_of(cell, seed).key)

    for asked in request.cells:
        cell = replace(asked, dataset=datasets[asked.dataset])
        wanted = [(cell, seed) for seed in request.seeds]
        if search_of(cell.protocol):
            tunings[cell] = tune(cell, request.seeds, score)
            wanted = list(tunings[cell].trials)
        for one in wanted:
            trials[one] = trials.get(one) or trial_of(*one)
    todo = {trial.key: trial for trial in reversed(trials.values()) if trial.key not in done}
    _log.info("%d trials of %d cells, %d to do", len(trials), len(request.cells), len(todo))
    return Plan(tuple(trials.values()), tuple(reversed(todo.values())), tunings)


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


def lines_of(planned: Plan) -> list[str]:
    """The cells with their number of trials done, for people."""
    todo = {trial.key for trial in planned.todo}
    counts: dict[Cell, list[int]] = {}
    lines = []
    for trial in planned.trials:
        count = counts.setdefault(trial.cell, [0, 0])
        count[trial.key not in todo] += 1
    for cell, (n_todo, n_done) in counts.items():
        width = "x".join(map(str, dict.fromkeys(cell.width)))
        parts = [f"init={cell.init.name}"]
        parts += [f"init_first={cell.init_first.name}"] if cell.init_first else []
        parts += [f"init_output={cell.init_output.name}"] if cell.init_output else []
        parts += [f"bias={cell.bias.name}"] if cell.bias.name != "zeros" else []
        search = search_of(cell.protocol)
        own = [f"{path}={cell.value(path)}" for path in (search.paths if search else ()) if path != "lr"]
        own = [f"lr={cell.lr:g}", *own, *(["(search)"] if cell.stage == "search" else [])]
        lines.append(
            f"{cell.dataset.name} {cell.model.name} depth={cell.depth} width={width or '-'} {cell.activation.name} "
            f"{' '.join(parts)} {cell.optimizer.name} {' '.join(own)}: "
            f"{n_done} done, {n_todo} to do"
        )
    n = planned.n_distinct
    total = f"{len(counts)} cells, {n} trials: {n - len(todo)} done, {len(todo)} to do"
    return [*lines, *budget(planned), total]
