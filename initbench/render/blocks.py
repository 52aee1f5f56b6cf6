"""What any table or report is made of, as plain text that every format can render."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar, cast

from initbench.printable import printable
from initbench.render.plots import Plot


@dataclass(frozen=True)
class Heading:
    """The title of a section; ``anchor`` is what a link to it ends in, where that is to stay."""

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text. The first column names the rows; the last ``n_summary`` rows sum up the others.

    ``title`` says what is in it and ``caption`` what the numbers are. ``context`` repeats what its section says: under
    which rules they came about, and what the names stand for; formats out of which people lift tables show it.
    ``spare`` are columns that a narrow window leaves out, in this order.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_summary: int = 0
    left: tuple[int, ...] = (0,)
    title: str = ""
    caption: str = ""
    context: str = ""
    spare: tuple[int, ...] = ()


@dataclass(frozen=True)
class Code:
    """Commands to copy, one per line."""

    lines: tuple[str, ...]


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
Part = TypeVar("Part")


def without_figures(blocks: Iterable[Block]) -> list[Heading | Paragraph | Table | Code]:
    """A document for a format of text: the tables of its figures, where they are not told in full elsewhere."""
    kept = []
    for block in blocks:
        if not isinstance(block, Figure):
            kept.append(block)
        elif not block.extra:
            kept.append(replace(block.table, title=block.title))
    return kept


def shown(part: Part, spelled: Callable[[str], str] = printable) -> Part:
    """A block, a plot or a part of one as a format may show it: each of its texts is made printable.

    Every format calls it first, on all that it gets. Names come from records, files and plugins of anyone.
    """
    if isinstance(part, str):
        return cast(Part, spelled(part))
    if isinstance(part, tuple):
        return cast(Part, tuple(shown(one, spelled) for one in part))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: shown(getattr(part, field.name), spelled) for field in fields(part)})
    return part
