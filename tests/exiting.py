"""A process that is killed before, amid or after one of its file operations."""

import builtins
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

# Each changes what is on disk; of ``open`` those that write.
_OPERATIONS = ("open", "mkdir", "link", "replace", "rename", "unlink", "rmdir", "fsync", "ftruncate", "pwrite")
_open, _kill, _close = os.open, os.kill, os.close


@dataclass
class Exit:
    """Where a process ends.

    Attributes:
        folder: operations on files below it count.
        number: of the operation, from 1.
        after: end after it, or before it; a file that is written is then written by half.
        marker: a file that is made when it ends; while it is there, nobody ends.
    """

    folder: Path
    number: int
    after: bool
    marker: Path
    count: int = 0

    def arm(self) -> None:
        """From now on in this process."""
        for name in _OPERATIONS:
            setattr(os, name, self._counted(getattr(os, name)))
        builtins.open = self._opened(builtins.open)  # type: ignore[assignment]

    def step(self, after: bool) -> bool:
        """Whether to end now."""
        self.count += not after
        return self.count == self.number and self.after == after and not self.marker.exists()

    def end(self) -> None:
        _close(_open(self.marker, os.O_CREAT))
        _kill(os.getpid(), signal.SIGKILL)

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(operation)
        def counted(*arguments: Any, **named: Any) -> Any:
            reads = operation is _open and not arguments[1] & os.O_CREAT
            if reads or not any(map(self._is_below, arguments)):
                return operation(*arguments, **named)
            if self.step(after=False):
                self.end()
            try:
                return operation(*arguments, **named)
            finally:
                # One that fails is one too: whether a folder is there is found out so.
                if self.step(after=True):
                    self.end()

        return counted

    def _opened(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            if mode != "xb" or not self._is_below(path):
                return before(path, mode, *arguments, **named)
            return io.BufferedWriter(_Written(path, self))

        return opened

    def _is_below(self, argument: Any) -> bool:
        if isinstance(argument, int):
            try:
                argument = os.readlink(f"/proc/self/fd/{argument}")
            except OSError:
                return False
        return isinstance(argument, str | Path) and Path(argument).absolute().is_relative_to(self.folder)


class _Written(io.FileIO):
    """A new file, of which half may be written."""

    def __init__(self, path: Path, exits: Exit) -> None:
        if exits.step(after=False):
            exits.end()
        super().__init__(path, "x")
        if exits.step(after=True):
            exits.end()
        self._exits = exits

    def write(self, data: Any) -> int:
        if self._exits.step(after=False):
            super().write(bytes(data)[: len(data) // 2])
            self._exits.end()
        written = super().write(data)
        if self._exits.step(after=True):
            self._exits.end()
        return written
