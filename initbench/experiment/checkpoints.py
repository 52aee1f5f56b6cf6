"""Checkpoints of trials that take long, in ``<results>/<name>/checkpoints``, so that a kill costs at most a minute.

A file is one line of JSON, which says of what it is the state and where it was computed, and then the bytes of the
arrays. Nothing of it is trusted: it is taken if it is, byte for byte, what would be written here for these trials, and
if its hash is right. The folder may be deleted at any time.
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from initbench.engine.checkpoints import Checkpoints, State
from initbench.engine.job import Ints
from initbench.files import write

_log = logging.getLogger(__name__)

_FORMAT = 1
# Between two checkpoints of a network: half of what a kill may cost.
SECONDS = 30.0


class Files(Checkpoints):
    """The checkpoints of one chunk. The clock decides when one is written, and nothing else."""

    # Where writing is slow, what lies between two checkpoints is so many times as long.
    share = 10

    def __init__(
        self, folder: Path, keys: Sequence[str], computed: Mapping[str, Any], seconds: float = SECONDS
    ) -> None:
        """The files in a folder, which need not exist.

        Args:
            folder: for checkpoints alone.
            keys: of the trials, by their numbers in the job.
            computed: by what the numbers are computed: all that may change their bits, as plain JSON values.
            seconds: between two checkpoints of a network.
        """
        self._folder, self._keys, self._computed, self._seconds = folder, keys, computed, seconds
        self._began = time.monotonic()
        # Of every network or stack by its first trial: when to write next.
        self._next: dict[int, float] = {}

    def find(self, trials: Ints, state: Callable[[], State | None]) -> State | None:
        """The state that is in the file of these trials; what is there and is no such state is removed."""
        self._next[int(trials[0])] = time.monotonic() + self._seconds
        path, about = self._of(trials)
        if not os.path.lexists(path):
            return None
        like = state()
        try:
            found = None if like is None else _read(path, about, like)
        except (OSError, MemoryError) as error:
            _log.info("cannot read %s: %s", path, error)
            found = None
        if found is None:
            _log.info("%s is no checkpoint of these trials", path)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        _log.info("goes on from %s", path)
        return found

    def offer(self, trials: Ints, state: Callable[[], State | None], finished: bool = False) -> None:
        """Write the state if it is time.

        One that is finished is written too where the chunk, and so its record, takes long. A disk that is full costs
        the checkpoint, and not the training.
        """
        now, first = time.monotonic(), int(trials[0])
        if now < (self._began + self._seconds if finished else self._next[first]):
            return
        path, about = self._of(trials)
        arrays = state()
        if arrays is not None:
            try:
                _write(path, about, arrays)
                _log.info("wrote %s", path)
            except OSError as error:
                _log.info("cannot write %s: %s", path, error)
        done = time.monotonic()
        self._next[first] = done + max(self._seconds, self.share * (done - now))

    def _of(self, trials: Ints) -> tuple[Path, dict[str, Any]]:
        """The file of these trials, and what its first line begins with."""
        about = {"format": _FORMAT, "trials": [self._keys[trial] for trial in trials], **self._computed}
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
        return self._folder / f"{about['trials'][0]}-{digest}.state", about


def sweep(records: Path, keys: Callable[[], Collection[str]]) -> None:
    """Remove what is left of trials that have their records.

    Args:
        records: the records folder that the checkpoints belong to.
        keys: gives those of the trials; not called where there are no checkpoints.
    """
    with contextlib.suppress(OSError):
        there = list(folder_of(records).iterdir())
        done = keys() if there else ()
        for entry in there:
            if entry.name.lstrip(".").partition("-")[0] in done:
                with contextlib.suppress(OSError):
                    entry.unlink()
        # Fails where others are still at work.
        folder_of(records).rmdir()


def folder_of(records: Path) -> Path:
    """The folder for the checkpoints of trials whose records go into this one."""
    return records.with_name("checkpoints")


def _write(path: Path, about: Mapping[str, Any], state: State) -> None:
    """Durably, whole or not at all."""
    parts = [np.ascontiguousarray(values).reshape(-1).view(np.uint8).data for values in state.values()]
    digest = hashlib.blake2b()
    for part in parts:
        digest.update(part)

    def content(file: BinaryIO) -> None:
        file.write(_first_line(about, state, digest.hexdigest()))
        for part in parts:
            file.write(part)

    write(path, content)


def _read(path: Path, about: Mapping[str, Any], like: State) -> State | None:
    """The arrays, named and shaped as those of ``like``; None if the file is not what :func:`_write` wrote for them.

    Raises:
        OSError: it cannot be read.
    """
    sizes = [values.nbytes for values in like.values()]
    length = len(_first_line(about, like, hashlib.blake2b().hexdigest()))
    # Whatever else may go by its name: a link, a pipe that nobody writes into, a device without an end.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        there = os.fstat(file.fileno())
        if not stat.S_ISREG(there.st_mode) or there.st_size != length + sum(sizes):
            return None
        first, content = file.read(length), bytearray(sum(sizes))
        if file.readinto(content) != len(content):
            return None
    if first != _first_line(about, like, hashlib.blake2b(content).hexdigest()):
        return None
    state, start = {}, 0
    for (name, values), size in zip(like.items(), sizes, strict=True):
        part = memoryview(content)[start : start + size]
        state[name] = np.frombuffer(part, values.dtype).reshape(values.shape)
        start += size
    return state


def _first_line(about: Mapping[str, Any], state: State, digest: str) -> bytes:
    arrays = {name: [values.dtype.str, *values.shape] for name, values in state.items()}
    return f"{json.dumps({**about, 'arrays': arrays, 'blake2b': digest})}\n".encode()
