"""What any table or report is made of, as plain text that every format can render."""

from dataclasses import dataclass


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

    ``caption`` says what the numbers are; a table can be lifted out of the document with it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_summary: int = 0
    left: tuple[int, ...] = (0,)
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """A command to copy."""

    text: str


Block = Heading | Paragraph | Table | Code
