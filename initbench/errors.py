"""The errors a user can cause, each with the exit code the command line answers with."""

from collections.abc import Iterable
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


class StorageError(InitbenchError):
    """The results folder cannot be read or written."""

    exit_code = 4


def one_line(error: BaseException) -> str:
    """What an exception of someone else's code says, its type first."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def short(text: str) -> str:
    """Enough of a text to know it by."""
    return text if len(text) <= 100 else f"{text[:80]}…"


def unknown(what: str, got: str, allowed: Iterable[str]) -> InputError:
    """The error for a name that is not in a set: the nearest valid name, then the whole set."""
    names, got = sorted(allowed), short(got)
    near = names if len(names) == 1 else get_close_matches(got, names, n=1)
    hint = f", did you mean '{near[0]}'?" if near else "."
    return InputError(f"unknown {what} '{got}'{hint} Choose from: {', '.join(names)}")
