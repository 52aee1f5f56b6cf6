"""Signals that stop a command, whatever it is doing: it says so in one line, and exits as shells have it."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from initbench.errors import STOPS, Stopped

# A signal that follows the last within these seconds asks for the same stop.
_SAME = 2.0
_last = -_SAME


def heed() -> None:
    """From now on a signal raises :class:`Stopped`; but whoever starts a command with ``nohup`` means that."""
    for number in STOPS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    global _last
    now = time.monotonic()
    # Nobody who is impatient may interrupt the stopping; but a stop that some library swallowed can be asked for again.
    if now - _last >= _SAME:
        _last = now
        raise Stopped(number)


def stopped_line(stopped: Stopped) -> str:
    """What to tell of a stop; from now on signals change nothing."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    return "stopped; finished chunks are kept, the same command resumes" if stopped.resumable else "stopped"


@contextmanager
def resumable() -> Iterator[None]:
    """What is stopped in it, the same command goes on with."""
    try:
        yield
    except Stopped as stopped:
        stopped.resumable = True
        raise
