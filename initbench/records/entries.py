"""What lies among the records: whether it is a file that may be opened, what changes with it, why it cannot be used."""

import errno
from pathlib import Path

from initbench.errors import StorageError
from initbench.files import kind
from initbench.printable import printable

# What is larger, initbench did not write: a file of a thousand trials with curves of thousands of epochs.
LARGEST = 512 << 20


class Unusable(ValueError):
    """What lies among the records and cannot be used; the message, in one line, names it and says why."""

    def __init__(self, path: Path, why: str, how: str = "is passed over") -> None:
        super().__init__(printable(f"{path} {how} ({why[:1000]}); its trials count as not done"))


class Damaged(Unusable):
    """A record file that cannot be trusted; the message names it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why, "is damaged")


def stamp(path: Path) -> str:
    """What changes with a file: its size, when it was changed, when its entry was, and which file it is.

    Setting back the time of change changes that of the entry; only a disk that forgets changes nothing.

    Raises:
        Unusable: it is no file.
        StorageError: it cannot be looked at.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        what = "it is a link to nothing" if path.is_symlink() else "it is gone"
        raise Unusable(path, what) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unusable(path, "it is a link to itself") from error
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    what = kind(status)
    if what != "file":
        raise Unusable(path, f"it is a {what}")
    if status.st_size > LARGEST:
        raise Unusable(path, f"it has more than {LARGEST >> 20} MiB")
    return f"{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"
