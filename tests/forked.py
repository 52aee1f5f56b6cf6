"""``initbench.run`` in processes forked from one that has all imported and compiled: a run takes a second, not ten.

The code is what runs elsewhere, down to the pipes between a run and its worker.
"""

import atexit
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from exiting import Exit
from killing import fork

import initbench
from initbench.engine.checkpoints import NONE
from initbench.experiment import chunks, process, train, worker
from initbench.experiment.plan import plan
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.request import request


def warm(overrides: Sequence[str]) -> None:
    """Train a sweep in this process and keep nothing: then those that are forked from it need not load what it has."""
    catalogue = Catalogue.of()
    for chunk in chunks.chunks(plan(request(compose(overrides, catalogue), catalogue), {}).todo, torch.device("cpu")):
        train.train(chunk, torch.device("cpu"), lambda steps: None, lambda keys, computed: NONE)


def start(overrides: Sequence[str], log: Path, run: Exit | None = None, worker: Exit | None = None) -> int:
    """Run a sweep in a child process, whose output and log are appended to a file; it or its worker may be armed."""

    def task() -> None:
        nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        _streams([nothing, output, output])
        _Subprocess.armed = worker
        if run:
            run.arm()
        logging.basicConfig(level=logging.INFO)
        initbench.run(*overrides)
        # As it ends where it has its own program.
        atexit._run_exitfuncs()

    return fork(task)


class _Forked:
    """A worker for its coordinator, as ``subprocess.Popen`` starts one."""

    def __init__(self, command: Sequence[str], **pipes: Any) -> None:
        ours, theirs = zip(os.pipe()[::-1], os.pipe(), os.pipe(), strict=True)
        arguments = command[command.index("initbench.experiment.worker") :]
        self.returncode: int | None = None
        self.pid = fork(lambda: _serve(theirs, arguments))
        for end in theirs:
            os.close(end)
        self.stdin, self.stdout, self.stderr = (
            os.fdopen(end, mode) for end, mode in zip(ours, ("wb", "rb", "rb"), strict=True)
        )

    def poll(self) -> int | None:
        if self.returncode is None:
            child, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if child else None
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.005)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, 9)


def _serve(pipes: Sequence[int], arguments: Sequence[str]) -> None:
    _streams(pipes)
    # The coordinator's.
    logging.getLogger().handlers.clear()
    sys.argv = list(arguments)
    if _Subprocess.armed:
        _Subprocess.armed.arm()
    worker.main()


def _streams(files: Sequence[int]) -> None:
    """stdin, stdout and stderr as of a new program, in which nothing else is open."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 1024)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))


class _Subprocess:
    """The module ``subprocess`` for :mod:`initbench.experiment.process`."""

    armed: Exit | None = None
    Popen = _Forked
    PIPE, TimeoutExpired = subprocess.PIPE, subprocess.TimeoutExpired


process.subprocess = _Subprocess  # type: ignore[assignment]
