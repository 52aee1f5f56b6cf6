"""Files of reports and figures: written whole, or not at all."""

import contextlib
import os
import shutil
import uuid
from pathlib import Path


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
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
