"""Trials trained by a worker; what ends a training early is the outcome of the trial that it is due to.

A law or a module may raise, exit, crash the interpreter, take all memory or never end. Then the chunk is trained again
in halves, by a new worker where the old one is gone, until the trial is found; it has the outcome ``failed``, and the
others the same results as ever, since a trial does not depend on which trials are trained with it. Needs no torch.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

import msgspec

from initbench.errors import InitbenchError, InputError
from initbench.experiment import process
from initbench.experiment.messages import (
    Checked,
    Checking,
    Divide,
    Divided,
    Done,
    Fail,
    Failed,
    Note,
    Progress,
    Refused,
    Train,
    Work,
)
from initbench.experiment.plan import Trial
from initbench.experiment.process import Died, Trace, Worker
from initbench.processors import THREADS
from initbench.settings.request import Request

_log = logging.getLogger(__name__)

_NONE = -1
# More checks than there are.
_ALL = 1 << 62


@dataclass(frozen=True)
class Chunk:
    """Trials to train together, by their numbers, and how many optimizer steps that takes, summed over them."""

    trials: tuple[int, ...]
    steps: int


@dataclass(frozen=True)
class Failure:
    """Why some trials cannot be trained: the line that is recorded, and the traceback if there is one."""

    reason: str
    trace: str = ""

    def error(self) -> InputError:
        """As the error of a request of which nothing can be trained."""
        error = InputError(self.reason)
        error.__cause__ = Trace(self.trace) if self.trace else None
        return error


class Workers(Protocol):
    """Where workers come from and go to, as :mod:`initbench.experiment.process` has it."""

    def take(self) -> Worker:
        """One that nobody else has.

        Raises:
            NoPlace: not now, and others are at work.
        """

    def give_back(self, worker: Worker) -> None:
        """It is not needed any more, or is of no use."""


class NoPlace(Exception):
    """There is no place for one more worker, and there are others."""


class Stopping(Exception):
    """Nothing is trained any more."""


class Coordinator:
    """Has trials checked, divided into chunks, and trained, in workers that are its own as long as it is entered.

    Chunks may be trained from several threads at once, each in a worker of its own.

    Attributes:
        todo: the trials; their numbers are their places in it.
        device: where they are trained; known once they are checked.
        refused: those that cannot be trained, by their numbers, and why; known once they are checked.
        turns: whether there are networks that take turns in a worker; known once they are divided.
    """

    def __init__(
        self,
        request: Request,
        todo: Sequence[Trial],
        tell: Callable[[str], None],
        workers: Workers = process,
        threads: int | None = None,
    ) -> None:
        """What is to train.

        Args:
            request: what is asked for.
            todo: those of its trials that are to be trained.
            tell: takes a line for the user.
            workers: who trains.
            threads: of each of them; as many as it may have processors if None.
        """
        self.todo = todo
        self.device = ""
        self.refused: dict[int, Failure] = {}
        self.turns = False
        self._tell, self._limit = tell, request.timeout
        cells = {cell: number for number, cell in enumerate(dict.fromkeys(trial.cell for trial in todo))}
        self._cells = [cells[trial.cell] for trial in todo]
        self._request = msgspec.Raw(replace(request, cells=tuple(cells), seeds=()).to_json(anywhere=False))
        # Modules and laws of users stay in a process for as long as it lives.
        self._foreign = bool(request.catalogue.plugins) or any(cell.model.name == "module" for cell in cells)
        self._workers = workers
        self._part: dict[str, bytes | None] = {THREADS: str(threads).encode()} if threads else {}
        # Those that have the work, and of them those that are at it.
        self._free, self._busy = list[Worker](), set[Worker]()
        self._stopping, self._changing = False, threading.Lock()
        self._checks, self._again = 0, set[int]()
        self._refused_cells: dict[int, Failure] = {}

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping

    def __enter__(self) -> "Coordinator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._free:
            worker = self._free.pop()
            # What was interrupted is not done.
            if not (error is None or isinstance(error, InitbenchError)):
                worker.stop()
            elif self._foreign:
                worker.renew()
            self._workers.give_back(worker)

    def stop(self) -> None:
        """From now on nothing is trained: who is at it ends, and threads that train raise :class:`Stopping`."""
        with self._changing:
            self._stopping = True
            for worker in self._busy:
                worker.end()

    def check(self, beside: int = 0) -> None:
        """Run every module and every initializer once; what fails is ``refused``.

        Args:
            beside: how many further workers shall start and read the data meanwhile, where no user's code runs in that.

        Raises:
            InputError: a device, a data set or a user's file is not here, whatever the trials are.
            StorageError, MemoryError: as :meth:`initbench.experiment.process.Worker.receive`.
        """
        threads = [threading.Thread(target=self._get_ready) for _ in range(0 if self._foreign else beside)]
        for thread in threads:
            thread.start()
        try:
            with self._at_work():
                pass
        except BaseException:
            self.stop()
            raise
        finally:
            for thread in threads:
                thread.join()
        self.refused = {
            number: self._refused_cells[cell] for number, cell in enumerate(self._cells) if cell in self._refused_cells
        }

    def chunks(self, how: bool = False, workers: int = 1) -> tuple[list[Chunk], list[str]]:
        """The chunks of all trials that are not refused, and if asked how they are trained, for people.

        Args:
            how: asked.
            workers: how many will train them at a time.

        Raises:
            InputError, MemoryError: they cannot be divided.
        """
        trained = [number for number in range(len(self.todo)) if number not in self.refused]
        answer = self._asked(Divide(trained, workers, how))
        assert isinstance(answer, Divided)
        self.turns = answer.turns
        made = [Chunk(tuple(trials), steps) for trials, steps in zip(answer.chunks, answer.steps, strict=True)]
        return made, answer.how

    def train(self, chunk: Chunk, advance: Callable[[int], None], claim: str = "") -> None:
        """Train the trials of a chunk; afterwards each has a record.

        Args:
            chunk: one of :meth:`chunks`.
            advance: called with numbers of optimizer steps, less than 0 for those that are made again.
            claim: the file that says who trains them, which the worker holds meanwhile.

        Raises:
            InputError, StorageError, MemoryError: for no trial's fault.
        """
        parts, told, again = [chunk.trials], False, set[tuple[int, ...]]()
        while parts:
            part = parts.pop()
            ended = self._trained(part, advance, claim)
            if ended is None:
                continue
            if isinstance(ended, Died) and ended.from_outside and part not in again:
                # Someone else may have done it. As a whole: what was recorded just before is not recorded twice.
                again.add(part)
                parts.append(part)
            elif len(part) > 1:
                if not told:
                    self._tell(
                        f"{ended.reason}; {len(part)} trials are trained again in parts, to find which it is due to"
                    )
                    told = True
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            else:
                self.fail(part, ended.reason)

    def limit(self, threads: int) -> None:
        """From now on workers have so many threads each."""
        self._part = {THREADS: str(threads).encode()}
        with self._changing:
            before, self._free = self._free, []
        for worker in before:
            self._workers.give_back(worker)

    def fail(self, trials: Iterable[int], reason: str) -> None:
        """Record that some trials could not be trained.

        Raises:
            StorageError: records cannot be written.
        """
        self._asked(Fail(list(trials), reason))

    def _trained(self, part: Sequence[int], advance: Callable[[int], None], claim: str) -> "Failed | Died | None":
        """Train some trials together, once; why that ended early, if it did."""
        made = 0
        ended: Failed | Died | None = None
        try:
            with self._at_work() as worker:
                worker.send(Train(list(part), claim))
                while ended is None:
                    answer = worker.receive(self._limit)
                    if isinstance(answer, Progress):
                        made += answer.steps
                        advance(answer.steps)
                    elif isinstance(answer, Done):
                        return None
                    elif isinstance(answer, Failed):
                        ended = answer
                        if answer.memory:
                            raise _emptied(worker, answer.reason)
        except Died as died:
            ended = died
        _log.info("%d trials ended early: %s", len(part), ended.reason)
        advance(-made)
        return ended

    def _asked(self, command: Divide | Fail) -> Divided | Done:
        """The answer to a command in which no user's code runs."""
        again = False
        while True:
            try:
                with self._at_work() as worker:
                    worker.send(command)
                    while True:
                        answer = worker.receive()
                        if isinstance(answer, Divided | Done):
                            return answer
            except Died as died:
                if again or not died.from_outside:
                    raise _unexpected(died) from died
                again = True

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[Worker]:
        """A worker; where none is free a new one, which is given the work, and checks what is not checked yet.

        Raises:
            Stopping: nothing is trained any more, and what the worker said last is of no meaning.
        """
        while True:
            with self._changing:
                worker = self._free.pop() if self._free else None
            ready, lost = worker is not None, False
            worker = worker or self._workers.take()
            with self._changing:
                self._busy.add(worker)
                if self._stopping:
                    worker.end()
            try:
                if ready or self._hand_over(worker):
                    yield worker
                    return
                lost = True
            except Died:
                lost = True
                if self._stopping:
                    raise Stopping from None
                raise
            finally:
                with self._changing:
                    self._busy.remove(worker)
                    if not lost:
                        self._free.append(worker)
                if lost:
                    self._workers.give_back(worker)

    def _get_ready(self) -> None:
        """A worker more that has the work, and the data; what goes wrong with it is told where that is checked."""
        worker, ready = self._workers.take(), False
        with self._changing:
            self._busy.add(worker)
            if self._stopping:
                worker.end()
        try:
            worker.send(self._work(_ALL))
            while not ready:
                ready = isinstance(worker.receive(), Checked)
        except (Died, InitbenchError, MemoryError, RuntimeError) as error:
            _log.info("a worker did not get ready: %s", error)
        with self._changing:
            self._busy.remove(worker)
            if ready:
                self._free.append(worker)
        if not ready:
            self._workers.give_back(worker)

    def _work(self, checks: int) -> Work:
        return Work(
            request=self._request,
            cells=self._cells,
            seeds=[trial.seed for trial in self.todo],
            checks=checks,
            refused=list(self._refused_cells),
            folder=process.folder(),
            environment=process.followed() | self._part,
            log=logging.getLogger("initbench").getEffectiveLevel(),
        )

    def _hand_over(self, worker: Worker) -> bool:
        """Give a worker the work; whether it has it. If it ends in a check, the cells of that check are refused.

        Raises:
            Died: nothing is trained any more.
        """
        checking: Checking | None = None
        try:
            worker.send(self._work(self._checks))
            while True:
                # To read data, and to download them, takes as long as it takes.
                answer = worker.receive(self._limit if checking else None)
                if isinstance(answer, Note):
                    self._tell(answer.line)
                elif isinstance(answer, Checking):
                    checking, self._checks = answer, answer.check
                elif isinstance(answer, Refused):
                    assert checking is not None
                    self._refuse(checking, Failure(answer.reason, answer.trace))
                    if answer.memory:
                        _emptied(worker, answer.reason)
                        return False
                elif isinstance(answer, Checked):
                    self.device, self._checks = answer.device, answer.checks
                    self._again.discard(_NONE)
                    return True
        except Died as died:
            if self._stopping:
                raise
            # Before the first check there is nothing that it could be due to.
            check = checking.check if checking else _NONE
            if died.from_outside and check not in self._again:
                self._again.add(check)
            elif checking is None:
                raise _unexpected(died) from died
            else:
                self._refuse(checking, Failure(died.reason))
            return False

    def _refuse(self, checking: Checking, failure: Failure) -> None:
        self._checks = checking.check + 1
        self._refused_cells |= dict.fromkeys(checking.cells, failure)


def _emptied(worker: Worker, reason: str) -> Died:
    """A process that ran out of memory is not used again: what it still holds may be too much."""
    worker.renew()
    return Died(reason)


def _unexpected(died: Died) -> InputError:
    return InputError(f"the process that trains ended before it could begin: {died.reason}")
