"""The errors a user can cause, each with the exit code the command line answers with."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from initbench.printable import printable


class InitbenchError(Exception):
    """An error told to the user in one line, without a traceback.

    Raised ``from`` what caused it, so that ``--debug`` and anyone who calls the library sees that too, whole.
    Names, values and the words of other errors come from outside: they are made printable here.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(InitbenchError):
    """What the user asked for cannot be done: a name, a value, a file or a device is wrong."""

    exit_code = 2


class UnknownName(InputError):
    """A name that is in no table, as :func:`unknown` tells it."""


class StorageError(InitbenchError):
    """The results folder cannot be read or written."""

    exit_code = 4


# What stops a command: a terminal, a user or a scheduler sends it; SIGUSR1 is that of schedulers before time is up.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Stopped(BaseException):
    """A signal asked the command to stop. Whoever hears of it lets it pass, as KeyboardInterrupt.

    Attributes:
        number: the signal's.
        resumable: whether the same command would go on.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number, self.resumable = number, False

    @property
    def exit_code(self) -> int:
        """As shells have it."""
        return 128 + self.number


@contextmanager
def in_one_line(what: str) -> Iterator[None]:
    """Whatever someone else's code raises is an error in one line: also what is no ``Exception``, as SystemExit.

    Too little memory stays what it is, since in smaller company there may be enough; and whoever interrupts is heard.

    Raises:
        InputError: something was raised.
        MemoryError: there is too little of it, by whatever name torch calls that.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, Stopped):
        raise
    except BaseException as error:
        if out_of_memory(error):
            raise MemoryError(f"{what}: {one_line(error)}") from error
        raise InputError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """What an exception of someone else's code says, its type first."""
    try:
        said = str(error)
    # Its words are someone else's code too.
    except Exception:
        said = ""
    return readable(f"{type(error).__name__}: {said}" if said else type(error).__name__)[:200]


def readable(text: str) -> str:
    """A text as one line of valid UTF-8: records and messages between processes hold nothing else."""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was too little; on a CPU torch has no type of its own for that."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and ("allocate memory" in str(error) or "out of memory" in str(error))


def short(text: str) -> str:
    """Enough of a text to know it by."""
    return text if len(text) <= 100 else f"{text[:80]}…"


def folded(name: str) -> str:
    """Equal for names that differ in case or in the signs between words alone: ``Fashion-MNIST``, ``fashion_mnist``."""
    return "".join(filter(str.isalnum, name)).casefold()


def unknown(what: str, got: str, allowed: Iterable[str], write: str = "") -> UnknownName:
    """The error for a name that is not in a set: the nearest valid name, then the whole set.

    Args:
        what: kind of name.
        got: the name.
        allowed: the set.
        write: what would have been right, where that is known.
    """
    names, got = sorted(allowed), short(got)
    near = names if len(names) == 1 else _near(got, names)
    hint = f"; write {write}." if write else f", did you mean '{near[0]}'?" if near else "."
    return UnknownName(f"unknown {what} '{got}'{hint} Choose from: {', '.join(names)}")


def _near(got: str, names: list[str]) -> list[str]:
    """The nearest names: that are the same but for case, that are like it, or that begin with it."""
    same = [name for name in names if folded(name) == folded(got)]
    return same or get_close_matches(got, names, n=1) or [name for name in names if name.startswith(f"{got} ")]
