"""The files of the records.

One immutable file per finished chunk, ``<results>/<name>/records/<chunk>.jsonl``: a header line (format, kind,
environment), one line per trial, a footer line with the hash of everything above it. A file is written
under a temporary name and published whole, so there is no lock, no half-written record, and nothing to clean up: a
killed run loses the chunk in flight. ``cat``, ``rsync`` and ``git`` work on it; merging is copying files together.
Files that are kept may be packed into one: :mod:`initbench.records.packed`.
"""

import errno
import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import msgspec

from initbench.errors import StorageError
from initbench.files import write
from initbench.records.entries import Damaged, Unusable, stamp
from initbench.records.packed import PACKED, read_pack
from initbench.records.probe import ProbeRecord
from initbench.records.schema import FORMAT, Environment, Header, Labels, TrialRecord, plain, record_of
from initbench.trial import trial_keys

_log = logging.getLogger(__name__)

# The lines of one file are of one kind.
Lines = list[TrialRecord] | list[Labels] | list[ProbeRecord]

# A longer line initbench did not write: a trial with a curve of a hundred thousand epochs.
LONGEST = 16 << 20


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
    lines: Sequence[TrialRecord] | Sequence[Labels] | Sequence[ProbeRecord],
    started: str = "",
    finished: str = "",
    environment: Environment | None = None,
) -> Path:
    """Write one finished chunk, or further labels of trials, durably and at once.

    Returns:
        The published file. If it exists already, another process finished the same chunk first: theirs is kept.

    Raises:
        ValueError: a number is not finite.
        StorageError: the folder cannot be written; nothing is left behind.
    """
    written = list(map(_encoded, lines))
    # A chunk goes by its trials and how they were asked for: whoever finishes it, and however often, it is one file.
    # A trial that failed may have a result later, in another file.
    keyed = [
        line.key.encode() + line.asked.text() + (b"failed" if line.outcome == "failed" else b"")
        for line in lines
        if isinstance(line, TrialRecord | ProbeRecord)
    ]
    content = b"".join(keyed or written)
    chunk = hashlib.blake2b(content, digest_size=16).hexdigest()
    header = Header(
        format=FORMAT,
        chunk=chunk,
        kind="labels" if not keyed else "probe" if isinstance(lines[0], ProbeRecord) else "trials",
        started=started,
        finished=finished,
        environment=environment or Environment(),
    )
    body = b"\n".join((_encoded(header), *written, b""))
    footer = _encoded(_Footer(hashlib.sha256(body).hexdigest()))
    target = folder / f"{chunk}.jsonl"
    try:
        write(target, body + footer + b"\n", keep=lambda there: _same(there, lines))
        _log.info("published %s: %d records", target, len(lines))
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror or error}") from error
    return target


def _encoded(line: msgspec.Struct) -> bytes:
    """A line that can be read back, with the spaces that ``json`` puts between things."""
    try:
        text = msgspec.json.encode(line)
    except UnicodeEncodeError:
        # What somebody's exception says may hold half a character.
        text = json.dumps(plain(line), ensure_ascii=False).encode(errors="replace")
    try:
        # A number that is not finite has become null, which not every field may be.
        msgspec.json.decode(text, type=type(line))
    except msgspec.ValidationError as error:
        raise ValueError(
            f"what cannot be read back is not written, as numbers that are not JSON compliant: {error}"
        ) from error
    return msgspec.json.format(text, indent=0)


def _same(path: Path, lines: Sequence[TrialRecord] | Sequence[Labels] | Sequence[ProbeRecord]) -> bool:
    """Whether a file says of these trials what there is to say: another process was faster."""
    try:
        _, there = read(path)
    except (Unusable, StorageError):
        return False
    return {_subject(line) for line in lines} <= {_subject(line) for line in there}


def _subject(line: TrialRecord | Labels | ProbeRecord) -> tuple[str | tuple[str, ...], bytes]:
    """Which trials a line is about, and how they were asked for."""
    return tuple(line.keys) if isinstance(line, Labels) else line.key, line.asked.text()


def check_writable(folder: Path) -> None:
    """Make the folder and try it, before hours of training rely on it.

    Raises:
        StorageError: it cannot be made or written.
    """
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        # Another process may have swept it.
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to results folder {folder}: {error.strerror or error}") from error


def load(folders: Iterable[Path]) -> Loaded:
    """All records below some folders, whole and in memory, for whoever wants more of them than a report shows.

    The commands, which may read millions, keep columns of them instead: :mod:`initbench.records.columns`.

    Raises:
        StorageError: a folder or a file cannot be read.
    """
    loaded = Loaded()
    for path in files(folders):
        for header, lines in read_all(path, lambda unusable: loaded.damaged.append(str(unusable))):
            _keep_first(loaded, header, lines)
    return loaded


def _keep_first(loaded: Loaded, header: Header, lines: Lines) -> None:
    for record in lines:
        if isinstance(record, TrialRecord):
            known, before = loaded.records.get(record.key), loaded.headers.get(record.key)
            if known is None or before is None or _rank(record, header) < _rank(known, before):
                loaded.records[record.key], loaded.headers[record.key] = record, header


def _rank(record: TrialRecord, header: Header) -> tuple[bool, str]:
    return record.outcome == "failed", header.finished


def files(folders: Iterable[Path]) -> list[Path]:
    """What goes by the name of a record file or of a pack of them in some places.

    Args:
        folders: results, experiment or ``records`` folders, or packs.

    Raises:
        StorageError: a folder is there and cannot be listed.
    """
    found = {path for holder in holders(folders) for path in _inside(holder) if path.name.endswith((".jsonl", PACKED))}
    return sorted(found | {path for path in folders if is_pack(path)})


def is_pack(path: Path) -> bool:
    """Whether something is a pack by its name, and no folder."""
    return path.name.endswith(PACKED) and path.exists() and not path.is_dir()


def holders(folders: Iterable[Path]) -> list[Path]:
    """The folders below some folders that may hold records.

    Raises:
        StorageError: a folder is there and cannot be listed.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        found |= dict.fromkeys([folder, folder / "records", *(entry / "records" for entry in _inside(folder))])
    return list(found)


def leftover_folders(folders: Iterable[Path]) -> list[Path]:
    """Those in which a process that was killed may have left a temporary file: of records, and of requests beside them.

    Raises:
        StorageError: a folder is there and cannot be listed.
    """
    found = holders(folders)
    return [*found, *(folder.with_name("requests") for folder in found if folder.name == "records")]


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, nothing where there is none. ``Path.glob`` would pass over one that cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError as error:
        # A link that leads nowhere or to itself is no folder either.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error


def read_all(path: Path, passed_over: Callable[[Unusable], object]) -> Iterator[tuple[Header, Lines]]:
    """What :func:`read` gives, of one file, or of each file of a pack.

    Args:
        path: of either.
        passed_over: takes what cannot be used.

    Raises:
        StorageError: it cannot be read.
    """
    if not path.name.endswith(PACKED):
        try:
            yield read(path)
        except Unusable as error:
            passed_over(error)
        return
    for name, content in read_pack(path, passed_over):
        try:
            yield parsed(path / name, content)
        except Unusable as error:
            passed_over(error)


def read(path: Path) -> tuple[Header, Lines]:
    """The header and the lines of one file: trials, labels of trials, or probes; none where it is of another kind.

    Raises:
        Unusable: it is no file, or is of a newer format.
        Damaged: anything in it was cut, flipped or appended, or is not what initbench writes.
        StorageError: it cannot be read.
    """
    stamp(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    return parsed(path, content)


def parsed(path: Path, content: bytes) -> tuple[Header, Lines]:
    """As :func:`read`, of a file whose bytes are here.

    Raises:
        Unusable: it is of a newer format.
        Damaged: anything in it was cut, flipped or appended, or is not what initbench writes.
    """
    try:
        header, lines = _parse(content)
        if header.format > FORMAT:
            raise Unusable(path, f"it is of format {header.format}, written by a newer initbench; upgrade to read it")
        if header.chunk and header.chunk != path.stem:
            raise ValueError(f"it is chunk {header.chunk} by its header, and another by its name")
        return header, _typed(header, lines)
    except RecursionError as error:
        raise Damaged(path, "it is nested too deeply") from error
    except OverflowError as error:
        raise Damaged(path, "a number in it is too large") from error
    except Unusable:
        raise
    except ValueError as error:
        raise Damaged(path, str(error)) from error


def _typed(header: Header, lines: Sequence[memoryview]) -> Lines:
    if header.kind == "labels":
        return list(map(_LABELS.decode, lines))
    if header.kind not in ("trials", "probe"):
        return []
    if max(map(len, lines), default=0) > LONGEST:
        raise ValueError(f"a line has more than {LONGEST >> 20} MiB")
    if header.kind == "probe":
        probes = list(map(_PROBE.decode, lines))
        _check_keys(probes)
        return probes
    if header.format < 2:
        return [record_of(msgspec.json.decode(line), header.format) for line in lines]
    records = list(map(_TRIAL.decode, lines))
    _check_keys(records)
    return records


def _check_keys(records: Sequence[TrialRecord | ProbeRecord]) -> None:
    for number, record in enumerate(records, 1):
        setting = {name: value for name, value in record.trial.items() if name != "seed"}
        if _keys(msgspec.json.encode(setting))(record.trial["seed"]) != record.key:
            raise ValueError(f"the key of trial {number} is not the hash of its identity")


@lru_cache(maxsize=1024)
def _keys(setting: bytes) -> Callable[[int], str]:
    return trial_keys(msgspec.json.decode(setting))


def _parse(content: bytes) -> tuple[Header, list[memoryview]]:
    """The header and the other lines, without a copy of them."""
    if not content.endswith(b"\n"):
        raise ValueError("it does not end in a line end")
    start = content.rfind(b"\n", 0, len(content) - 1) + 1
    footer = msgspec.json.decode(content[start:], type=_Footer)
    if footer.sha256 != hashlib.sha256(memoryview(content)[:start]).hexdigest():
        raise ValueError("its checksum is wrong")
    view, lines, place = memoryview(content), [], 0
    while place < start:
        end = content.index(b"\n", place)
        lines.append(view[place:end])
        place = end + 1
    if not lines:
        raise ValueError("it has no header")
    return _HEADER.decode(lines[0]), lines[1:]


class _Footer(msgspec.Struct):
    """The last line of a file."""

    sha256: str


_HEADER = msgspec.json.Decoder(Header)
_TRIAL = msgspec.json.Decoder(TrialRecord)
_LABELS = msgspec.json.Decoder(Labels)
_PROBE = msgspec.json.Decoder(ProbeRecord)
