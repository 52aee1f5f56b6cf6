"""Records as columns of numbers: what a report keeps of them, a hundredth of their size, streamed file by file.

Reading a million records takes their JSON apart once; the columns are then kept in the user's cache folder and read
back as long as no file has changed. The cache can be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import uuid
import zipfile
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from initbench.cache import cache_folder
from initbench.records import store
from initbench.records.store import Record

SPLITS = ("train", "val", "test")
# What records tell; "slow" and "stuck" are found by the report.
RECORDED = ("ok", "diverged", "failed")

# Type codes of `array.array`. A count of -1 and a loss of NaN stand for null.
_FIELDS = {
    **{"cell": "i", "chunk": "i", "seed": "Q", "outcome": "b", "error": "i", "diverged_at": "q"},
    **{f"{split}_correct": "q" for split in SPLITS},
    **{f"{split}_loss": "d" for split in SPLITS},
    **{f"init_{what}": "d" for what in ("samples", "steps", "seconds")},
}
_ARRAYS = ("keys", "final", "curve", "ends")
_VERSION = 1
# Below this a cache is no faster than the files.
_WORTH_CACHING = 2_000


@dataclass(frozen=True)
class Columns:
    """Trials as columns, in the order they were read; ``n`` of them.

    Attributes:
        numbers: field to ``[n]``: the index of its cell, chunk and error (-1: none), seed, outcome (index into
            ``RECORDED``), steps until divergence, counts, losses, and what its initializer cost.
        keys: ``[n]`` trial keys, as bytes. ``final`` ``[n]`` hashes of the final weights, as bytes.
        curve: all validation counts (before training and after each epoch), one trial after the other.
        ends: ``[n]`` where in ``curve`` each trial's counts end.
        cells: per distinct setting: the trial's identity without its seed, formula, sample counts.
        chunks: per file: when it was finished and the environment.
        errors: the distinct lines that failed trials left.
    """

    numbers: dict[str, NDArray[Any]]
    keys: NDArray[np.bytes_]
    final: NDArray[np.bytes_]
    curve: NDArray[np.int32]
    ends: NDArray[np.int64]
    cells: list[dict[str, Any]]
    chunks: list[dict[str, Any]]
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

    def of(self, keys: Sequence[str]) -> "Columns":
        """The trials of these keys that are here."""
        return self.take(np.isin(self.keys, np.array(keys, dtype=np.bytes_)))


def done(columns: Columns) -> dict[str, float]:
    """The key of every trial, to its validation accuracy; 0 where it did not finish."""
    totals = np.array([(cell["n_total"] or {}).get("val", 0) for cell in columns.cells] or [0])
    correct = columns.numbers["val_correct"]
    finished = columns.numbers["outcome"] == RECORDED.index("ok")
    accuracy = np.where(finished, correct / np.maximum(totals[columns.numbers["cell"]], 1), 0.0)
    return dict(zip(np.char.decode(columns.keys).tolist(), accuracy.tolist(), strict=True)) if len(columns) else {}


def from_records(kept: Iterable[Record]) -> Columns:
    """The columns of records in memory, each with its file's ``header``."""
    builder = _Builder()
    for _, chunk in groupby(kept, key=lambda record: id(record["header"])):
        same = list(chunk)
        builder.add(same[0]["header"], same)
    return first_of_each(builder.columns())


def load(folders: Sequence[Path], cached: bool = True) -> tuple[Columns, list[str]]:
    """The columns of all records below some folders, each trial once, and a line for every damaged file.

    Args:
        folders: results folders, experiment folders or ``records`` folders.
        cached: read the cache where it holds; else build it anew.

    Raises:
        StorageError: a folder cannot be read, or a file is of a newer format.
    """
    paths = store.files(folders)
    stamps = [_stamp(path) for path in paths]
    cache = _cache_file(folders)
    known, old = _read_cache(cache) if cached else ({}, None)
    builder, damaged, fresh = _Builder(), [], []
    for path, stamp in zip(paths, stamps, strict=True):
        if stamp in known:
            continue
        try:
            builder.add(*store.read(path))
            fresh.append(stamp)
        except store.Damaged as error:
            damaged.append(str(error))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            damaged.append(str(store.Damaged(path, "a record is not what initbench writes")))
    columns = builder.columns()
    if old is not None and known:
        wanted = np.isin(np.arange(len(known)), [known[stamp] for stamp in stamps if stamp in known])
        kept = [stamp for stamp in known if wanted[known[stamp]]]
        if not wanted.all():
            old = _drop_chunks(old, wanted)
        fresh = kept + fresh
        columns = old if not len(columns) else concatenate([old, columns])
    if len(columns) >= _WORTH_CACHING and len(fresh) != len(known):
        _write_cache(cache, fresh, columns)
    return first_of_each(columns), damaged


def first_of_each(columns: Columns) -> Columns:
    """Of several records of a trial the one finished first, then the one read first."""
    if not pd.Series(columns.keys).duplicated().any():
        return columns
    _, which = np.unique(columns.keys, return_inverse=True)
    finished = np.array([chunk["finished"] for chunk in columns.chunks])[columns.numbers["chunk"]]
    order = np.lexsort((np.arange(len(columns)), finished, which))
    winners = order[np.concatenate([[True], np.diff(which[order]) > 0])]
    return columns.take(np.sort(winners))


class _Builder:
    """Takes records file by file, as compact arrays."""

    def __init__(self) -> None:
        self.fields: dict[str, array[Any]] = {name: array(code) for name, code in _FIELDS.items()}
        self.keys: list[bytes] = []
        self.final: list[bytes] = []
        self.curve, self.ends = array("i"), array("q")
        self.cells: dict[bytes, int] = {}
        self.chunks: list[dict[str, Any]] = []
        self.errors: dict[str, int] = {}

    def add(self, header: Mapping[str, Any], kept: Iterable[Record]) -> None:
        """The records of one file, all or, where one of them is not as it must be, none."""
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

    def _add(self, header: Mapping[str, Any], kept: Iterable[Record]) -> None:
        # The number of a file is its place among the chunks.
        self.chunks.append({"finished": header.get("finished", ""), "environment": header.get("environment", {})})
        append = {name: values.append for name, values in self.fields.items()}
        for record in kept:
            trial = dict(record["trial"])
            append["seed"](trial.pop("seed"))
            shared = [trial, record.get("formula", ""), record["n_total"], record.get("n_majority")]
            append["cell"](self.cells.setdefault(orjson.dumps(shared), len(self.cells)))
            append["chunk"](len(self.chunks) - 1)
            append["outcome"](RECORDED.index(record["outcome"]))
            error = record.get("error")
            append["error"](-1 if error is None else self.errors.setdefault(error, len(self.errors)))
            append["diverged_at"](_count(record.get("diverged_at")))
            correct, loss = record.get("n_correct") or {}, record.get("loss") or {}
            for split in SPLITS:
                append[f"{split}_correct"](_count(correct.get(split)))
                append[f"{split}_loss"](_real(loss.get(split)))
            cost = record.get("init_cost") or {}
            for what in ("samples", "steps", "seconds"):
                append[f"init_{what}"](_real(cost.get(what)))
            self.keys.append(record["key"].encode())
            self.final.append(((record.get("weights") or {}).get("final") or "").encode())
            curve = (record.get("history") or {}).get("val_correct") or []
            self.curve.extend([-1 if n is None else n for n in curve] if None in curve else curve)
            self.ends.append(len(self.curve))

    def columns(self) -> Columns:
        cells = []
        for text in self.cells:
            trial, formula, n_total, n_majority = orjson.loads(text)
            cells.append({"trial": trial, "formula": formula, "n_total": n_total, "n_majority": n_majority})
        return Columns(
            numbers={name: np.array(values) for name, values in self.fields.items()},
            keys=np.array(self.keys, dtype=np.bytes_),
            final=np.array(self.final, dtype=np.bytes_),
            curve=np.array(self.curve, dtype=np.int32),
            ends=np.array(self.ends, dtype=np.int64),
            cells=cells,
            chunks=self.chunks,
            errors=list(self.errors),
        )


def _count(value: int | None) -> int:
    return -1 if value is None else value


def _real(value: float | None) -> float:
    return float("nan") if value is None else value


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Several as one, a trial in two of them twice; chunks of later ones come after those of earlier ones."""
    cells: dict[str, int] = {}
    chunks: list[dict[str, Any]] = []
    errors: dict[str, int] = {}
    numbers: dict[str, list[NDArray[Any]]] = {name: [] for name in _FIELDS}
    ends, total = [], 0
    for part in parts:
        codes = np.array([cells.setdefault(json.dumps(cell), len(cells)) for cell in part.cells], dtype=np.int32)
        faults = np.array([*(errors.setdefault(error, len(errors)) for error in part.errors), -1], dtype=np.int32)
        for name, values in part.numbers.items():
            shifted = {"cell": codes, "error": faults}.get(name)
            shifted = values + len(chunks) if name == "chunk" else values if shifted is None else shifted[values]
            numbers[name].append(shifted)
        chunks += part.chunks
        ends.append(part.ends + total)
        total += len(part.curve)
    return Columns(
        numbers={name: np.concatenate(values) for name, values in numbers.items()},
        keys=np.concatenate([part.keys for part in parts]),
        final=np.concatenate([part.final for part in parts]),
        curve=np.concatenate([part.curve for part in parts]),
        ends=np.concatenate(ends),
        cells=[json.loads(cell) for cell in cells],
        chunks=chunks,
        errors=list(errors),
    )


def _drop_chunks(columns: Columns, wanted: NDArray[np.bool_]) -> Columns:
    """Without the trials of files that are gone or have changed."""
    number = np.cumsum(wanted) - 1
    kept = columns.take(wanted[columns.numbers["chunk"]])
    kept.numbers["chunk"] = number[kept.numbers["chunk"]].astype(np.int32)
    chunks = [chunk for chunk, keep in zip(columns.chunks, wanted, strict=True) if keep]
    return Columns(kept.numbers, kept.keys, kept.final, kept.curve, kept.ends, columns.cells, chunks, columns.errors)


def _stamp(path: Path) -> str:
    """What changes with the content of a file: its name, size and time of change."""
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def _cache_file(folders: Sequence[Path]) -> Path:
    names = "\n".join(sorted(str(folder.resolve()) for folder in folders))
    return cache_folder() / "reports" / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.npz"


def _read_cache(path: Path) -> tuple[dict[str, int], Columns | None]:
    """The stamps of the files in a cache, each with its number, and their columns; nothing if it is not usable."""
    try:
        # Opened here: of a file that it cannot read, numpy would leave the closing to chance.
        with open(path, "rb") as file, np.load(file) as stored:
            about = orjson.loads(stored["about"].tobytes())
            if about["version"] != _VERSION:
                return {}, None
            columns = Columns(
                {name: stored[name] for name in _FIELDS},
                *(stored[name] for name in _ARRAYS),
                *(about[name] for name in ("cells", "chunks", "errors")),
            )
            return {stamp: number for number, stamp in enumerate(about["files"])}, columns
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return {}, None


def _write_cache(path: Path, stamps: Sequence[str], columns: Columns) -> None:
    """Write it whole or not at all; a report does not need it."""
    about = {"version": _VERSION, "files": stamps}
    about |= {"cells": columns.cells, "chunks": columns.chunks, "errors": columns.errors}
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                arrays: dict[str, Any] = {name: getattr(columns, name) for name in _ARRAYS} | columns.numbers
                np.savez(file, about=np.frombuffer(orjson.dumps(about), dtype=np.uint8), **arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
