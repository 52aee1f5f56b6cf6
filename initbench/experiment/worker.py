"""The process that trains, of which :mod:`initbench.experiment.process` is the other end.

What can end a process or never end it, someone else's law or module or too little memory, happens here and nowhere
else. It lives as long as its stdin is open: commands come from there, answers go to what was its stdout. What users'
code prints goes to stderr.

On Linux it trains in a fork of itself, and forks again where that has ended: then nobody waits for torch twice.
"""

import contextlib
import ctypes
import logging
import os
import queue
import select
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from initbench.errors import STOPS
from initbench.experiment import messages
from initbench.experiment.messages import Answer, Command

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do what is asked until nobody asks any more."""
    # The coordinator alone decides when to stop.
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    # They were blocked, so that none could come before.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    if sys.argv[1:] == ["with-parent"]:
        die_with_parent()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    # A second, with torch; those that are forked from here have it.
    from initbench.experiment import session  # noqa: F401

    if sys.platform != "linux":
        _serve(answers)
    # The libraries that have threads by now are made for it.
    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
    while _asked():
        child = os.fork()
        if not child:
            die_with_parent()
            _serve(answers)
        _, status = os.waitpid(child, 0)
        Channel(answers).send(messages.Ended(os.waitstatus_to_exitcode(status)))


def _asked() -> bool:
    """Wait for a command; whether one will come."""
    ready = select.poll()
    ready.register(sys.stdin.fileno(), select.POLLIN)
    return any(event & select.POLLIN for _, event in ready.poll())


def _serve(answers: BinaryIO) -> NoReturn:
    from initbench.experiment.session import serve

    channel = Channel(answers)
    logging.getLogger("initbench").addHandler(_Forwarded(channel))
    serve(_Commands(), channel.send)
    os._exit(0)


def die_with_parent() -> None:
    """Even a module that lets no other thread of Python run ends with its parent, where a system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Commands:
    """The commands, read by a thread that ends the process at the end of stdin, whatever it is doing."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for line in sys.stdin.buffer:
                self._queue.put(messages.command(line))
        os._exit(0)

    def __iter__(self) -> Iterator[Command]:
        while not isinstance(command := self._queue.get(), messages.Leave):
            yield command


class Channel:
    """Where answers go; from any thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lock = file, threading.Lock()

    def send(self, answer: Answer) -> None:
        """One line, whole; if nobody reads it any more there is nothing left to do."""
        with self._lock:
            try:
                self._file.write(messages.encode(answer) + b"\n")
                self._file.flush()
            except OSError:
                os._exit(0)


class _Forwarded(logging.Handler):
    """What the library logs here is logged by the coordinator, as its user wants it."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        self._channel.send(messages.Log(record.name, record.levelno, text.encode("utf-8", "replace").decode()))


if __name__ == "__main__":
    main()
