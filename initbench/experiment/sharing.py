"""How several processes on one results folder share the work: each takes trials that no other has.

A process writes the keys that it trains into a file of its own, ``<results>/.taken/<name>.json``, and holds a lock on
it for as long as it lives, as does whoever trains for it elsewhere (:func:`held`); the kernel frees a lock at any
death, so there is nothing to unlock by hand. Records need none of this: where locks do not work, trials are trained
twice, and the first record of each counts.
"""

import contextlib
import fcntl
import logging
import math
import os
import platform
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path
from types import TracebackType

import msgspec

from initbench.errors import StorageError
from initbench.records import TrialRecord, read_all
from initbench.records.packed import PACKED
from initbench.records.store import holders

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.2
# Choosing trials takes milliseconds. Whoever is stopped (Ctrl-Z) amid it shall not stop all others.
_PATIENCE_SECONDS = 10.0
# Of training, for which chunks are taken at once: many that ask for each second's work would wait for each other.
_HAND_SECONDS = 5.0


class Taken(msgspec.Struct, frozen=True):
    """The keys of the trials that a process has taken, and which process that is, for people."""

    process: str
    keys: frozenset[str]


class Sharing:
    """The part of this process in the work on a results folder.

    Made before the records are read, so that no record of another process is missed between; entered when there is
    something to train, and left when all is trained: the last to leave leaves nothing behind.
    """

    def __init__(self, results: Path, seen: Iterable[str] | None = None, turn: tuple[int, int] = (0, 1)) -> None:
        """Takes nothing yet.

        Args:
            results: the folder.
            seen: the files of records that are known already; None: those that are there.
            turn: which one this is of how many that begin together: each begins elsewhere, so that even where locks
                do not work, little is trained twice.
        """
        self._results = results
        self._folder = results / ".taken"
        self._lock = self._folder / "lock"
        self._turn = turn
        self._path = self._folder / f"{uuid.uuid4().hex}.json"
        self._file: int | None = None
        self._made = False
        self._known = frozenset(_files(results) if seen is None else seen)
        self._seen = set(self._known)

    def __enter__(self) -> "Sharing":
        self._made = not self._results.exists()
        with self._alone():
            self._others()
            self._write(())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._alone() as alone, contextlib.suppress(OSError):
            if self._file is not None:
                os.close(self._file)
                self._file = None
                self._path.unlink(missing_ok=True)
            if alone and not self._others():
                self._lock.unlink()
                self._folder.rmdir()
                # Of a request that could not be trained nothing stays.
                if self._made:
                    self._results.rmdir()

    @property
    def claim(self) -> Path:
        """The file that says what is taken, for :func:`held`."""
        return self._path

    def beside(self) -> "Sharing":
        """Another part, of another thread of this process, which knows the same records and has seen none since."""
        return Sharing(self._results, self._known)

    def release(self) -> None:
        """Leave what is taken to others."""
        with self._alone():
            self._write(())

    def others(self) -> list[Taken]:
        """What live processes have taken; for whoever takes nothing himself."""
        if not self._folder.exists():
            return []
        with self._alone():
            return self._others()

    def sweep(self) -> None:
        """Remove what killed processes have left, where there is nothing to train."""
        if self._folder.exists():
            with self:
                pass

    def parts(
        self,
        chunks: Sequence[Sequence[str]],
        tell: Callable[[str], None] = lambda line: None,
        elsewhere: Callable[[Set[str]], None] = lambda keys: None,
        ended: Callable[[Mapping[str, TrialRecord]], None] = lambda records: None,
    ) -> Iterator[list[str]]:
        """Keys to train here, one chunk or what is everybody's share of it at a time, until all have a record.

        Whoever asks for the next part has recorded the last one. When others train all that is left, this waits for
        their records, and takes what they had as soon as they are gone.

        Args:
            chunks: the keys of all that is to be trained.
            tell: takes a line for the user.
            elsewhere: takes keys that others have recorded, none at every look meanwhile; what it raises ends this.
            ended: takes the records that came since the last look, whosever they are, by their keys.
        """
        left = {key for chunk in chunks for key in chunk}
        queue = deque(_in_turn(chunks, *self._turn))
        most = 1
        while True:
            hand, others = self._take(queue, left, most, elsewhere, ended)
            began = time.monotonic()
            for part in hand:
                yield part
                left.difference_update(part)
            if hand:
                each = (time.monotonic() - began) / len(hand)
                most = min(2 * most, max(1, int(_HAND_SECONDS / each))) if each else 2 * most
            elif left:
                self._wait(left, others, tell, elsewhere)
            else:
                return

    def _take(
        self,
        queue: deque[Sequence[str]],
        left: set[str],
        most: int,
        elsewhere: Callable[[Set[str]], None],
        ended: Callable[[Mapping[str, TrialRecord]], None],
    ) -> tuple[list[list[str]], list[Taken]]:
        """Drop what has a record by now, and take of the rest what nobody has: a chunk, or some more of them."""
        # Most of them before the lock is ours, so that nobody waits for our reading.
        before = self.recorded()
        with self._alone():
            others = self._others()
            # After looking who has what: a trial is let go of when its record is there.
            recorded = before | self.recorded()
            there = recorded.keys() & left
            left -= there
            taken = frozenset[str]().union(*(other.keys for other in others))
            while queue and left.isdisjoint(queue[0]):
                queue.popleft()
            # What others have is part of what is divided: so nothing is cut smaller and smaller towards the end.
            share = math.ceil(len(left) / (1 + len(others)))
            free = ([key for key in chunk if key in left and key not in taken] for chunk in queue)
            hand = list(islice(filter(None, free), most))
            hand = [hand[0][:share], *_within(share // 2 - len(hand[0]), hand[1:])] if hand else []
            self._write([key for part in hand for key in part])
        ended(recorded)
        elsewhere(there)
        return hand, others

    def _wait(
        self,
        left: set[str],
        others: Sequence[Taken],
        tell: Callable[[str], None],
        elsewhere: Callable[[Set[str]], None],
    ) -> None:
        """Until something of what is left is in nobody's hands any more."""
        who = dict.fromkeys(other.process for other in others if not left.isdisjoint(other.keys))
        # What other threads of this process train goes without saying.
        if who.keys() != {_here()}:
            tell(f"waiting for {len(left)} trial{'s' * (len(left) > 1)} that {' and '.join(who)} trains")
        while left <= frozenset[str]().union(*(other.keys for other in others)):
            elsewhere(frozenset())
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            with self._alone():
                others = self._others()

    def recorded(self) -> dict[str, TrialRecord]:
        """The records in files that came since the last look, by their keys."""
        fresh = _files(self._results) - self._seen
        self._seen |= fresh
        found: dict[str, TrialRecord] = {}
        for path in fresh:
            with contextlib.suppress(StorageError):
                for _, lines in read_all(Path(path), lambda unusable: None):
                    found |= {line.key: line for line in lines if isinstance(line, TrialRecord)}
        return found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Nobody else looks, takes or leaves meanwhile; False where that cannot be had, and two may take the same."""
        with contextlib.ExitStack() as stack:
            try:
                stack.callback(os.close, self._door())
                alone = True
            except OSError as error:
                _log.info("the work on %s is not shared: %s", self._results, error)
                alone = False
            yield alone

    def _door(self) -> int:
        """The open file whose lock lets in one process at a time."""
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, 0.01
        while True:
            # Whoever leaves last removes file and folder, perhaps between two of these lines.
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
                file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, file)
                if _locked(file, exclusive=True) and os.path.samestat(os.stat(self._lock), os.fstat(file)):
                    stack.pop_all()
                    return file
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._lock} stays locked")
            # Sixty that wait and all look every few milliseconds would keep a machine busy.
            time.sleep(random.uniform(0, pause))
            pause = min(2 * pause, _SECONDS_BETWEEN_LOOKS)

    def _others(self) -> list[Taken]:
        """What other live processes have taken; the files of dead ones are swept."""
        found = []
        for path in self._folder.glob("*.json"):
            if path != self._path:
                with contextlib.suppress(OSError, msgspec.MsgspecError):
                    found += _read(path)
        return found

    def _write(self, keys: Sequence[str]) -> None:
        """Say which trials are ours: read by nobody before the lock of the folder is free again."""
        content = msgspec.json.encode(Taken(_here(), frozenset(keys)))
        with contextlib.suppress(OSError):
            # Where nobody could be kept out, it may have been taken for one of a dead process.
            if self._file is not None and not os.fstat(self._file).st_nlink:
                os.close(self._file)
                self._file = None
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
                _locked(self._file, exclusive=False)
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, content, 0)


@contextlib.contextmanager
def held(claim: Path) -> Iterator[None]:
    """Meanwhile what a process has taken stays taken, even if that process is killed: it is trained here for it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = os.open(claim, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, file)
            _locked(file, exclusive=False)
        yield


def _files(results: Path) -> set[str]:
    """The files of records there; of ten thousand, and for each chunk, names alone are looked at."""
    found = set[str]()
    for folder in map(str, holders([results])):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found.update(f"{folder}/{name}" for name in os.listdir(folder) if name.endswith((".jsonl", PACKED)))
    return found


def _in_turn(chunks: Sequence[Sequence[str]], number: int, of: int) -> list[Sequence[str]]:
    """First a part that is one's own, then the others' in an order of one's own."""
    begin, end = len(chunks) * number // of, len(chunks) * (number + 1) // of
    rest = [*chunks[:begin], *chunks[end:]]
    random.Random(number).shuffle(rest)
    return [*chunks[begin:end], *rest]


def _within(room: int, parts: Sequence[list[str]]) -> Iterator[list[str]]:
    """The first of them, as many as have room for their keys."""
    for part in parts:
        room -= len(part)
        if room < 0:
            return
        yield part


def _here() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def _read(path: Path) -> list[Taken]:
    """What a live process has taken; nothing, and the file is removed, where its process is dead."""
    with open(path, "rb", opener=_opened) as file:
        if not _locked(file.fileno(), exclusive=True):
            return [msgspec.json.decode(file.read(), type=Taken)]
        path.unlink()
        return []


def _opened(name: str, flags: int) -> int:
    """For writing, without which a network file system grants no lock, where that is allowed."""
    # Nobody knows what lies there: a pipe would be waited for.
    with contextlib.suppress(PermissionError):
        return os.open(name, os.O_RDWR | os.O_NONBLOCK)
    return os.open(name, flags | os.O_NONBLOCK)


def _locked(file: int, exclusive: bool) -> bool:
    """Lock a file unless somebody else has, until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_NB | (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH))
    except BlockingIOError:
        return False
    return True
