"""The index of the records: their columns, each trial once, kept in the user's cache folder where there are many.

Reading a million records takes their JSON apart once; the columns are read back from the cache as long as no file has
changed. The cache can be deleted at any time.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from initbench.cache import cache_folder, is_private, opened, write
from initbench.files import leftovers, sweep
from initbench.records import entries, store
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
from initbench.records.schema import OUTCOMES, Labels, TrialRecord

_log = logging.getLogger(__name__)
_ARRAYS = ("keys", "final", "curve", "ends")
_VERSION = 6
# Below this a cache is no faster than the files.
_WORTH_CACHING = 2_000


class _Source(msgspec.Struct):
    """A file or a pack as it was when it was read and found whole: its stamp, how many chunks it has, its labels.

    One that was not whole has no stamp: no file has none.
    """

    stamp: str
    n_chunks: int
    labels: list[Labels]


class _About(msgspec.Struct):
    """What a cache holds beside arrays."""

    version: int
    sources: list[_Source]
    cells: list[Setting]
    chunks: list[Chunk]
    errors: list[str]


def load(folders: Sequence[Path], cached: bool = True) -> tuple[Columns, list[str]]:
    """The columns of all records below some folders, each trial once for every way in which it was asked for.

    A file is taken from the cache as long as its stamp (:func:`initbench.records.entries.stamp`) is the one it had when
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
    before, old = _read_cache(cache) if cached else ([], None)
    known, kept, fresh, told = {source.stamp: source for source in before}, set[str](), list[_Source](), list[str]()
    builder = Builder()
    for path, name in _names(store.files(folders)):
        try:
            stamp = f"{name}|{entries.stamp(path)}"
        except entries.Unusable as error:
            told.append(str(error))
            continue
        if stamp in known:
            kept.add(stamp)
        else:
            fresh.append(_read_source(path, stamp, builder, told))
    columns = builder.columns()
    sources = [source for source in before if source.stamp in kept] + fresh
    if old is not None:
        wanted = np.repeat([source.stamp in kept for source in before], [source.n_chunks for source in before])
        old = old if wanted.all() else without_chunks(old, wanted)
        columns = concatenate([old, columns]) if columns.chunks else old
    if len(columns) >= _WORTH_CACHING and sources != before:
        _write_cache(cache, sources, columns)
    told += disagreements(columns)
    labels = [label for source in sources for label in source.labels]
    return first_of_each(with_labels(columns, labels)), told


def _read_source(path: Path, stamp: str, builder: Builder, told: list[str]) -> _Source:
    """Read a file or a pack into the builder; what is odd about it is told."""
    n_told, n_chunks, labels = len(told), len(builder.chunks), list[Labels]()
    for header, lines in store.read_all(path, lambda unusable: told.append(str(unusable))):
        labels += [line for line in lines if isinstance(line, Labels)]
        if header.kind == "trials":
            try:
                builder.add(header, [line for line in lines if isinstance(line, TrialRecord)])
            except OverflowError:
                told.append(str(entries.Damaged(path, "a number in it is too large")))
    return _Source("" if len(told) > n_told else stamp, len(builder.chunks) - n_chunks, labels)


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


def _read_cache(path: Path) -> tuple[list[_Source], Columns | None]:
    """The files in a cache, and their columns; nothing if it is not usable.

    Damage shows in the checksums of the zip file that it is.
    """
    try:
        with opened(path) as file, np.load(file, allow_pickle=False) as stored:
            about = msgspec.json.decode(stored["about"].tobytes(), type=_About)
            if about.version != _VERSION:
                return [], None
            keys, final, curve, ends = (stored[name] for name in _ARRAYS)
            numbers = {name: stored[name] for name in FIELDS}
            columns = Columns(numbers, keys, final, curve, ends, about.cells, about.chunks, about.errors)
            if not _fits(columns, sum(source.n_chunks for source in about.sources)):
                return [], None
            return about.sources, columns
    # Whatever is wrong with it, the files say it all again.
    except Exception as error:
        _log.info("the report's cache %s is not used: %s", path, error)
        return [], None


def _fits(columns: Columns, n_chunks: int) -> bool:
    """Whether the columns are of one table, and every number that stands for something stands for what is there."""
    n, numbers, ends = len(columns.keys), columns.numbers, columns.ends
    sizes = {"cell": len(columns.cells), "chunk": n_chunks, "error": len(columns.errors), "outcome": len(OUTCOMES)}
    return bool(
        n_chunks == len(columns.chunks)
        and len(columns.final) == n
        and all(values.shape == (n,) and values.dtype == FIELDS[name] for name, values in numbers.items())
        and all(numbers[name].min(initial=0) >= -(name == "error") for name in sizes)
        and all(numbers[name].max(initial=-1) < size for name, size in sizes.items())
        and ends.shape == (n,)
        and (np.diff(ends, prepend=0) >= 0).all()
        and (ends[-1] if n else 0) == len(columns.curve)
    )


def _write_cache(path: Path, sources: list[_Source], columns: Columns) -> None:
    """Write it whole or not at all; a report does not need it."""
    about = _About(_VERSION, sources, columns.cells, columns.chunks, columns.errors)
    arrays: dict[str, Any] = {name: getattr(columns, name) for name in _ARRAYS} | columns.numbers
    arrays["about"] = np.frombuffer(msgspec.json.encode(about), dtype=np.uint8)
    with contextlib.suppress(OSError):
        if is_private(path.parent):
            write(path, lambda file: np.savez(file, **arrays))
            sweep([path.parent])
