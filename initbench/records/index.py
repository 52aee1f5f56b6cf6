"""The index of the records: their columns, each trial once, kept in the user's cache folder where there are many.

Reading a million records takes their JSON apart once; the columns are read back from the cache as long as no file has
changed. The cache can be deleted at any time.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from initbench.cache import cache_folder
from initbench.files import leftovers, sweep, write
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
from initbench.records.disagreements import disagreements
from initbench.records.schema import Labels, TrialRecord

_ARRAYS = ("keys", "final", "curve", "ends")
_VERSION = 3
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

    A file is taken from the cache as long as its stamp (:func:`initbench.records.store.stamp`) is the one it had when
    it was read and found whole; any other is read. :func:`examine` believes no stamp.

    Args:
        folders: results folders, experiment folders or ``records`` folders.
        cached: read the cache where it holds; else build it anew.

    Returns:
        The columns, and a line for everything that is passed over, and for trials whose records disagree.

    Raises:
        StorageError: a folder or a file cannot be read.
    """
    cache = _cache_file(folders)
    known, old = _read_cache(cache) if cached else ({}, None)
    builder, told, fresh, labels = Builder(), list[str](), list[str](), list[Labels]()
    seen = set()
    for path, name in _names(store.files(folders)):
        try:
            stamp = f"{name}|{store.stamp(path)}"
            if stamp in known:
                seen.add(stamp)
                continue
            header, lines = store.read(path)
            if header.kind == "trials":
                builder.add(header, [line for line in lines if isinstance(line, TrialRecord)])
                fresh.append(stamp)
            labels += [line for line in lines if isinstance(line, Labels)]
        except store.Unusable as error:
            told.append(str(error))
        except OverflowError:
            told.append(str(store.Damaged(path, "a number in it is too large")))
    columns = builder.columns()
    if old is not None and known:
        wanted = np.isin(np.arange(len(known)), [known[stamp] for stamp in seen])
        if not wanted.all():
            old = without_chunks(old, wanted)
        fresh = [stamp for stamp in known if stamp in seen] + fresh
        columns = concatenate([old, columns]) if len(columns) else old
    if len(columns) >= _WORTH_CACHING and fresh != list(known):
        _write_cache(cache, fresh, columns)
    told += disagreements(columns)
    return first_of_each(with_labels(columns, labels)), told


def examine(folders: Sequence[Path]) -> list[str]:
    """What is wrong in some folders, a line each, after every file was read again, whatever the cache says.

    Damage (that of a disk too, which changes no stamp), what does not belong there, trials whose records disagree, and
    what dead processes left. The cache is built anew.

    Raises:
        StorageError: a folder or a file cannot be read.
    """
    _, told = load(folders, cached=False)
    left = leftovers(store.leftover_folders(folders))
    return [*told, *(f"{path} was left by a process that was killed; the next run removes it" for path in left)]


def _names(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each with the name by which the cache knows it, whatever way led there."""
    folders: dict[Path, str] = {}
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        yield path, f"{folders[path.parent]}/{path.name}"


def _cache_file(folders: Sequence[Path]) -> Path:
    names = "\n".join(sorted(os.path.realpath(folder) for folder in folders))
    return cache_folder() / "reports" / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.npz"


def _read_cache(path: Path) -> tuple[dict[str, int], Columns | None]:
    """The stamps of the files in a cache, each with its number, and their columns; nothing if it is not usable."""
    try:
        # Opened here: of a file that it cannot read, numpy would leave the closing to chance.
        with open(path, "rb") as file, np.load(file) as stored:
            about = msgspec.json.decode(stored["about"].tobytes(), type=_About)
            if about.version != _VERSION:
                return {}, None
            keys, final, curve, ends = (stored[name] for name in _ARRAYS)
            numbers = {name: stored[name] for name in FIELDS}
            columns = Columns(numbers, keys, final, curve, ends, about.cells, about.chunks, about.errors)
            return {stamp: number for number, stamp in enumerate(about.files)}, columns
    except Exception:
        # Whatever a file that is odd makes of numpy and zipfile: it can be made again.
        return {}, None


def _write_cache(path: Path, stamps: Sequence[str], columns: Columns) -> None:
    """Write it whole or not at all; a report does not need it."""
    about = _About(_VERSION, list(stamps), columns.cells, columns.chunks, columns.errors)
    arrays: dict[str, Any] = {name: getattr(columns, name) for name in _ARRAYS} | columns.numbers
    arrays["about"] = np.frombuffer(msgspec.json.encode(about), dtype=np.uint8)
    with contextlib.suppress(OSError):
        write(path, lambda file: np.savez(file, **arrays), durable=False)
        sweep([path.parent])
