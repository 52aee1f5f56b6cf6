"""A file system with the faults of network file systems, by FUSE: a folder as one of several machines sees it.

Run as a script, ``python tests/faulty.py FOLDER MOUNTPOINT SECONDS SKEW``: what others made in the folder is seen at
the mount point so many seconds late; its clock is so many seconds ahead; hard links are refused; and a lock is known to
nobody who uses another mount point.
"""

import errno
import os
import sys
import time
from typing import Any

import mfusepy

# On what was made: where, and when.
_MADE = "user.made"


class Faulty(mfusepy.Operations):
    """All else is as in the folder."""

    use_ns = True

    def __init__(self, folder: str, name: str, seconds: float, skew: float) -> None:
        self._folder, self._name, self._seconds, self._skew = folder, name.encode(), seconds, skew

    def _seen(self, path: str) -> str:
        """Where it is, if it is there yet."""
        there = self._folder + path
        if path != "/":
            where, when = os.getxattr(there, _MADE).split()
            if where != self._name and time.time() - float(when) < self._seconds:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return there

    def _made(self, there: int | str) -> None:
        os.setxattr(there, _MADE, self._name + f" {time.time()}".encode())

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = os.lstat(self._seen(path)) if fh is None else os.fstat(fh)
        skew = int(self._skew * 1e9)
        times = {f"st_{kind}time": getattr(status, f"st_{kind}time_ns") + skew for kind in "acm"}
        others = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
        return times | {name: getattr(status, name) for name in others}

    def readdir(self, path: str, fh: int) -> Any:
        yield from (".", "..")
        for name in os.listdir(self._seen(path)):
            try:
                self._seen(f"{path.rstrip('/')}/{name}")
            except OSError:
                continue
            yield name

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        file = os.open(self._folder + path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self._made(file)
        return file

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._folder + path, mode)
        self._made(self._folder + path)
        return 0

    def open(self, path: str, flags: int) -> int:
        return os.open(self._seen(path), flags & ~os.O_CREAT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._seen(path) if fh is None else fh, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def link(self, target: str, source: str) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def rename(self, old: str, new: str) -> int:
        os.rename(self._seen(old), self._folder + new)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._seen(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._seen(path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._seen(path), mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._seen(path), ns=times)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._folder)
        return {name: getattr(found, name) for name in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail")}


if __name__ == "__main__":
    folder, point, late, ahead = sys.argv[1:]
    as_it_is = {"entry_timeout": 0, "attr_timeout": 0, "negative_timeout": 0}
    mfusepy.FUSE(Faulty(folder, point, float(late), float(ahead)), point, foreground=True, nothreads=False, **as_it_is)
