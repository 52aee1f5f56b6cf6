"""Files that are written whole or not at all: under a temporary name first, then published; and what kills leave.

A temporary file of a live process is locked (``flock``) by it, so that the next run can tell it from one that a killed
process left. Nothing depends on the lock: who finds a temporary file gone writes it again.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

# How often a file is written again whose temporary one somebody removed.
_ATTEMPTS = 5
_TEMPORARY = re.compile(r"(^|\.)[0-9a-f]{32}\.tmp$")
# What file systems answer that have no hard links, or none here.
_NO_LINKS = (
    *(errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK),
    *(errno.EXDEV, errno.EINVAL, errno.EACCES),
)


def write(
    target: Path,
    content: bytes | Callable[[BinaryIO], None],
    durable: bool = True,
    keep: Callable[[Path], bool] | None = None,
) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile.

    Args:
        target: the file; its folder is made.
        content: what it holds, or who writes that.
        durable: whether it outlasts a power cut that comes after this; else it may be gone, or be empty.
        keep: says whether what has the name already is to stay; if not, it is set aside. None: it is replaced.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    make_folder(target.parent, durable)
    for attempt in range(_ATTEMPTS):
        try:
            _write_once(target, content, durable, keep)
            break
        except FileNotFoundError:
            # Somebody took it for a leftover: on a network file system, or before it was locked.
            if attempt == _ATTEMPTS - 1 or not target.parent.is_dir():
                raise
    if durable:
        _sync_folder(target.parent)


def _write_once(
    target: Path, content: bytes | Callable[[BinaryIO], None], durable: bool, keep: Callable[[Path], bool] | None
) -> None:
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            if keep is None:
                os.replace(temporary, target)
            else:
                _link(temporary, target, keep)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _link(temporary: Path, target: Path, keep: Callable[[Path], bool]) -> None:
    """Give the file its final name without ever replacing one."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        if not keep(target):
            _set_aside(target)
            _link(temporary, target, lambda path: True)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            if keep(target):
                return
            _set_aside(target)
        # Between this and the look, another process may have finished the same file: one of the two stays.
        os.replace(temporary, target)


def _set_aside(path: Path) -> None:
    """Out of the way, and kept: it may be somebody's."""
    aside = path.with_name(f"{path.name}.damaged")
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, aside if not os.path.lexists(aside) else aside.with_stem(f"{path.name}.{uuid.uuid4().hex}"))


def make_folder(folder: Path, durable: bool = True) -> None:
    """A folder with those it lies in, where they are not there.

    Raises:
        OSError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if durable:
        for path in missing:
            _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(folders: Iterable[Path]) -> Iterator[Path]:
    """The temporary files in some folders that no live process of this machine is writing."""
    for path in _temporary(folders):
        with _abandoned(path) as abandoned:
            if abandoned:
                yield path


def sweep(folders: Iterable[Path]) -> int:
    """Remove them; what cannot be removed stays. Returns how many there were."""
    swept = 0
    for path in _temporary(folders):
        with _abandoned(path) as abandoned, contextlib.suppress(OSError):
            if abandoned:
                path.unlink()
                swept += 1
    return swept


def _temporary(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            yield from [Path(entry.path) for entry in entries if _TEMPORARY.search(entry.name)]


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Whether a temporary file is locked by nobody; meanwhile it is by us. Unknown is no."""
    try:
        if kind(path.lstat()) != "file":
            raise OSError
        # For writing, without which a network file system grants no lock.
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free
    finally:
        os.close(descriptor)


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def kind(status: os.stat_result) -> str:
    """What a name stands for: only a file may be opened, as a pipe waits for its writer and a device never ends."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "thing of another kind")
