"""The records: what training leaves behind and all that a report reads.

One immutable file per finished chunk, ``<results>/<experiment>/records/<chunk>.jsonl``: a header line (format,
environment), one line per trial, a footer line with the hash of everything above it. A file is written
under a temporary name and published whole, so there is no lock, no half-written record, and nothing to clean up: a
killed run loses the chunk in flight. ``cat``, ``rsync`` and ``git`` work on it; merging is copying files together.
"""

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from initbench.errors import StorageError

FORMAT = 1

Record = dict[str, Any]


@dataclass
class Loaded:
    """What a set of folders holds.

    Attributes:
        records: trial key to record; of several records of a trial the one finished first, then by file name.
        damaged: one line per file that cannot be trusted; its trials count as not done.
    """

    records: dict[str, Record] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)


def publish(folder: Path, header: Mapping[str, Any], records: Sequence[Record]) -> Path:
    """Write one finished chunk, durably and at once; the records carry their trial's ``key``.

    Returns:
        The published file. If it exists already, another process finished the same chunk first: theirs is kept.

    Raises:
        StorageError: the folder cannot be written; nothing is left behind.
    """
    chunk = hashlib.blake2b("".join(record["key"] for record in records).encode(), digest_size=16).hexdigest()
    target = folder / f"{chunk}.jsonl"
    lines = [json.dumps({"format": FORMAT, "chunk": chunk, **header}, allow_nan=False)]
    lines += [json.dumps(record, allow_nan=False) for record in records]
    body = "".join(f"{line}\n" for line in lines).encode()
    footer = json.dumps({"sha256": hashlib.sha256(body).hexdigest()})
    temporary = folder / f".{chunk}.{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(body + f"{footer}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        _link(temporary, target)
        _sync_folder(folder)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return target


def _link(temporary: Path, target: Path) -> None:
    """Give the file its final name without ever replacing one."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        # A whole file is the same chunk, finished by another process first. A damaged one is set aside, not deleted.
        if not _is_whole(target):
            aside = target.with_name(f"{target.name}.damaged")
            # It may have been damaged before.
            os.replace(target, aside if not aside.exists() else aside.with_stem(f"{target.name}.{uuid.uuid4().hex}"))
            os.link(temporary, target)
    except OSError as error:
        # File systems without hard links; two writers of one chunk write the same numbers.
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        os.replace(temporary, target)


def _is_whole(path: Path) -> bool:
    try:
        _parse(path.read_bytes())
    except ValueError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path) -> None:
    """Make the folder and try it, before hours of training rely on it.

    Raises:
        StorageError: it cannot be made or written.
    """
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise StorageError(f"cannot write to results folder {folder}: {error.strerror or error}") from None


def load(folders: Iterable[Path]) -> Loaded:
    """All records below some folders, whole and in memory, for whoever wants more of them than a report shows.

    The commands, which may read millions, keep columns of them instead: :mod:`initbench.records.columns`.

    Raises:
        StorageError: a folder cannot be read, or a file is of a newer format.
    """
    loaded = Loaded()
    for path in files(folders):
        try:
            header, records = read(path)
        except Damaged as damaged:
            loaded.damaged.append(str(damaged))
            continue
        for record in records:
            record["header"] = header
            known = loaded.records.get(record["key"])
            if known is None or header.get("finished", "") < known["header"].get("finished", ""):
                loaded.records[record["key"]] = record
    return loaded


def files(folders: Iterable[Path]) -> list[Path]:
    """The record files below some folders: results folders, experiment folders or ``records`` folders.

    Raises:
        StorageError: a folder is there and cannot be listed.
    """
    found = set()
    for folder in folders:
        inside = _inside(folder)
        for holder in (inside, _inside(folder / "records"), *(_inside(entry / "records") for entry in inside)):
            found |= {path for path in holder if path.name.endswith(".jsonl")}
    return sorted(found)


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, nothing where there is none. ``Path.glob`` would pass over one that cannot be read."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from None


def read(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """The header and the records of one file.

    Raises:
        Damaged: anything in it was cut, flipped or appended.
        StorageError: it cannot be read, or is of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        header, records = _parse(content)
    except ValueError as error:
        raise Damaged(path, str(error)) from None
    if header["format"] > FORMAT:
        raise StorageError(f"{path} is of format {header['format']}, written by a newer initbench; please upgrade")
    if not all(isinstance(record, dict) and isinstance(record.get("key"), str) for record in records):
        raise Damaged(path, "a record has no key")
    return header, records


def _parse(content: bytes) -> tuple[dict[str, Any], list[Record]]:
    if not content.endswith(b"\n"):
        raise ValueError("it does not end in a line end")
    start = content.rfind(b"\n", 0, len(content) - 1) + 1
    footer = orjson.loads(content[start:])
    if not isinstance(footer, dict) or footer.get("sha256") != hashlib.sha256(content[:start]).hexdigest():
        raise ValueError("its checksum is wrong")
    header, *records = [orjson.loads(line) for line in content[:start].splitlines()]
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise ValueError("its header has no format")
    return header, records


class Damaged(ValueError):
    """A record file that cannot be trusted; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is damaged ({why}); its trials count as not done")
