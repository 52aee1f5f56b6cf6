"""Files of reports and figures: written whole, or not at all."""

import errno
import os
import stat
from pathlib import Path

from initbench.files import write


def replace_file(path: Path, content: bytes) -> None:
    """Write a file; the old one stays as it is until the new one is complete and on the disk.

    What is no file, such as ``/dev/stdout`` or a pipe, is written to as it is; a link leads to the file that is
    replaced.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    write(target, content, mode=stat.S_IMODE(target.stat().st_mode) if target.exists() else None)
