"""A report from end to end: trials in, the text of one format and the files of its figures out."""

import io
from dataclasses import replace
from pathlib import Path

from initbench.analysis.trials import Trials, to_table
from initbench.errors import InputError, StorageError
from initbench.render.blocks import Block
from initbench.render.csv import to_csv
from initbench.render.files import replace_file
from initbench.render.formats import to_format
from initbench.report.document import VIEWS, Options, document, headline
from initbench.report.drift_tables import two_sets

# A second set of trials to compare with, and what to call the two.
Other = tuple[Trials, tuple[str, str]]
# Of a report for the terminal that is written to a file.
_WIDTH = 100


def report(trials: Trials, options: Options, form: str, other: Other | None = None) -> str:
    """The text of a report.

    Args:
        trials: what to report on.
        options: what the reader chose; a page shows all views unless some are named.
        form: ``rich`` (as on a terminal), ``markdown``, ``csv``, ``latex`` or ``html``.
        other: a second set of trials to compare with.

    Raises:
        InputError: a comparison or a baseline that the trials do not have.
    """
    if form == "csv":
        if other is not None:
            raise InputError("two sets have no CSV of one row per trial; results=A,B merges them")
        return to_csv(to_table(trials))
    if form == "html":
        options = replace(options, views=options.views or VIEWS)
    content = blocks(trials, options, other)
    # What it costs to say is for pages only.
    title = ("", "")
    if form == "html":
        title = (
            headline(trials, options.by) if other is None else (" and ".join(other[1]), "Two result sets, compared.")
        )
    return to_format(form, content, title, _WIDTH)


def parquet(trials: Trials) -> bytes:
    """One row per trial, with the columns and types of :func:`initbench.analysis.trials.to_table`, as Parquet.

    Raises:
        InputError: the package that writes it is not installed.
    """
    file = io.BytesIO()
    try:
        to_table(trials).to_parquet(file, engine="pyarrow", index=False)
    except ImportError as error:
        raise InputError("Parquet needs pyarrow; pip install 'initbench[parquet]'") from error
    return file.getvalue()


def blocks(trials: Trials, options: Options, other: Other | None = None) -> list[Block]:
    """What a report says, in every format but CSV.

    Raises:
        InputError: a comparison or a baseline that the trials do not have.
    """
    return document(trials, options) if other is None else two_sets(trials, *other, options.by)


def write(content: str | bytes, out: Path) -> None:
    """A report into a file, which stays what it was unless the whole report is written.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        replace_file(out, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}") from error


def figures(trials: Trials, options: Options, folder: Path) -> None:
    """Every figure of all views as PNG and SVG.

    Raises:
        StorageError: the folder cannot be written.
    """
    from initbench.render.figures import write

    write(document(trials, replace(options, views=VIEWS)), folder)
