"""Debugging: ``--debug`` on every command, or ``INITBENCH_DEBUG=1``, shows what the one line of an error leaves out.

That is the whole traceback, down to the line of a plugin, a user's module or a config file that failed, and what the
library logs under the name ``initbench``. A program that uses the library configures that logger itself.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from initbench.printable import printable_lines

VARIABLE = "INITBENCH_DEBUG"


def debugging(arguments: Sequence[str]) -> bool:
    """Whether a command line, or the environment, asks for it."""
    return "--debug" in arguments or os.environ.get(VARIABLE, "") not in ("", "0")


class _Printable(logging.Formatter):
    """Of records that name what came from outside."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


@contextmanager
def logged(debug: bool) -> Iterator[None]:
    """While it lasts, what the library logs goes to stderr; nothing does unless debugging."""
    if not debug:
        yield
        return
    logger = logging.getLogger("initbench")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(name)s: %(message)s"))
    # Nobody is told where stderr cannot be written; the work goes on.
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def show(error: BaseException) -> None:
    """The whole traceback of an error and of what caused it, on stderr."""
    with suppress(OSError):
        print(printable_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)
