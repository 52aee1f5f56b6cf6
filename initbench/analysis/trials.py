"""Trials as a table: columns of records, with their settings spelled out and their scores. Needs no torch."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis.scores import OUTCOMES, scores, target_of
from initbench.errors import InputError, folded, unknown
from initbench.initializers.names import canonical, in_any_case
from initbench.records.columns import Columns, Setting, first_rows, from_records, real
from initbench.records.columns import scores as score_of
from initbench.records.schema import SPLITS, Counts, Losses, TrialRecord
from initbench.records.schema import settings as settings_of
from initbench.tasks import TASKS, USUAL
from initbench.trial import START_GROUPS
from initbench.values import plain

Identity = dict[str, Any]

_NOT_SETTINGS = ("recipe", "precision")
_ORDER = ("dataset", "model", "activation", "depth", "width", "lr", "setting", "init", "init_params", "whole")


class Pattern(Protocol):
    """Names by pattern, as Hydra's ``glob()`` gives them."""

    def filter(self, names: list[str]) -> list[str]:
        """Those of the names that match."""
        ...


# What a filter wants: one of some values, or a name that matches.
Wanted = Sequence[Any] | Pattern


@dataclass(frozen=True)
class Trials:
    """Trials, sorted by cell and seed.

    Attributes:
        columns: what their records hold.
        cells: one row per cell, with its settings as text and numbers; ``columns.numbers["cell"]`` is its row.
        identities: per cell what a trial's identity says, without the seed, in today's form.
        target: the validation score that counts as trained, if the user named one; not of bits per character.
    """

    columns: Columns
    cells: pd.DataFrame
    identities: list[Identity]
    target: float | None = None

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, rows: NDArray[Any]) -> "Trials":
        """Some of the trials, by index or mask."""
        return replace(self, columns=self.columns.take(rows))

    def frame(self) -> pd.DataFrame:
        """One row per trial: its cell, seed, counts, accuracies (fractions) and scores, NaN where not finished.

        A task that is told by accuracy has that as its score; else an accuracy is what was counted, if anything was.
        """
        numbers = self.columns.numbers
        totals = ["train_total", "val_total", "test_total", "test_majority", "batch_size", "target"]
        totals += ["task", "chance", "train_constant", "val_constant"]
        frame = pd.DataFrame({name: numbers[name] for name in ("cell", "seed", "diverged_at")})
        cells = self.cells[totals].astype({"task": "category"})
        frame = frame.join(cells.iloc[numbers["cell"]].reset_index(drop=True))
        for split in SPLITS:
            correct = numbers[f"{split}_correct"].astype(float)
            frame[f"{split}_correct"] = np.where(correct < 0, np.nan, correct)
            frame[f"{split}_accuracy"] = frame[f"{split}_correct"] / frame[f"{split}_total"]
            frame[f"{split}_score"] = score_of(self.columns, split)
            frame[f"{split}_loss"] = numbers[f"{split}_loss"]
        frame["n_answers"] = np.where(numbers["n_answers"] < 0, np.nan, numbers["n_answers"])
        for what in ("samples", "steps", "seconds"):
            frame[f"init_{what}"] = numbers[f"init_{what}"]
        return frame.join(scores(self.columns, frame))

    def curve(self, row: int) -> NDArray[np.float32]:
        """One trial's numbers on the validation split, before training and after each epoch, as the columns have them.

        Counts, -1 where they were not measured, or losses, NaN likewise.
        """
        start = self.columns.ends[row - 1] if row else 0
        return self.columns.curve[start : self.columns.ends[row]]

    def score_curve(self, row: int) -> NDArray[np.float64]:
        """One trial's scores on the validation split, before training and after each epoch; NaN is not measured."""
        values, cell = self.curve(row).astype(float), int(self.columns.numbers["cell"][row])
        about, task = self.cells.iloc[cell], self.columns.cells[cell].task
        if task.of_loss is None:
            return np.where(values < 0, np.nan, values / float(about["val_total"] or np.nan))
        return np.asarray(task.of_loss(values, float(about["val_constant"])))


def trials_of(records: Iterable[TrialRecord], target: float | None = None) -> Trials:
    """The trials of records in memory."""
    return to_trials(from_records(records), target)


def to_trials(columns: Columns, target: float | None = None, once: bool = True) -> Trials:
    """Columns with their settings spelled out, sorted by cell and seed.

    Args:
        columns: what records hold.
        target: the validation score that counts as trained, if the user named one; not of bits per character.
        once: a trial that was asked for by other words, such as another path to one file, is no further one; False
            keeps all, where two sets of results hold the same trials.
    """
    identities = [identity_of(cell) for cell in columns.cells]
    totals = {
        json.dumps(identity["dataset"]): (cell.n_total, cell.n_majority or 0, cell.constant or Losses())
        for cell, identity in zip(columns.cells, identities, strict=True)
        if cell.n_total is not None
    }
    rows = [cell_of(cell, identity, totals, target) for cell, identity in zip(columns.cells, identities, strict=True)]
    cells = pd.DataFrame(rows)
    if len(columns):
        if once:
            words = cells["whole"] + [f" {cell.asked.label}" for cell in columns.cells]
            columns = columns.take(first_of(columns, pd.factorize(words)[0]))
        place = np.empty(len(cells), dtype=np.int64)
        place[cells.sort_values(list(_ORDER)).index] = np.arange(len(cells))
        order = np.lexsort((columns.numbers["seed"], place[columns.numbers["cell"]]))
        if (np.diff(order) < 0).any():
            columns = columns.take(order)
    return Trials(columns, cells, identities, target)


def first_of(columns: Columns, group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows to keep so that each trial is once in every group of cells.

    Args:
        columns: any trials.
        group: the number of the group of each cell, ``[cells]``.
    """
    if len(np.unique(group)) == len(group):
        return np.ones(len(columns), dtype=bool)
    _, trial = np.unique(columns.keys, return_inverse=True)
    which = trial * (int(group.max()) + 1) + group[columns.numbers["cell"]]
    return np.asarray(~pd.Series(which).duplicated())


def n_trained(columns: Columns) -> int:
    """How many trials there are, one that was asked for in several ways once."""
    return len(first_rows(columns.keys))


def finals(trials: Trials) -> Trials:
    """Without the trials of a learning-rate search, unless there are no others."""
    final = (trials.cells["stage"] == "final").to_numpy()[trials.columns.numbers["cell"]]
    return trials.take(final) if final.any() else trials


def identity_of(cell: Setting) -> Identity:
    """All settings of a cell; one width for all layers is that number, none is None."""
    identity = settings_of(cell.trial, cell.asked)
    width = identity["width"] or None
    identity["width"] = width[0] if width and len(set(width)) == 1 else width
    return identity


def cell_of(
    cell: Setting, identity: Identity, totals: Mapping[str, tuple[Counts, int, Losses]], target: float | None
) -> dict[str, Any]:
    """The row of a cell in the table of cells: its settings as text and numbers."""
    init, width = identity["init"], cell.trial["width"]
    dataset = identity["dataset"]["name"]
    # A failed trial may not know how large its data set is. Each seed has its own samples, and what suits them best.
    total, majority, constant = totals.get(json.dumps(identity["dataset"]), (Counts(), 0, Losses()))
    constant = cell.constant or constant
    task = cell.task
    if task.of_loss is None:
        chance = majority / total.test if total.test else 0.0
    else:
        chance = float(task.of_loss(real(constant.test), real(constant.test)))
    # What is less where it is better has no target that is a fraction.
    given = None if task.score.times < 0 else target
    return {
        "dataset": dataset,
        "model": named(identity["model"]),
        "depth": identity["depth"],
        "width": " ".join(map(str, width)),
        "activation": named(identity["activation"]),
        "init": init["name"],
        "init_law": init["law"],
        "init_params": params(init),
        "init_formula": cell.formula,
        "init_first": _layer_init(identity["init_first"]),
        "init_output": _layer_init(identity["init_output"]),
        "bias": named(identity["bias"]),
        "optimizer": named(identity["optimizer"]),
        "lr": identity["lr"],
        "schedule": identity["schedule"],
        "warmup": identity["warmup"],
        "epochs": identity["epochs"],
        "batch_size": identity["batch_size"],
        "protocol": _text(identity["protocol"]),
        "stage": identity["stage"],
        "train_total": total.train or 0,
        "val_total": total.val or 0,
        "test_total": total.test or 0,
        "test_majority": majority,
        "task": identity["dataset"].get("task", USUAL),
        "chance": chance,
        "train_constant": real(constant.train),
        "val_constant": real(constant.val),
        "target": target_of(dataset, chance, task) if given is None else given,
        "setting": json.dumps({key: value for key, value in identity.items() if key not in START_GROUPS}),
        "whole": json.dumps(identity),
    }


def params(node: Mapping[str, Any]) -> str:
    """The parameters of a named group, e.g. ``gain=1 mode=fan_in``."""
    return " ".join(f"{key}={plain(value)}" for key, value in sorted(node.items()) if key not in ("name", "law"))


def named(node: Mapping[str, Any]) -> str:
    """A name with its parameters, e.g. ``sgd momentum=0.9``; those that are off are left out."""
    return f"{node['name']} {params({key: value for key, value in node.items() if value})}".rstrip()


def _layer_init(node: Mapping[str, Any] | None) -> str:
    return "" if node is None else f"{node['name']} {params(node)}".rstrip()


def _text(value: Any) -> str:
    return named(value) if isinstance(value, Mapping) else plain(value)


def rows_of_table(trials: Trials) -> NDArray[np.bool_]:
    """Which trials :func:`to_table` has: what differs from another in its labels alone would be the same row again."""
    return first_of(trials.columns, pd.factorize(trials.cells["whole"])[0]) if len(trials) else np.ones(0, dtype=bool)


def to_table(trials: Trials) -> pd.DataFrame:
    """One row per trial: its settings, counts, scores and key; accuracies are fractions."""
    trials = trials.take(rows_of_table(trials))
    frame, columns = trials.frame(), trials.columns
    cell = frame["cell"].to_numpy()
    settings = trials.cells.drop(
        columns=[
            *("setting", "whole", "train_total", "val_total", "test_total", "test_majority", "target"),
            *("task", "chance", "train_constant", "val_constant"),
        ]
    )
    table = {name: _spread(settings[name], cell) for name in settings}
    table["seed"] = frame["seed"]
    table["outcome"] = pd.Categorical.from_codes(frame["outcome"], OUTCOMES)
    table["diverged_at"] = _whole(frame["diverged_at"].where(frame["diverged_at"] >= 0))
    for split in reversed(SPLITS):
        table[f"{split}_correct"] = _whole(frame[f"{split}_correct"])
        table |= {name: frame[name] for name in (f"{split}_total", f"{split}_accuracy", f"{split}_loss")}
    told = [cell.task.score for cell in columns.cells]
    if any(score != TASKS[USUAL].score for score in told):
        sign = np.array([math.copysign(1.0, score.times) for score in told])[cell]
        table["score"] = _spread(pd.Series([score.name for score in told]), cell)
        table |= {f"{split}_score": frame[f"{split}_score"] * sign for split in reversed(SPLITS)}
    table["test_majority"] = frame["test_majority"]
    table["n_answers"] = _whole(frame["n_answers"])
    table["best_val_epoch"] = _whole(frame["best_val_epoch"])
    table["auc"] = frame["auc"]
    table["target"] = frame["target"]
    table |= {name: _whole(frame[name]) for name in frame if str(name).startswith("epochs_to_")}
    steps = -(-frame["train_total"] // frame["batch_size"])
    table |= {
        name.replace("epochs", "steps"): _whole(frame[name] * steps) for name in frame if "epochs_to_" in str(name)
    }
    for what in ("samples", "steps", "seconds"):
        if frame[f"init_{what}"].notna().any():
            table[f"init_{what}"] = frame[f"init_{what}"]
    if (columns.numbers["error"] >= 0).any():
        table["error"] = np.array([*columns.errors, ""], dtype=object)[columns.numbers["error"]]
    devices = pd.Series([chunk.environment.device for chunk in columns.chunks])
    table["device"] = _spread(devices, columns.numbers["chunk"])
    table["key"] = np.char.decode(columns.keys) if len(columns) else []
    return pd.DataFrame(table)


def _spread(values: pd.Series, rows: NDArray[Any]) -> Any:
    """A value per trial from a value per cell; texts as a categorical, which costs a number each."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy()[rows]
    codes, names = pd.factorize(values)
    return pd.Categorical.from_codes(codes[rows], names)


def _whole(values: pd.Series) -> pd.Series:
    return values.astype("Int64")


def select(trials: Trials, filters: Mapping[str, Wanted]) -> Trials:
    """The trials that have, for every filter, one of the wanted values.

    Args:
        trials: any trials.
        filters: setting (``init``, ``depth``, ``init.std``, ``seeds`` …) to wanted values.

    Raises:
        InputError: a setting no trial has, or a selection that leaves nothing; the message says what is there.
    """
    numbers = trials.columns.numbers
    return trials.take(selected(trials.identities, numbers["cell"], numbers["seed"], filters)) if filters else trials


def selected(
    identities: Sequence[Identity], cell: NDArray[Any], seed: NDArray[Any], filters: Mapping[str, Wanted]
) -> NDArray[np.int64]:
    """Which of some rows have, for every filter, one of the wanted values: their numbers, in order.

    Args:
        identities: of the cells.
        cell: ``[rows]``, the number of the cell of each row.
        seed: ``[rows]``.
        filters: as :func:`select` has them.

    Raises:
        InputError: as :func:`select`.
    """
    rows = np.arange(len(cell))
    for key, wanted in filters.items():
        if key in ("seed", "seeds"):
            codes, there = pd.factorize(seed[rows])
            values = [int(value) for value in there]
        else:
            codes = cell[rows]
            values = [_filtered(identity, key) for identity in identities]
        present = {json.dumps(values[code]): values[code] for code in np.unique(codes) if values[code] is not None}
        if not present:
            raise unknown("setting", key, {name for identity in identities for name in settings(identity)})
        found = wanted if isinstance(wanted, Sequence) else wanted.filter([str(value) for value in present.values()])
        found = [_as_there(item, present.values()) for item in found]
        matching = np.array([_matches(value, found) for value in values])
        rows = rows[matching[codes]]
        if not len(rows):
            shown = ", ".join(sorted((str(value) for value in present.values()), key=natural))
            asked = ",".join(map(str, found)) or "that pattern"
            raise InputError(f"no records with {key}={asked}; there are records with {key}: {shown}")
    return rows


def value_of(identity: Mapping[str, Any], key: str) -> Any:
    """A setting by its command-line name; a group's value is its name."""
    node = node_of(identity, key)
    return node.get("name") if isinstance(node, Mapping) else node


def node_of(identity: Mapping[str, Any], key: str) -> Any:
    """A setting by its command-line name: a group with its name, or one value; None where it has none."""
    group, dot, inner = key.partition(".")
    node = identity.get(group)
    # What a protocol searches, and what was chosen, goes by the whole name of a setting.
    return (node.get(inner) if isinstance(node, Mapping) else None) if dot else node


def settings(identity: Mapping[str, Any]) -> set[str]:
    """The names that a filter or a comparison can use."""
    names = {key for key, value in identity.items() if key not in _NOT_SETTINGS and value is not None} - {"chosen"}
    inner = {f"{group}.{key}" for group, node in identity.items() if isinstance(node, Mapping) for key in node}
    return names | inner | {"seeds"}


def searched(identity: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings that a protocol searched, so that every technique has values of its own."""
    protocol = identity.get("protocol")
    keys = protocol if isinstance(protocol, Mapping) else ()
    return tuple(key.removeprefix("search.") for key in keys if key.startswith("search."))


def _filtered(identity: Identity, key: str) -> Any:
    """A setting as a filter names it: one that is there and off is ``none``."""
    value = value_of(identity, key)
    known = (key in identity and key != "chosen") or key in settings(identity)
    return "none" if value is None and known else value


def _as_there(item: Any, there: Iterable[Any]) -> Any:
    """A name that is not there as it is written, in the case in which it is, or what it is an alias of."""
    names = [value for value in there if isinstance(value, str)]
    if not isinstance(item, str) or item in names:
        return item
    wanted = folded(canonical(in_any_case(item)))
    return next((name for name in names if folded(name) == wanted), item)


def _matches(value: Any, wanted: Sequence[Any]) -> bool:
    return any(value == item or str(value) == ("none" if item is None else str(item)) for item in wanted)


def natural(text: str) -> tuple[float, str]:
    """Sorts numbers by value, before names."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
