"""Record files into a pack and out of it again; nothing is removed before what takes its place was read back."""

import hashlib
import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from initbench.errors import InputError, StorageError
from initbench.files import sweep, write
from initbench.records import store
from initbench.records.entries import Damaged, Unusable, stamp
from initbench.records.packed import PACKED, is_name, read_pack, write_pack
from initbench.records.schema import TrialRecord

Say = Callable[[str], object]


@dataclass(frozen=True)
class Packed:
    """What was done.

    Attributes:
        path: the pack that was written, or unpacked.
        names: of the files in it.
        plain: bytes of these files.
        packed: bytes of the pack.
        stay: a line for everything that is left as it was, since it is damaged or would take another's place.
    """

    path: Path
    names: tuple[str, ...]
    plain: int
    packed: int
    stay: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A record file: what it lies in (itself, or a pack), the hash of its bytes, how many these and its trials are."""

    path: Path
    sha256: bytes
    size: int
    trials: int


def pack(folder: str | Path, out: str | Path | None = None) -> list[Packed]:
    """Pack the record files of each folder of records below a folder, together with packs that are there, into one.

    The pack takes their place: it is written and synced, read back and compared, and only then are they removed. Its
    name follows from what it holds. Whatever interrupts this, the same call again finishes it. Not to be called while
    a run trains into the folder: it would train some trials once more.

    Args:
        folder: a results, experiment or ``records`` folder.
        out: where the pack of the only folder of records is written to instead; then nothing is removed.

    Returns:
        What was done, of each folder that has records.

    Raises:
        InputError: there are no records, or there is more than one folder of them for ``out``.
        StorageError: a folder or file cannot be read or written, or is not read back as it was written.
    """
    folder, out = Path(folder), None if out is None else Path(out)
    found = _by_folder(folder)
    if out is not None:
        if not out.name.endswith(PACKED):
            raise InputError(f"a pack is called NAME{PACKED}, and this is {out}")
        if len(found) > 1:
            raise InputError(f"{folder} has several folders of records: {', '.join(map(str, found))}; give one of them")
    else:
        sweep(found)
    return [_pack(place, paths, out) for place, paths in found.items()]


def unpack(path: str | Path, out: str | Path | None = None) -> list[Packed]:
    """Write the files of packs again, byte for byte.

    They take the place of their pack, which is removed after all of them were read back; if it is damaged, it stays.

    Args:
        path: a pack, or a results, experiment or ``records`` folder with packs.
        out: a folder to write to instead; then nothing is removed.

    Returns:
        What was done for each pack.

    Raises:
        InputError: there is no pack, or another file has the name of one of its files; then nothing is written.
        StorageError: something cannot be read or written, or is not read back as it was written.
    """
    path, out = Path(path), None if out is None else Path(out)
    packs = [each for paths in _by_folder(path).values() for each in paths if each.name.endswith(PACKED)]
    if not packs:
        raise InputError(f"there is no pack in {path}; 'initbench pack' makes one")
    return [_unpack(each, out or each.parent, removing=out is None) for each in packs]


def _by_folder(folder: Path) -> dict[Path, list[Path]]:
    if not folder.exists():
        raise InputError(f"there is no {folder}")
    found: dict[Path, list[Path]] = {}
    for path in store.files([folder]):
        found.setdefault(path.parent, []).append(path)
    if not found:
        raise InputError(f"no records in {folder}")
    return found


def _pack(folder: Path, paths: Sequence[Path], out: Path | None) -> Packed:
    files, whole, stay = _gathered(paths)
    if not files:
        raise InputError(f"nothing in {folder} can be packed: {stay[0]}")
    # Like a chunk, a pack goes by what it holds: two that have the same name are the same.
    listed = b"".join(b"%b %b\n" % (name.encode(), file.sha256) for name, file in files.items())
    target = out or folder / f"{hashlib.blake2b(listed, digest_size=16).hexdigest()}{PACKED}"
    try:
        if os.path.lexists(target) and not _holds(target, files):
            if out:
                raise InputError(f"{out} is there already, and holds something else")
            os.replace(target, target.with_name(f"{target.name}.damaged"))
        if not os.path.lexists(target):
            write(target, lambda file: write_pack(file, _contents(files)))
        if not _holds(target, files):
            raise StorageError(f"{target} was not read back as it was written; nothing else was changed")
        if out is None:
            for path, before in whole.items():
                # Since it was read, another may have taken its place.
                if path != target and stamp(path) == before:
                    path.unlink()
    except (OSError, Unusable) as error:
        raise StorageError(f"cannot pack {folder}: {getattr(error, 'strerror', None) or error}") from error
    sizes = sum(file.size for file in files.values())
    return Packed(target, tuple(files), sizes, target.stat().st_size, tuple(stay))


def _gathered(paths: Sequence[Path]) -> tuple[dict[str, _File], dict[Path, str], list[str]]:
    """The record files that can be packed, by name; what will then be packed whole, with its stamp; what stays."""
    files: dict[str, _File] = {}
    whole: dict[Path, str] = {}
    stay: list[str] = []
    # What is in a pack already comes first.
    for path in sorted(paths, key=lambda path: (not path.name.endswith(PACKED), path)):
        odd: list[str] = []
        its: dict[str, _File] = {}
        try:
            before = stamp(path)
            for name, content in _read(path, odd):
                _, lines = store.parsed(path if path.name == name else path / name, content)
                trials = sum(isinstance(line, TrialRecord) for line in lines)
                its[name] = _File(path, hashlib.sha256(content).digest(), len(content), trials)
        except Unusable as error:
            odd.append(str(error))
        odd += [f"{path} stays: a file may not be called so in a pack" for name in its if not is_name(name)]
        odd += [
            f"{path} stays: another {name} is in a pack"
            for name, file in its.items()
            if name in files and files[name].sha256 != file.sha256
        ]
        if odd:
            stay.append(odd[0])
        else:
            whole[path] = before
            files = {**its, **files}
    return dict(sorted(files.items())), whole, stay


def _read(path: Path, odd: list[str]) -> Iterator[tuple[str, bytes]]:
    """A record file, or the files of a pack."""
    if path.name.endswith(PACKED):
        yield from read_pack(path, lambda unusable: odd.append(str(unusable)))
        return
    try:
        yield path.name, path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def _contents(files: dict[str, _File]) -> Iterator[tuple[str, bytes, int]]:
    """The files in the order of their names, each read again, and held to what it was."""
    packs = {file.path: None for file in files.values() if file.path.name.endswith(PACKED)}
    plain = (_read(file.path, []) for file in files.values() if file.path not in packs)
    sources = [(each for one in plain for each in one), *(_read(path, []) for path in packs)]
    done = set()
    for name, content in heapq.merge(*sources, key=lambda each: each[0]):
        file = files.get(name)
        if file is not None and name not in done:
            if hashlib.sha256(content).digest() != file.sha256:
                raise StorageError(f"{file.path} was changed while it was packed; nothing was removed")
            done.add(name)
            yield name, content, file.trials


def _holds(path: Path, files: dict[str, _File]) -> bool:
    """Whether a pack on disk holds these files, byte for byte, and nothing else."""
    odd: list[str] = []
    left = dict(files)
    for name, content in _read(path, odd):
        file = left.pop(name, None)
        if file is None or hashlib.sha256(content).digest() != file.sha256:
            return False
    return not left and not odd


def _unpack(path: Path, folder: Path, removing: bool) -> Packed:
    odd: list[str] = []
    sizes: dict[str, int] = {}
    sweep([folder])
    try:
        for name, content in _sound(path, odd):
            sizes[name] = len(content)
            if os.path.lexists(folder / name) and not _is(folder / name, content):
                raise InputError(
                    f"another {name} is in {folder}; unpack {path} into an empty folder, with --out FOLDER"
                )
        for name, content in _sound(path, []):
            write(folder / name, content, keep=lambda there, content=content: _is(there, content))  # type: ignore[misc]
        for name, content in _sound(path, []):
            if not _is(folder / name, content):
                raise StorageError(f"{folder / name} was not read back as it was written; nothing was removed")
        size = path.stat().st_size if not odd else 0
        if removing and not odd:
            path.unlink()
    except OSError as error:
        raise StorageError(f"cannot unpack {path}: {error.strerror or error}") from error
    return Packed(path, tuple(sizes), sum(sizes.values()), size, tuple(odd))


def _sound(path: Path, odd: list[str]) -> Iterator[tuple[str, bytes]]:
    """The files of a pack that are what they say, those of a newer format too."""
    for name, content in _read(path, odd):
        try:
            store.parsed(path / name, content)
        except Damaged as error:
            odd.append(str(error))
            continue
        except Unusable:
            pass
        yield name, content


def _is(path: Path, content: bytes) -> bool:
    try:
        stamp(path)
        return path.read_bytes() == content
    except Unusable:
        return False
