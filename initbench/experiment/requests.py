"""What was asked for under a name: each request is kept beside its records, so that its results can be addressed.

One immutable file per request, ``<results>/<name>/requests/<hash>.json``. Records do not depend on it: it only says
which of them, and under which labels, one command asked for, wherever under ``<results>`` they were trained.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from initbench.data import pinned
from initbench.errors import InputError, StorageError
from initbench.experiment.plan import plan
from initbench.files import kind, write
from initbench.records.columns import Columns, done
from initbench.settings.request import LOCAL, Request


def file_of(request: Request) -> tuple[Path, bytes]:
    """Where a request is kept, and as what."""
    # The data of today: when a file has changed, what was asked for of it before is still to be found.
    cells = tuple(replace(cell, dataset=pinned(cell.dataset)) for cell in request.cells)
    # Who trains is not what was asked for.
    content = replace(request, cells=cells, executor=LOCAL).to_json(anywhere=False)
    name = hashlib.blake2b(content, digest_size=16).hexdigest()
    return request.folder.with_name("requests") / f"{name}.json", content


def keep(request: Request) -> Path:
    """Write a request once, whole or not at all.

    Raises:
        StorageError: its folder cannot be written.
    """
    target, content = file_of(request)
    try:
        if not target.exists():
            write(target, content)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def kept(results: Path, name: str) -> list[tuple[Path, Request]]:
    """The requests that were made under a name, with their files.

    Raises:
        InputError: there is none, or a file that is no request.
        StorageError: one cannot be read.
    """
    files = sorted((results / name / "requests").glob("*.json"))
    if not files:
        names = sorted(path.parent.name for path in results.glob("*/requests"))
        there = f"; there are: {', '.join(names)}" if names else ""
        raise InputError(f"nothing was asked for under the name '{name}' in {results}{there}")
    try:
        return [(path, _read(path)) for path in files]
    except OSError as error:
        raise StorageError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _read(path: Path) -> Request:
    what = kind(path.stat())
    if what != "file":
        # Never opened: it may not answer.
        raise InputError(f"{path}: this is no request of initbench: it is a {what}")
    try:
        return Request.from_json(path.read_bytes(), check=False)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: this is no request of initbench: it is nested too deeply") from error


def exactly(requests: Iterable[Request], columns: Columns) -> Columns:
    """Of some records those that requests ask for, under their labels; what is not trained yet is missing."""
    known = done(columns)
    wanted: dict[bytes, set[str]] = {}
    for request in requests:
        for text, keys in plan(request, known).asked().items():
            wanted.setdefault(text, set()).update(keys)
    return columns.of(wanted)
