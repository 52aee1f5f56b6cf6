"""What any table or report is made of, as plain text that every format can render."""

from dataclasses import dataclass

from initbench.render.plots import Plot


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column names the rows; the last ``n_summary`` rows sum up the others.

    ``title`` says what is in it and ``caption`` what the numbers are. ``context`` repeats what its section says: under
    which rules they came about, and what the names stand for; formats out of which people lift tables show it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_summary: int = 0
    left: tuple[int, ...] = (0,)
    title: str = ""
    caption: str = ""
    context: str = ""


@dataclass(frozen=True)
class Code:
    """Commands to copy, one per line."""

    text: str


@dataclass(frozen=True)
class Figure:
    """A figure with the numbers it shows; formats without figures show the table.

    ``name`` is its file's, unique in a document. ``extra`` tables only add detail that other tables have in full: they
    are left out where there are no figures.
    """

    name: str
    title: str
    plot: Plot
    table: Table
    extra: bool = False


Block = Heading | Paragraph | Table | Code | Figure
