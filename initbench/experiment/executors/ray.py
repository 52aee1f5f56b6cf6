"""Workers on a Ray cluster: each is an actor, beside a process of ours that trains; chunks go to whoever is free.

The command that is given coordinates. Nothing of the work is kept by Ray: what is done has its records, in a results
folder that all nodes see, and the same command goes on.
"""

import math
import os
import platform
import socket
import threading
import time
from pathlib import Path
from typing import Any

from initbench.errors import InputError, StorageError
from initbench.experiment import messages, process
from initbench.experiment.coordinator import NoPlace
from initbench.experiment.executors import Sweep
from initbench.experiment.executors.local import train_in
from initbench.experiment.executors.member import check, versions
from initbench.experiment.messages import Answer, Command, Done, Error
from initbench.experiment.process import Died

# How long to wait for a place for one more worker, where there are others; and for a file that another node wrote.
_PLACE_SECONDS = 10.0
_SEEN_SECONDS = 30.0


def train(sweep: Sweep) -> None:
    """As :func:`initbench.experiment.executors.train` has it."""
    try:
        import ray
    except ImportError as error:
        raise InputError("executor=ray needs Ray: pip install 'initbench[ray]'") from error
    if sweep.detach:
        raise InputError("--detach is for an executor that goes on without this command: executor=slurm")
    asked = dict(sweep.request.executor.params)
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            _answers(asked["address"] or os.environ.get("RAY_ADDRESS", ""))
            ray.init(asked["address"], log_to_driver=False, logging_level="ERROR", include_dashboard=None)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InputError(f"cannot join Ray: {' '.join(str(error).split())[:200]}") from error
    try:
        there = ray.cluster_resources()
        places = [there.get("CPU", 0) // asked["cpus"]]
        places += [there.get("GPU", 0) // asked["gpus"]] if asked["gpus"] else []
        number = asked["workers"] or max(1, math.floor(min(places)))
        with sweep.sharing:
            sweep.meanwhile()
            train_in(_Workers(sweep), number, asked["cpus"], sweep)
    finally:
        if ours:
            ray.shutdown()


def _answers(address: str) -> None:
    """See that somebody listens there: Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "/" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


class _Workers:
    """As :class:`initbench.experiment.coordinator.Workers`."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep, self._asked = sweep, dict(sweep.request.executor.params)
        self._noted = set[tuple[str, str]]()

    def take(self) -> process.Worker:
        import ray

        host = ray.remote(Host).options(num_cpus=self._asked["cpus"], num_gpus=self._asked["gpus"])
        actor = host.remote(versions(), self._asked["refuse"])
        where = actor.where.remote()
        begun, told = time.monotonic(), False
        while not ray.wait([where], timeout=0.5)[0]:
            if time.monotonic() - begun > _PLACE_SECONDS and not told:
                if threading.current_thread() is not threading.main_thread():
                    ray.kill(actor)
                    raise NoPlace
                told = True
                self._sweep.tell("waiting for Ray to have a place for a worker")
        try:
            node, refused, note = ray.get(where)
        except ray.exceptions.RayError as error:
            raise InputError(f"Ray cannot start a worker: {' '.join(str(error).split())[-300:]}") from error
        if refused:
            ray.kill(actor)
            raise InputError(f"{node}: {refused}")
        if note and (node, note) not in self._noted:
            self._noted.add((node, note))
            self._sweep.tell(f"{node}: {note}")
        return _Far(actor, node)

    def give_back(self, worker: process.Worker) -> None:
        worker.stop()


class Host:
    """The actor: a worker of ours on its node."""

    def __init__(self, there: dict[str, str], refuse: str) -> None:
        self._worker: process.Worker | None = None
        self._refused = self._note = ""
        try:
            self._note = check(there, refuse)
        except InputError as error:
            self._refused = str(error)

    def where(self) -> tuple[str, str, str]:
        """The node's name, why nothing can be trained here, and what is another here than where it is asked."""
        if not self._refused:
            self._worker = process.Worker()
        return platform.node(), self._refused, self._note

    def send(self, command: bytes) -> None:
        """As :meth:`initbench.experiment.process.Worker.send`."""
        assert self._worker is not None
        self._worker.send(messages.command(command))

    def receive(self, limit: float | None) -> bytes | tuple[str, bool]:
        """Its next answer; or why it has died, and whether someone else may have done it."""
        assert self._worker is not None
        try:
            return messages.encode(self._worker.receive(limit))
        except Died as died:
            return died.reason, died.from_outside
        except (InputError, StorageError, MemoryError, RuntimeError) as error:
            (kind,) = (kind for kind, known in process.ERRORS.items() if type(error) is known)
            return messages.encode(Error(kind, str(error), str(error.__cause__ or "")))

    def renew(self) -> None:
        """As :meth:`initbench.experiment.process.Worker.renew`."""
        assert self._worker is not None
        self._worker.renew()


class _Far(process.Worker):
    """A worker on another node, as one here."""

    def __init__(self, actor: Any, node: str) -> None:
        self._actor, self._node, self._stopped = actor, node, False

    @property
    def usable(self) -> bool:
        return not self._stopped

    def send(self, command: Command) -> None:
        # If it has died, the next answer says so.
        self._actor.send.remote(messages.encode(command))

    def receive(self, limit: float | None = None) -> Answer:
        import ray

        try:
            said = ray.get(self._actor.receive.remote(limit))
        except ray.exceptions.RayError as error:
            self.stop()
            raise Died(f"lost with its node or process: {type(error).__name__}", from_outside=True) from error
        if isinstance(said, tuple):
            raise Died(*said)
        answer: Answer = messages.answer(said)
        if isinstance(answer, Error):
            raise process.ERRORS[answer.kind](answer.message) from process.Trace(answer.trace)
        if isinstance(answer, Done):
            self._see(Path(answer.file))
        return answer

    def _see(self, file: Path) -> None:
        """What another node has written is here, sooner or later."""
        begun = time.monotonic()
        while not file.exists():
            if time.monotonic() - begun > _SEEN_SECONDS:
                raise StorageError(
                    f"{self._node} has written {file}, which is not here: results must be a shared folder"
                )
            time.sleep(0.1)

    def renew(self) -> None:
        import ray

        try:
            ray.get(self._actor.renew.remote())
        except ray.exceptions.RayError:
            self.stop()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.end()

    def end(self) -> None:
        import ray

        ray.kill(self._actor)
