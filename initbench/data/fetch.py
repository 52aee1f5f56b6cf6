"""Files from the network: within limits of time and size, and only with the content that is expected."""

import contextlib
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.request import Request, urlopen

from initbench import files
from initbench.version import __version__

# Seconds in which a server must connect, and go on sending.
_PATIENCE = 30.0
# The slowest that is worth waiting for, in bytes per second on average.
_SLOWEST = 2**13
# CIFAR-10 has 170 million.
_MOST_BYTES = 2**28
_BLOCK = 2**18
# Where older releases downloaded to.
_OLDER = re.compile(r"\.download-[a-z0-9_]{8}")
_SECONDS_LEFT_ALONE = 3600


class FetchError(Exception):
    """Why a file could not be had from any of its addresses, in a few words."""


def md5_of(content: bytes) -> str:
    """The sum by which published data sets are known. It finds damage; that nobody forged a file rests on HTTPS."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def fetch(urls: Sequence[str], md5: str) -> bytes:
    """The content of a published file, from the first address that gives it. Nothing is written.

    Raises:
        FetchError: every address failed, was too slow or too large, or gave something else.
    """
    reasons = []
    for url in urls:
        try:
            content = _content(url)
            if md5_of(content) == md5:
                return content
            reasons.append(f"{url} gave {len(content):,} bytes with the wrong checksum")
        except (OSError, HTTPException, ValueError) as error:
            reasons.append(f"{url}: {' '.join(str(error).split())[:150] or type(error).__name__}")
    raise FetchError("; ".join(reasons))


def _content(url: str) -> bytes:
    # Not through logging: whoever waits for 170 megabytes wants to know. Nor is anybody told on a closed stream.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"initbench: downloading {url}", file=sys.stderr, flush=True)
    started = time.monotonic()
    content = bytearray()
    request = Request(url, headers={"User-Agent": f"initbench/{__version__}"})
    response: HTTPResponse
    with urlopen(request, timeout=_PATIENCE) as response:
        expected = response.length
        if (expected or 0) > _MOST_BYTES:
            raise OSError(f"{expected:,} bytes are too many")
        # At most one call of the system each, so that a server that drips is noticed.
        while block := response.read1(_BLOCK):
            content += block
            if len(content) > _MOST_BYTES:
                raise OSError(f"more than {_MOST_BYTES:,} bytes are too many")
            if time.monotonic() - started > _PATIENCE + len(content) / _SLOWEST:
                raise OSError(f"too slow: {len(content):,} bytes after {time.monotonic() - started:.0f} s")
    if expected is not None and len(content) < expected:
        raise OSError(f"ended after {len(content):,} of {expected:,} bytes")
    return bytes(content)


def store(path: Path, content: bytes) -> None:
    """Write a file durably and at once: it has its old content, or none, until it has all of the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content)


def sweep(folder: Path) -> None:
    """Remove what killed downloads left in a folder; those of older releases, which held no lock, after an hour."""
    files.sweep([folder])
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if _OLDER.fullmatch(entry.name) and time.time() - entry.lstat().st_mtime > _SECONDS_LEFT_ALONE:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
