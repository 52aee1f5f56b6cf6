"""The files of the records.

One immutable file per finished chunk, ``<results>/<name>/records/<chunk>.jsonl``: a header line (format, kind,
environment), one line per trial, a footer line with the hash of everything above it. A file is written
under a temporary name and published whole, so there is no lock, no half-written record, and nothing to clean up: a
killed run loses the chunk in flight. ``cat``, ``rsync`` and ``git`` work on it; merging is copying files together.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from initbench.errors import StorageError
from initbench.records.schema import FORMAT, Environment, Header, Labels, TrialRecord, plain, record_of

_log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """What a set of folders holds.

    Attributes:
        records: trial key to record; of several records of a trial the one finished first, then by file name, but
            one that failed only if there is no other.
        headers: trial key to the header of the file that the record was read from.
        damaged: one line per file that cannot be trusted; its trials count as not done.
    """

    records: dict[str, TrialRecord] = field(default_factory=dict)
    headers: dict[str, Header] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)


def publish(
    folder: Path,
    lines: Sequence[TrialRecord] | Sequence[Labels],
    started: str = "",
    finished: str = "",
    environment: Environment | None = None,
) -> Path:
    """Write one finished chunk, or further labels of trials, durably and at once.

    Returns:
        The published file. If it exists already, another process finished the same chunk first: theirs is kept.

    Raises:
        StorageError: the folder cannot be written; nothing is left behind.
    """
    written = [json.dumps(plain(line), allow_nan=False) for line in lines]
    # A chunk goes by its trials and how they were asked for: whoever finishes it, and however often, it is one file.
    # A trial that failed may have a result later, in another file.
    trials = [
        line.key.encode() + line.asked.text() + (b"failed" if line.outcome == "failed" else b"")
        for line in lines
        if isinstance(line, TrialRecord)
    ]
    content = b"".join(trials) if trials else "".join(written).encode()
    chunk = hashlib.blake2b(content, digest_size=16).hexdigest()
    header = Header(
        format=FORMAT,
        chunk=chunk,
        kind="trials" if trials else "labels",
        started=started,
        finished=finished,
        environment=environment or Environment(),
    )
    body = "".join(f"{line}\n" for line in (json.dumps(plain(header)), *written)).encode()
    footer = json.dumps({"sha256": hashlib.sha256(body).hexdigest()})
    target = folder / f"{chunk}.jsonl"
    temporary = folder / f".{chunk}.{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(body + f"{footer}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        _link(temporary, target)
        _sync_folder(folder)
        _log.info("published %s: %d records", target, len(lines))
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
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
        raise StorageError(f"cannot write to results folder {folder}: {error.strerror or error}") from error


def load(folders: Iterable[Path]) -> Loaded:
    """All records below some folders, whole and in memory, for whoever wants more of them than a report shows.

    The commands, which may read millions, keep columns of them instead: :mod:`initbench.records.columns`.

    Raises:
        StorageError: a folder cannot be read, or a file is of a newer format.
    """
    loaded = Loaded()
    for path in files(folders):
        try:
            header, lines = read(path)
        except Damaged as damaged:
            loaded.damaged.append(str(damaged))
            continue
        for record in lines:
            if isinstance(record, TrialRecord):
                known, before = loaded.records.get(record.key), loaded.headers.get(record.key)
                if known is None or before is None or _rank(record, header) < _rank(known, before):
                    loaded.records[record.key], loaded.headers[record.key] = record, header
    return loaded


def _rank(record: TrialRecord, header: Header) -> tuple[bool, str]:
    return record.outcome == "failed", header.finished


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
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error


def read(path: Path) -> tuple[Header, list[TrialRecord] | list[Labels]]:
    """The header and the lines of one file: trials, or labels of trials; none where it is of another kind.

    Raises:
        Damaged: anything in it was cut, flipped or appended, or is not what initbench writes.
        StorageError: it cannot be read, or is of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        header, lines = _parse(content)
        if header.format > FORMAT:
            raise StorageError(f"{path} is of format {header.format}, written by a newer initbench; please upgrade")
        return header, _typed(header, lines)
    except ValueError as error:
        raise Damaged(path, str(error)) from error


def _typed(header: Header, lines: Sequence[bytes]) -> list[TrialRecord] | list[Labels]:
    if header.kind == "labels":
        return list(map(_LABELS.decode, lines))
    if header.kind != "trials":
        return []
    if header.format == FORMAT:
        return list(map(_TRIAL.decode, lines))
    return [record_of(msgspec.json.decode(line), header.format) for line in lines]


def _parse(content: bytes) -> tuple[Header, list[bytes]]:
    if not content.endswith(b"\n"):
        raise ValueError("it does not end in a line end")
    start = content.rfind(b"\n", 0, len(content) - 1) + 1
    footer = msgspec.json.decode(content[start:])
    if not isinstance(footer, dict) or footer.get("sha256") != hashlib.sha256(content[:start]).hexdigest():
        raise ValueError("its checksum is wrong")
    first, *lines = content[:start].splitlines() or [b""]
    return _HEADER.decode(first), lines


_HEADER = msgspec.json.Decoder(Header)
_TRIAL = msgspec.json.Decoder(TrialRecord)
_LABELS = msgspec.json.Decoder(Labels)


class Damaged(ValueError):
    """A record file that cannot be trusted; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is damaged ({why}); its trials count as not done")
