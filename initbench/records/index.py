"""The index of the records: their columns, each trial once, kept in the user's cache folder where there are many.

Reading a million records takes their JSON apart once; the columns are read back from the cache as long as no file has
changed. The cache can be deleted at any time.
"""

import contextlib
import hashlib
import os
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from initbench.cache import cache_folder
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
from initbench.records.schema import Labels, TrialRecord

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
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return {}, None


def _write_cache(path: Path, stamps: Sequence[str], columns: Columns) -> None:
    """Write it whole or not at all; a report does not need it."""
    about = _About(_VERSION, list(stamps), columns.cells, columns.chunks, columns.errors)
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                arrays: dict[str, Any] = {name: getattr(columns, name) for name in _ARRAYS} | columns.numbers
                np.savez(file, about=np.frombuffer(msgspec.json.encode(about), dtype=np.uint8), **arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
