"""What commands print with: results on stdout, whatever becomes of it; lines for the user on stderr."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from initbench.errors import StorageError
from initbench.printable import printable

if TYPE_CHECKING:
    from initbench.analysis.trials import Trials
    from initbench.render.blocks import Block
    from initbench.report.document import Options
    from initbench.report.output import Other


def prepare() -> None:
    """Make of the standard streams what anything can be printed to, whatever the command was started with."""
    # Of a stream that is closed (>&-) the number goes to the next file that is opened: a record's, say.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Of such a stream Python makes None, and of a character that a stream does not have an error.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="legible")


@contextmanager
def stdout() -> Iterator[None]:
    """Whoever reads our stdout may close it early, as ``| head`` does: that is no error. A full disk is one."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        drop(sys.stdout)
    except OSError as error:
        drop(sys.stdout)
        raise StorageError(f"cannot write to stdout: {error.strerror or error}") from error


def print_lines(lines: Iterable[str]) -> None:
    """Lines to stdout, each as it can be shown."""
    with stdout():
        print(*map(printable, lines), sep="\n")


def drop(stream: TextIO) -> None:
    """Forget what a stream still holds: the interpreter would fail to write it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def ready_to_print() -> None:
    """Import what :func:`print_report` needs, half a second that others may be working in."""
    import scipy.stats  # noqa: F401
    import statsmodels.stats.proportion  # noqa: F401

    from initbench.render import terminal  # noqa: F401
    from initbench.report import output  # noqa: F401


# What the ending of a file says.
_FORMATS = {
    ".csv": "csv",
    ".htm": "html",
    ".html": "html",
    ".json": "json",
    ".md": "markdown",
    ".parquet": "parquet",
    ".markdown": "markdown",
    ".tex": "latex",
}


def format_of(form: str | None, out: Path | None, formats: Iterable[str]) -> str:
    """The format that was asked for, else the one that the file's ending says, else that of a terminal."""
    meant = _FORMATS.get(out.suffix.casefold(), "rich") if out else "rich"
    return form or (meant if meant in list(formats) else "rich")


def print_brief(trials: "Trials", options: "Options", where: str, words: Sequence[str]) -> None:
    """A screenful on a terminal, with what to type for the rest; all of it to a program or a file."""
    from initbench.render.terminal import Terminal, to_terminal
    from initbench.report.brief import brief

    console = Terminal()
    if not console.is_terminal:
        print_report(trials, options, "rich", None)
        return
    with stdout():
        to_terminal(brief(trials, where, words), console)


def print_report(
    trials: "Trials", options: "Options", form: str, out: Path | None, other: "Other | None" = None
) -> None:
    """A report, as :func:`print_document` prints it."""
    from initbench.report import output

    print_document(
        form,
        out,
        lambda: output.blocks(trials, options, other),
        lambda: output.report(trials, options, form, other),
    )


def print_document(
    form: str, out: Path | None, blocks: "Callable[[], Iterable[Block]]", text: Callable[[], str]
) -> None:
    """On a terminal in colour and as wide as it is; else as text, to stdout or to a file."""
    from initbench.experiment.progress import say
    from initbench.render.terminal import Terminal, to_terminal
    from initbench.report import output

    if form == "rich" and out is None:
        shown = blocks()
        with stdout():
            to_terminal(shown, Terminal())
        return
    written = text()
    if out is None:
        with stdout():
            sys.stdout.write(written)
        return
    output.write(written, out)
    say(f"wrote {out}")
