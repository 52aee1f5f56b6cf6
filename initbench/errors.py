"""The errors a user can cause, each with the exit code the command line answers with."""

from collections.abc import Iterable
from difflib import get_close_matches


class InitbenchError(Exception):
    """An error told to the user in one line, without a traceback.

    Raised ``from`` what caused it, so that ``--debug`` and anyone who calls the library sees that too, whole.
    """

    exit_code = 1


class InputError(InitbenchError):
    """What the user asked for cannot be done: a name, a value, a file or a device is wrong."""

    exit_code = 2


class StorageError(InitbenchError):
    """The results folder cannot be read or written."""

    exit_code = 4


def one_line(error: BaseException) -> str:
    """What an exception of someone else's code says, its type first."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def printable(text: str) -> str:
    """A line that holds words of others: without line ends, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:1000]


def unknown(what: str, got: str, allowed: Iterable[str]) -> InputError:
    """The error for a name that is not in a set: the nearest valid name, then the whole set."""
    names = sorted(allowed)
    near = names if len(names) == 1 else get_close_matches(got, names, n=1)
    hint = f", did you mean '{near[0]}'?" if near else "."
    return InputError(f"unknown {what} '{got}'{hint} Choose from: {', '.join(names)}")
