"""A pack: many record files in one, ``<name>.records.tar.xz``, a tenth of their size; ``tar -xf`` reads it too.

It is a row of xz streams, which together are one tar archive. The first holds ``contents.json``: which files are in
which stream. Each further one holds files of at most :data:`PART` bytes together, or a single larger one. So a stream
can be read without the others, and damage costs the files of its own. The same files give the same bytes, by the same
version of liblzma.

What a pack holds is believed only if it is, byte for byte, what is written here: no name leads out of its folder, there
is nothing but plain files, and nothing is unpacked beyond what the contents have said before.
"""

import lzma
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from initbench.errors import StorageError
from initbench.records.entries import LARGEST, Damaged, Unusable, stamp

PACKED = ".records.tar.xz"
FORMAT = 1
# As much as xz looks back on; larger parts are hardly smaller.
PART = 4 << 20
# Of the contents, unpacked: two hundred thousand files. Of all files together: what eight million trials take.
_CONTENTS = 16 << 20
_ALL = 16 << 30
# For unpacking: what the largest of xz's own presets takes.
_MEMORY = 80 << 20
_PIECE = 1 << 16
_BLOCK = tarfile.BLOCKSIZE
# As an archive ends.
_END = bytes(2 * _BLOCK)
# In a message.
_SHOWN = 3


class Entry(msgspec.Struct, frozen=True):
    """A file in a pack: its name, its bytes, and how many trials it holds."""

    name: str
    size: int
    trials: int


class _Part(msgspec.Struct, frozen=True):
    """A stream: its bytes in the pack, and its files."""

    packed: int
    files: list[Entry]


class _Contents(msgspec.Struct, frozen=True):
    format: int
    parts: list[_Part]


def is_name(name: str) -> bool:
    """Whether a file of a pack may be called so: like a record file, of at most 100 bytes, and without surprises."""
    plain = name.isprintable() and not name.startswith(".") and not set(name) & set("/\\")
    return plain and name.endswith(".jsonl") and len(name.encode()) <= tarfile.LENGTH_NAME


def write_pack(file: BinaryIO, files: Iterable[tuple[str, bytes, int]]) -> None:
    """Write a pack.

    Args:
        file: where to.
        files: names, in ascending order, contents, and how many trials each holds.
    """
    parts: list[_Part] = []
    with tempfile.SpooledTemporaryFile(max_size=1 << 26) as streams:
        for names, plain in _parts(files):
            packed = _packed(plain)
            streams.write(packed)
            parts.append(_Part(len(packed), names))
        text = msgspec.json.format(msgspec.json.encode(_Contents(FORMAT, parts)), indent=1)
        file.write(_packed(_member("contents.json", text)))
        streams.seek(0)
        while piece := streams.read(_PIECE):
            file.write(piece)
        file.write(_packed(_END))


def _parts(files: Iterable[tuple[str, bytes, int]]) -> Iterator[tuple[list[Entry], bytearray]]:
    names, plain = list[Entry](), bytearray()
    for name, content, trials in files:
        if names and len(plain) + len(content) > PART:
            yield names, plain
            names, plain = [], bytearray()
        names.append(Entry(name, len(content), trials))
        plain += _member(name, content)
    if names:
        yield names, plain


def read_pack(path: Path, lost: Callable[[Unusable], object]) -> Iterator[tuple[str, bytes]]:
    """The files of a pack, names and contents, a part of it at a time.

    Args:
        path: the pack.
        lost: takes what cannot be used, after all else: the whole pack, or in one line the files that damage has cost.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        stamp(path)
        with open(path, "rb") as file:
            contents, at = _contents(path, file)
            why, cost = "", list[Entry]()
            for part in contents.parts:
                try:
                    yield from _files(file, at, part)
                except _ODD as error:
                    why = why or _said(error)
                    cost += part.files
                at += part.packed
            if not why and not _ends(file, at):
                why = "it does not end as a pack does"
            if why:
                lost(Damaged(path, f"{why}; lost {_names(cost)}"))
    except Unusable as error:
        lost(error)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


# What reading something odd may raise.
_ODD = (ValueError, lzma.LZMAError, RecursionError)


def _said(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _names(files: list[Entry]) -> str:
    if not files:
        return "is none of its files"
    names = ", ".join(file.name for file in files[:_SHOWN])
    more = f" and {len(files) - _SHOWN} more files" if len(files) > _SHOWN else ""
    trials = sum(file.trials for file in files)
    return f"{names}{more}, {trials} trial{'s' * (trials != 1)}"


def _contents(path: Path, file: BinaryIO) -> tuple[_Contents, int]:
    """What a pack says that it holds, and where the next stream begins.

    Raises:
        Damaged: no such thing was ever written.
        Unusable: a newer initbench wrote it.
    """
    try:
        plain, at = _unpacked(file, 0, _CONTENTS)
        text = bytes(plain[_BLOCK:].rstrip(b"\0"))
        if plain != _member("contents.json", text):
            raise ValueError("it does not begin as a pack does")
        written = msgspec.json.decode(text, type=_Format).format
        if written <= FORMAT:
            contents = msgspec.json.decode(text, type=_Contents)
            _check(contents.parts)
            return contents, at
    except _ODD as error:
        raise Damaged(path, f"its contents: {_said(error)}; lost are all its files") from error
    raise Unusable(path, f"it is a pack of format {written}, written by a newer initbench; upgrade to read it")


def _check(parts: list[_Part]) -> None:
    last, everything = "", 0
    for part in parts:
        sizes = [entry.size for entry in part.files]
        if not 0 <= part.packed <= LARGEST or not sizes or min(sizes) < 0:
            raise ValueError("a number in them is impossible")
        if (sum(sizes) > PART and len(sizes) > 1) or max(sizes) > LARGEST:
            raise ValueError("a part is larger than any that initbench writes")
        everything += sum(sizes)
        for entry in part.files:
            if not is_name(entry.name) or entry.name <= last:
                raise ValueError(f"a file is called {entry.name[:100]!r} there")
            last = entry.name
    if everything > _ALL:
        raise ValueError(f"they are more than {_ALL >> 30} GiB")


class _Format(msgspec.Struct):
    format: int


def _files(file: BinaryIO, at: int, part: _Part) -> Iterator[tuple[str, bytes]]:
    """The files of one part, after all of it was found whole."""
    heads = [_head(entry.name, entry.size) for entry in part.files]
    plain, end = _unpacked(file, at, sum(_BLOCK + _filled(entry.size) for entry in part.files))
    if end != at + part.packed:
        raise ValueError("a part of it is longer or shorter than it should be")
    place, found = 0, []
    for entry, head in zip(part.files, heads, strict=True):
        start, stop = place + _BLOCK, place + _BLOCK + entry.size
        place += _BLOCK + _filled(entry.size)
        if plain[start - _BLOCK : start] != head or plain[stop:place].strip(b"\0"):
            raise ValueError(f"what it holds as {entry.name} is something else")
        found.append((start, stop))
    if place != len(plain):
        raise ValueError("a part of it is larger or smaller than it should be")
    for entry, (start, stop) in zip(part.files, found, strict=True):
        yield entry.name, bytes(memoryview(plain)[start:stop])


def _ends(file: BinaryIO, at: int) -> bool:
    """Whether what follows is the end of a pack, and nothing more."""
    try:
        plain, end = _unpacked(file, at, len(_END))
    except _ODD:
        return False
    file.seek(end)
    return plain == _END and not file.read(1)


def _packed(plain: bytes | bytearray) -> bytes:
    return lzma.compress(plain, check=lzma.CHECK_CRC64, preset=6)


def _unpacked(file: BinaryIO, at: int, most: int) -> tuple[bytearray, int]:
    """One stream of at most so many bytes, and where it ends; whatever it claims, no more than these are held.

    Raises:
        ValueError: it is cut, or larger.
        LZMAError: it is no stream, or damaged, or wants more memory than any that is written here.
    """
    file.seek(at)
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    plain = bytearray()
    while not stream.eof:
        piece = file.read(_PIECE) if stream.needs_input else b""
        if stream.needs_input and not piece:
            raise ValueError("it is cut")
        plain += stream.decompress(piece, most + 1 - len(plain))
        if len(plain) > most:
            raise ValueError("a part of it is larger than it should be")
    return plain, file.tell() - len(stream.unused_data)


def _member(name: str, content: bytes) -> bytes:
    return _head(name, len(content)) + content + bytes(_filled(len(content)) - len(content))


def _head(name: str, size: int) -> bytes:
    """The block before a file in an archive: of nobody, at no time."""
    about = tarfile.TarInfo(name)
    about.size, about.mode = size, 0o644
    return about.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def _filled(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
