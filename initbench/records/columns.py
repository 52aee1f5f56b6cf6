"""Records as columns of numbers: what a report keeps of them, a hundredth of their size, streamed file by file."""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.records.schema import (
    FORMAT,
    OUTCOMES,
    SPLITS,
    Counts,
    Environment,
    Header,
    Labels,
    Losses,
    TrialRecord,
)
from initbench.tasks import Task, task_of
from initbench.trial import Asked

# Type codes of `array.array`. A count of -1 and a loss of NaN stand for null.
FIELDS = {
    **{"cell": "i", "chunk": "i", "seed": "Q", "outcome": "b", "error": "i", "diverged_at": "q"},
    **{f"{split}_correct": "q" for split in SPLITS},
    "n_answers": "q",
    **{f"{split}_loss": "d" for split in SPLITS},
    **{f"init_{what}": "d" for what in ("samples", "steps", "seconds")},
}


class Setting(msgspec.Struct, frozen=True):
    """What all trials of one setting share: their identity without the seed, how they were asked for, their samples."""

    trial: dict[str, Any]
    asked: Asked
    formula: str
    n_total: Counts | None
    n_majority: int | None
    constant: Losses | None = None

    @property
    def task(self) -> Task:
        """What they learn."""
        return task_of(self.trial["dataset"])


class Chunk(msgspec.Struct, frozen=True):
    """What all trials of one file share: when it was finished, and where it was made."""

    finished: str
    environment: Environment


@dataclass(frozen=True)
class Columns:
    """Trials as columns, in the order they were read; ``n`` of them.

    A trial that was asked for in several ways is there once for each.

    Attributes:
        numbers: field to ``[n]``: the index of its cell, chunk and error (-1: none), seed, outcome (index into
            ``OUTCOMES``), steps until divergence, counts, losses, and what its initializer cost.
        keys: ``[n]`` trial keys, as bytes. ``final`` ``[n]`` hashes of the final weights, as bytes.
        curve: all validation counts (before training and after each epoch), one trial after the other; of tasks that
            are not told by what is correct the losses, NaN for null.
        ends: ``[n]`` where in ``curve`` each trial's numbers end.
        cells: the distinct settings.
        chunks: the files.
        errors: the distinct lines that failed trials left.
    """

    numbers: dict[str, NDArray[Any]]
    keys: NDArray[np.bytes_]
    final: NDArray[np.bytes_]
    curve: NDArray[np.float32]
    ends: NDArray[np.int64]
    cells: list[Setting]
    chunks: list[Chunk]
    errors: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[Any]) -> "Columns":
        """Some of the trials, by index or mask."""
        rows = np.arange(len(self))[rows]
        sizes = np.diff(self.ends, prepend=0)
        if len(self) and (sizes == sizes[0]).all():
            curve = self.curve.reshape(len(self), sizes[0])[rows].ravel()
            ends = np.arange(1, len(rows) + 1) * sizes[0]
        else:
            starts, sizes = (self.ends - sizes)[rows], sizes[rows]
            ends = np.cumsum(sizes)
            curve = self.curve[np.repeat(starts - (ends - sizes), sizes) + np.arange(int(sizes.sum()))]
        numbers = {name: values[rows] for name, values in self.numbers.items()}
        return Columns(numbers, self.keys[rows], self.final[rows], curve, ends, self.cells, self.chunks, self.errors)

    def of(self, wanted: Mapping[bytes, Collection[str]]) -> "Columns":
        """Of some trials those that are here.

        Args:
            wanted: their keys by how they are asked for (:meth:`Asked.text`).
        """
        sets = [frozenset(wanted.get(cell.asked.text(), ())) for cell in self.cells]
        pairs = zip(self.key_texts(), self.numbers["cell"].tolist(), strict=True)
        return self.take(np.fromiter((key in sets[cell] for key, cell in pairs), dtype=bool, count=len(self)))

    def lacking(self, wanted: Mapping[bytes, Collection[str]]) -> dict[bytes, list[str]]:
        """Of some trials, as :meth:`of` takes them, those that are not here."""
        texts = [cell.asked.text() for cell in self.cells]
        there: dict[bytes, set[str]] = {text: set() for text in [*texts, *wanted]}
        for key, cell in zip(self.key_texts(), self.numbers["cell"].tolist(), strict=True):
            there[texts[cell]].add(key)
        rest = {text: [key for key in keys if key not in there[text]] for text, keys in wanted.items()}
        return {text: keys for text, keys in rest.items() if keys}

    def key_texts(self) -> list[str]:
        """The keys as texts, ``[n]``."""
        return list(map(bytes.decode, self.keys.tolist()))


def done(columns: Columns) -> dict[str, float]:
    """The key of every trial, to its validation score; the worst there is where it did not finish, 0 of an accuracy."""
    cell, finished = columns.numbers["cell"], columns.numbers["outcome"] == OUTCOMES.index("ok")
    worst = np.array([0.0 if one.task.of_loss is None else -np.inf for one in columns.cells] or [0.0])[cell]
    found = np.where(finished, scores(columns, "val"), np.nan)
    return dict(zip(columns.key_texts(), np.where(np.isnan(found), worst, found).tolist(), strict=True))


def scores(columns: Columns, split: str) -> NDArray[np.float64]:
    """The score of every trial on a split with its final weights, ``[n]``; NaN where it has none.

    What it is, the task says: the share of correct predictions, or what follows from the loss.
    """
    cell = columns.numbers["cell"]
    totals = np.array([getattr(one.n_total, split, None) or 0 for one in columns.cells] or [0])
    correct = columns.numbers[f"{split}_correct"]
    found = np.where(correct < 0, np.nan, correct / np.maximum(totals[cell], 1))
    for task, of in {id(one.task): one.task for one in columns.cells}.items():
        if of.of_loss is not None:
            own = np.array([id(one.task) == task for one in columns.cells])[cell]
            constant = np.array([real(getattr(one.constant, split, None)) for one in columns.cells])[cell[own]]
            found[own] = of.of_loss(columns.numbers[f"{split}_loss"][own], constant)
    return found


def failed(columns: Columns) -> set[str]:
    """The keys of the trials that could not be trained."""
    rows = columns.numbers["outcome"] == OUTCOMES.index("failed")
    return {key for key, row in zip(columns.key_texts(), rows.tolist(), strict=True) if row}


def from_records(kept: Iterable[TrialRecord], header: Header | None = None) -> Columns:
    """The columns of records in memory, as if of one file."""
    builder = Builder()
    builder.add(header or Header(format=FORMAT), list(kept))
    return first_of_each(builder.columns())


def first_of_each(columns: Columns) -> Columns:
    """Of several records of a trial that was asked for in one way the one finished first, then the one read first.

    That a trial could not be trained counts for nothing once there is a result of it, however that was asked for. One
    that does not say by which settings it was asked for stands back behind one of the same names that does.
    """
    if not repeated(columns.keys).any():
        return columns
    _, trial = np.unique(columns.keys, return_inverse=True)
    failures = columns.numbers["outcome"] == OUTCOMES.index("failed")
    superseded = failures & np.isin(trial, trial[~failures])
    if superseded.any():
        return first_of_each(columns.take(~superseded))
    silent = np.array([not cell.asked.settings for cell in columns.cells])
    if silent.any() and not silent.all():
        named = _codes(msgspec.structs.replace(cell.asked, settings={}).text() for cell in columns.cells)
        alike = trial * len(named) + named[columns.numbers["cell"]]
        silently = silent[columns.numbers["cell"]]
        kept = ~(silently & np.isin(alike, alike[~silently]))
        if not kept.all():
            return first_of_each(columns.take(kept))
    asked = _codes(cell.asked.text() for cell in columns.cells)
    which = trial * len(asked) + asked[columns.numbers["cell"]]
    finished = np.array([chunk.finished for chunk in columns.chunks])[columns.numbers["chunk"]]
    order = np.lexsort((np.arange(len(columns)), finished, which))
    winners = order[np.concatenate([[True], np.diff(which[order]) > 0])]
    return columns if len(winners) == len(columns) else columns.take(np.sort(winners))


def repeated(keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Which of some keys are there more than once."""
    # Of a million texts each compared as a number, which takes a tenth of the time; equal numbers are looked at.
    n_words = -(-keys.itemsize // 8)
    words = keys.astype(f"S{8 * n_words}").view(np.uint64).reshape(len(keys), n_words)
    odd = 2 * np.arange(n_words, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    found: NDArray[np.bool_] = pd.Series((words * odd).sum(axis=1)).duplicated(keep=False).to_numpy(copy=True)
    found[found] = pd.Series(keys[found]).duplicated(keep=False).to_numpy(copy=True)
    return found


def first_rows(keys: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Where each of some keys is for the first time, in their order."""
    later = repeated(keys)
    later[later] = pd.Series(keys[later]).duplicated().to_numpy()
    return np.flatnonzero(~later)


def _codes(texts: Iterable[bytes]) -> NDArray[np.int64]:
    """A number for each text, the same for equal ones."""
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.int64)


def with_labels(columns: Columns, labels: Sequence[Labels]) -> Columns:
    """With the trials that were asked for in further ways once more for each of these."""
    if not labels or not len(columns):
        return columns
    order = np.argsort(columns.keys, kind="stable")
    cells, known = list(columns.cells), dict[tuple[int, bytes], int]()
    rows, codes = [], []
    for label in labels:
        keys, text = np.array(label.keys, dtype=np.bytes_), label.asked.text()
        place = np.searchsorted(columns.keys[order], keys)
        found = order[np.minimum(place, len(order) - 1)]
        found = found[columns.keys[found] == keys]
        for old in columns.numbers["cell"][found].tolist():
            if (old, text) not in known:
                known[old, text] = len(cells)
                cells.append(msgspec.structs.replace(columns.cells[old], asked=label.asked))
            codes.append(known[old, text])
        rows.append(found)
    more = columns.take(np.concatenate(rows))
    more.numbers["cell"] = np.array(codes, dtype=np.int32)
    return _joined([columns, more], cells, columns.chunks, columns.errors)


class Builder:
    """Takes records file by file, as compact arrays."""

    def __init__(self) -> None:
        self.fields: dict[str, array[Any]] = {name: array(code) for name, code in FIELDS.items()}
        self.keys: list[bytes] = []
        self.final: list[bytes] = []
        self.curve, self.ends = array("f"), array("q")
        self.cells: dict[bytes, int] = {}
        self.chunks: list[Chunk] = []
        self.errors: dict[str, int] = {}

    def add(self, header: Header, kept: Iterable[TrialRecord]) -> None:
        """The records of one file, all or, where one of them does not fit, none.

        Raises:
            OverflowError: a number is larger than any that initbench writes.
        """
        holders: list[list[Any] | array[Any]] = [self.keys, self.final, self.chunks, self.curve, self.ends]
        holders += self.fields.values()
        tables: list[dict[Any, int]] = [self.cells, self.errors]
        lengths, sizes = [len(holder) for holder in holders], [len(table) for table in tables]
        try:
            self._add(header, kept)
        except Exception:
            for holder, length in zip(holders, lengths, strict=True):
                del holder[length:]
            for table, size in zip(tables, sizes, strict=True):
                while len(table) > size:
                    table.popitem()
            raise

    def _add(self, header: Header, kept: Iterable[TrialRecord]) -> None:
        # The number of a file is its place among the chunks.
        self.chunks.append(Chunk(header.finished, header.environment))
        append = {name: values.append for name, values in self.fields.items()}
        for record in kept:
            trial = dict(record.trial)
            append["seed"](trial.pop("seed"))
            shared = Setting(trial, record.asked, record.formula, record.n_total, record.n_majority, record.constant)
            append["cell"](self.cells.setdefault(msgspec.json.encode(shared), len(self.cells)))
            append["chunk"](len(self.chunks) - 1)
            append["outcome"](OUTCOMES.index(record.outcome))
            error = record.error
            append["error"](-1 if error is None else self.errors.setdefault(error, len(self.errors)))
            append["diverged_at"](_count(record.diverged_at))
            append["n_answers"](_count(record.n_answers))
            for split in SPLITS:
                append[f"{split}_correct"](_count(getattr(record.n_correct, split, None)))
                append[f"{split}_loss"](real(getattr(record.loss, split, None)))
            for what in ("samples", "steps", "seconds"):
                append[f"init_{what}"](real(getattr(record.init_cost, what, None)))
            self.keys.append(record.key.encode())
            self.final.append((record.weights.final or "").encode())
            if shared.task.of_loss is None:
                self.curve.extend(map(_count, record.history.val_correct))
            else:
                self.curve.extend(map(real, record.history.val_loss))
            self.ends.append(len(self.curve))

    def columns(self) -> Columns:
        """What was added."""
        return Columns(
            numbers={name: np.array(values) for name, values in self.fields.items()},
            keys=np.array(self.keys, dtype=np.bytes_),
            final=np.array(self.final, dtype=np.bytes_),
            curve=np.array(self.curve, dtype=np.float32),
            ends=np.array(self.ends, dtype=np.int64),
            cells=[msgspec.json.decode(text, type=Setting) for text in self.cells],
            chunks=self.chunks,
            errors=list(self.errors),
        )


def _count(value: int | None) -> int:
    return -1 if value is None else value


def real(value: float | None) -> float:
    """A number as an array has it, NaN for none."""
    return float("nan") if value is None else value


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Several as one, a trial in two of them twice; chunks of later ones come after those of earlier ones."""
    cells: dict[bytes, int] = {}
    chunks: list[Chunk] = []
    errors: dict[str, int] = {}
    moved = []
    for part in parts:
        codes = [cells.setdefault(msgspec.json.encode(cell), len(cells)) for cell in part.cells]
        faults = [*(errors.setdefault(error, len(errors)) for error in part.errors), -1]
        numbers = part.numbers | {
            "cell": np.array(codes, dtype=np.int32)[part.numbers["cell"]],
            "error": np.array(faults, dtype=np.int32)[part.numbers["error"]],
            "chunk": part.numbers["chunk"] + len(chunks),
        }
        moved.append(Columns(numbers, part.keys, part.final, part.curve, part.ends, [], [], []))
        chunks += part.chunks
    return _joined(moved, [msgspec.json.decode(cell, type=Setting) for cell in cells], chunks, list(errors))


def _joined(parts: Sequence[Columns], cells: list[Setting], chunks: list[Chunk], errors: list[str]) -> Columns:
    """Columns below each other whose numbers mean the same tables."""
    lengths = np.cumsum([0, *(len(part.curve) for part in parts)])
    return Columns(
        numbers={name: np.concatenate([part.numbers[name] for part in parts]) for name in FIELDS},
        keys=np.concatenate([part.keys for part in parts]),
        final=np.concatenate([part.final for part in parts]),
        curve=np.concatenate([part.curve for part in parts]),
        ends=np.concatenate([part.ends + start for part, start in zip(parts, lengths, strict=False)]),
        cells=cells,
        chunks=chunks,
        errors=errors,
    )


def without_chunks(columns: Columns, wanted: NDArray[np.bool_]) -> Columns:
    """Only the trials of the ``wanted`` files, ``[chunks]``."""
    number = np.cumsum(wanted) - 1
    kept = columns.take(wanted[columns.numbers["chunk"]])
    kept.numbers["chunk"] = number[kept.numbers["chunk"]].astype(np.int32)
    chunks = [chunk for chunk, keep in zip(columns.chunks, wanted, strict=True) if keep]
    return Columns(kept.numbers, kept.keys, kept.final, kept.curve, kept.ends, columns.cells, chunks, columns.errors)
