"""A worker as its coordinator sees it: a process that is told what to do, watched, and stopped. Needs no torch."""

import atexit
import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec

from initbench.errors import STOPS, InputError, StorageError
from initbench.experiment import messages
from initbench.experiment.messages import Answer, Command, Ended, Error, Leave, Log
from initbench.processors import THREADS

# How long a worker may take to end when it is told to, and how often it is looked at.
_GRACE = 1.0
_GLANCE = 0.25
# Read anew whenever they are needed. A worker that was started with other values of others is of no use.
_FOLLOWED = ("XDG_CACHE_HOME", "HOME", "COLUMNS", "PYTEST_CURRENT_TEST", THREADS)


class Died(Exception):
    """A worker has ended, or was ended, before it was done.

    Attributes:
        reason: in one line.
        from_outside: whether someone else may have done it, as the system does when memory runs out.
    """

    def __init__(self, reason: str, from_outside: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.from_outside = reason, from_outside


class Trace(Exception):
    """The traceback of an error in a worker, as text."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


ERRORS: dict[messages.Kind, type[Exception]] = {
    "input": InputError,
    "storage": StorageError,
    "memory": MemoryError,
    "internal": RuntimeError,
}


class Worker:
    """A process that trains, :mod:`initbench.experiment.worker`."""

    def __init__(self) -> None:
        self._around = _around()
        # Whoever starts it and ends is taken for its coordinator by the system; a thread may end before us.
        with_us = ["with-parent"] if threading.current_thread() is threading.main_thread() else []
        command = [sys.executable, "-P", "-m", "initbench.experiment.worker", *with_us]
        pipe = subprocess.PIPE
        # Born with them blocked, no signal can hit it before it is deaf to them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            environment = {**os.environ, "PYTHONPATH": search_path()}
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._commands, self._answers, self._prints = self._process.stdin, self._process.stdout, self._process.stderr
        self._open = selectors.DefaultSelector()
        self._open.register(self._answers, selectors.EVENT_READ)
        self._open.register(self._prints, selectors.EVENT_READ)
        self._lines: list[bytes] = []
        self._stopped = False
        self._begun = {self._answers: b"", self._prints: b""}

    @property
    def usable(self) -> bool:
        """Whether it lives, and is as one would be that is started now."""
        return not self._stopped and self._process.poll() is None and self._around == _around()

    def send(self, command: Command) -> None:
        """Tell it what to do. If it has died, :meth:`receive` says so."""
        with contextlib.suppress(BrokenPipeError):
            self._commands.write(messages.encode(command) + b"\n")
            self._commands.flush()

    def receive(self, limit: float | None = None) -> Answer:
        """Its next answer; what it logs is logged, and what users' code prints is on stderr, meanwhile.

        Args:
            limit: seconds without an answer after which it is ended.

        Raises:
            Died: it has ended, or was ended.
            InputError: something cannot be done, and it is no trial's fault.
            StorageError: records cannot be written.
            MemoryError: there is too little of it, and it is no trial's fault.
        """
        while True:
            while not self._lines:
                self._listen(limit)
            try:
                found: Answer = messages.answer(self._lines.pop(0))
            except msgspec.DecodeError as error:
                self.stop()
                raise Died("it wrote into the pipe that answers come from") from error
            if isinstance(found, Log):
                logging.getLogger(found.name).log(found.level, "%s", found.text)
            elif isinstance(found, Ended):
                raise died(found.code)
            elif isinstance(found, Error):
                raise ERRORS[found.kind](found.message) from Trace(found.trace)
            else:
                return found

    def _listen(self, limit: float | None) -> None:
        """Wait until there is an answer."""
        silent = 0.0
        while not self._lines:
            before = time.monotonic()
            events = self._open.select(_GLANCE)
            # When all of us were stopped meanwhile (Ctrl-Z), that is no silence.
            silent += min(time.monotonic() - before, 2 * _GLANCE)
            for key, _ in events:
                self._read(key.fileobj)
            # A process that was started by users' code may keep the pipes open for longer.
            if self._answers not in self._open.get_map() or (not events and self._process.poll() is not None):
                raise self._ended()
            if limit is not None and silent >= limit and not self._lines:
                self.stop()
                raise Died(f"no step for {limit:g} s")

    def _read(self, pipe: Any) -> None:
        data = os.read(pipe.fileno(), 2**16)
        if not data:
            self._open.unregister(pipe)
        *lines, self._begun[pipe] = (self._begun[pipe] + data).split(b"\n")
        if pipe is self._answers:
            self._lines += lines
        # Where stderr cannot be written nobody is told; the work goes on.
        elif lines and sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write("".join(f"{line.decode(errors='replace')}\n" for line in lines))

    def _ended(self) -> Died:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        by_itself = self._process.poll()
        self.stop()
        return Died("it closed the pipe that answers come from") if by_itself is None else died(by_itself)

    def renew(self) -> None:
        """From now on it is as if nothing had been done with it."""
        self.send(Leave())
        with contextlib.suppress(Died):
            while True:
                self.receive(_GRACE)

    def stop(self) -> None:
        """End it, whatever it is doing; it has a moment to finish what it writes."""
        if self._stopped:
            return
        self._stopped = True
        try:
            with contextlib.suppress(OSError):
                self._commands.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        finally:
            self._process.kill()
            self._process.wait()
            # What was printed last, as the interpreter's own words about a crash.
            while self._prints in self._open.get_map() and self._open.select(0):
                for key, _ in self._open.select(0):
                    self._read(key.fileobj)
            self._open.close()
            self._answers.close()
            self._prints.close()

    def end(self) -> None:
        """End it at once, from another thread than the one that it answers to."""
        self._process.kill()

    def forget(self) -> None:
        """In a process that was forked from the one whose worker it is."""
        self._stopped, self._process.returncode = True, 0


def died(code: int) -> Died:
    """How a process has ended, by its exit code; less than 0: by that signal."""
    if code >= 0:
        return Died(f"exited with code {code}")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    killed = -code == signal.SIGKILL
    why = ", as the system does when memory runs out" if killed else ""
    return Died(f"killed by signal {name}{why}", from_outside=killed)


def search_path() -> str:
    """With which a process finds what we find, and nothing that only happens to lie in the folder where it starts."""
    return os.pathsep.join(entry or os.fsdecode(folder()) for entry in sys.path)


def folder() -> bytes:
    """Where we are; empty where that is no place any more."""
    try:
        return os.getcwdb()
    except OSError:
        return b""


def followed() -> dict[str, bytes | None]:
    """The variables that a worker takes from its coordinator whenever it begins to work for it."""
    return {name: os.environb.get(name.encode()) for name in _FOLLOWED}


def _around() -> Any:
    """What a worker is given when it starts, and keeps."""
    variables = {name: value for name, value in os.environ.items() if name not in _FOLLOWED}
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return variables, processors, list(sys.path)


# Starting one takes a second or two, so one of the last request waits for the next.
_idle: list[Worker] = []


def take() -> Worker:
    """A worker that waits for something to do, or a new one."""
    while _idle:
        worker = _idle.pop()
        if worker.usable:
            return worker
        worker.stop()
    return Worker()


def start(number: int = 1) -> None:
    """Let workers start, so that :func:`take` need not wait for them as long."""
    _idle[:] = [take() for _ in range(number)]


def give_back(worker: Worker) -> None:
    """Keep a worker for :func:`take`, one at most."""
    if _idle or not worker.usable:
        worker.stop()
    else:
        _idle.append(worker)


@atexit.register
def _stop_all() -> None:
    while _idle:
        _idle.pop().stop()


def _forget_all() -> None:
    while _idle:
        _idle.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
