"""The index of the records: their columns, each trial once, kept in the user's cache folder where there are many.

Reading a million records takes their JSON apart once; the columns are read back from the cache as long as no file has
changed. The cache can be deleted at any time.
"""

import contextlib
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from initbench.cache import cache_folder, is_private, opened, written
from initbench.records import store
from initbench.records.columns import (
    FIELDS,
    Builder,
    Chunk,
    Columns,
    Setting,
    concatenate,
    first_of_each,
    with_labels,
    without_chunks,
)
from initbench.records.schema import OUTCOMES, Labels, TrialRecord

_log = logging.getLogger(__name__)
_ARRAYS = ("keys", "final", "curve", "ends")
_VERSION = 2
# Below this a cache is no faster than the files.
_WORTH_CACHING = 2_000


class _About(msgspec.Struct):
    """What a cache holds beside arrays."""

    version: int
    files: list[str]
    cells: list[Setting]
    chunks: list[Chunk]
    errors: list[str]


def load(folders: Sequence[Path], cached: bool = True) -> tuple[Columns, list[str]]:
    """The columns of all records below some folders, each trial once for every way in which it was asked for.

    Args:
        folders: results folders, experiment folders or ``records`` folders.
        cached: read the cache where it holds; else build it anew.

    Returns:
        The columns, and a line for every damaged file.

    Raises:
        StorageError: a folder cannot be read, or a file is of a newer format.
    """
    paths = store.files(folders)
    stamps = [_stamp(path) for path in paths]
    cache = _cache_file(folders)
    known, old = _read_cache(cache) if cached else ({}, None)
    builder, damaged, fresh, labels = Builder(), [], [], list[Labels]()
    for path, stamp in zip(paths, stamps, strict=True):
        if stamp in known:
            continue
        try:
            header, lines = store.read(path)
            if header.kind == "trials":
                builder.add(header, [line for line in lines if isinstance(line, TrialRecord)])
                fresh.append(stamp)
            labels += [line for line in lines if isinstance(line, Labels)]
        except store.Damaged as error:
            damaged.append(str(error))
        except OverflowError:
            damaged.append(str(store.Damaged(path, "a number in it is too large")))
    columns = builder.columns()
    if old is not None and known:
        wanted = np.isin(np.arange(len(known)), [known[stamp] for stamp in stamps if stamp in known])
        kept = [stamp for stamp in known if wanted[known[stamp]]]
        if not wanted.all():
            old = without_chunks(old, wanted)
        fresh = kept + fresh
        columns = old if not len(columns) else concatenate([old, columns])
    if len(columns) >= _WORTH_CACHING and len(fresh) != len(known):
        _write_cache(cache, fresh, columns)
    return first_of_each(with_labels(columns, labels)), damaged


def _stamp(path: Path) -> str:
    """What changes with the content of a file: its name, size and time of change."""
    status = path.stat()
    return f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"


def _cache_file(folders: Sequence[Path]) -> Path:
    names = "\n".join(sorted(str(folder.resolve()) for folder in folders))
    return cache_folder() / "reports" / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.npz"


def _read_cache(path: Path) -> tuple[dict[str, int], Columns | None]:
    """The stamps of the files in a cache, each with its number, and their columns; nothing if it is not usable.

    Damage shows in the checksums of the zip file that it is.
    """
    try:
        with opened(path) as file, np.load(file, allow_pickle=False) as stored:
            about = msgspec.json.decode(stored["about"].tobytes(), type=_About)
            if about.version != _VERSION:
                return {}, None
            keys, final, curve, ends = (stored[name] for name in _ARRAYS)
            numbers = {name: stored[name] for name in FIELDS}
            columns = Columns(numbers, keys, final, curve, ends, about.cells, about.chunks, about.errors)
            if not _fits(columns, len(about.files)):
                return {}, None
            return {stamp: number for number, stamp in enumerate(about.files)}, columns
    # Whatever is wrong with it, the files say it all again.
    except Exception as error:
        _log.info("the report's cache %s is not used: %s", path, error)
        return {}, None


def _fits(columns: Columns, n_files: int) -> bool:
    """Whether the columns are of one table, and every number that stands for something stands for what is there."""
    n, numbers, ends = len(columns.keys), columns.numbers, columns.ends
    sizes = {"cell": len(columns.cells), "chunk": n_files, "error": len(columns.errors), "outcome": len(OUTCOMES)}
    return bool(
        n_files == len(columns.chunks)
        and len(columns.final) == n
        and all(values.shape == (n,) and values.dtype == FIELDS[name] for name, values in numbers.items())
        and all(numbers[name].min(initial=0) >= -(name == "error") for name in sizes)
        and all(numbers[name].max(initial=-1) < size for name, size in sizes.items())
        and ends.shape == (n,)
        and (np.diff(ends, prepend=0) >= 0).all()
        and (ends[-1] if n else 0) == len(columns.curve)
    )


def _write_cache(path: Path, stamps: Sequence[str], columns: Columns) -> None:
    """Write it whole or not at all; a report does not need it."""
    about = _About(_VERSION, list(stamps), columns.cells, columns.chunks, columns.errors)
    arrays: dict[str, Any] = {name: getattr(columns, name) for name in _ARRAYS} | columns.numbers
    with contextlib.suppress(OSError):
        if is_private(path.parent):
            with written(path) as file:
                np.savez(file, about=np.frombuffer(msgspec.json.encode(about), dtype=np.uint8), **arrays)
