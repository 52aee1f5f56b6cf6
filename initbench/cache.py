"""Where things are kept that can be made again; of them only what nobody else can have written is believed."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from initbench import files


def cache_folder() -> Path:
    """The user's folder for them, which may be deleted at any time: ``$XDG_CACHE_HOME/initbench``, in ``~/.cache``."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "initbench"
    except RuntimeError:
        # For a user without a home nothing is kept: this folder cannot be made.
        return Path(os.devnull) / "initbench"


def is_private(folder: Path) -> bool:
    """Whether a folder, which is made if there is none, is this user's, and nobody else may write in it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_ours(status) and os.access(folder, os.W_OK)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file of the cache, to be read.

    Raises:
        OSError: there is none, or none that only this user may write.
    """
    with open(path, "rb") as file:
        if not _is_ours(os.fstat(file.fileno())):
            raise PermissionError(f"{path} may be another user's work")
        yield file


def write(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file of the cache: whole or not at all, and for this user alone.

    Raises:
        OSError: it cannot be written.
    """
    files.write(path, content, durable=False, mode=0o600)


def _is_ours(status: os.stat_result) -> bool:
    """Whether it is this user's, and nobody else may write it. Windows keeps others out of a profile by itself."""
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)
