"""Blocks as text on a terminal, of any width and with any characters."""

import io
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from initbench.printable import legible, printable
from initbench.render.blocks import Block, Code, Heading, Paragraph, Table, shown, without_figures

# Of a terminal that says nothing, or 0 columns; and the fewest in which anything is laid out.
_UNKNOWN, _NARROWEST = 80, 10
# Where nobody says how wide: a row of any table is one line, which programs and grep read.
_ENDLESS = 1_000_000
# Wider lines of running text are not read with ease; and a column of text wants so much room.
_READABLE, _ROOM = 100, 34


class Terminal(Console):
    """A console that has a width, and that leaves a closed pipe to its caller, as every other writer does.

    What is no terminal, and has no ``COLUMNS``, is as wide as a table.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.is_terminal and "width" not in options and "COLUMNS" not in os.environ:
            self.width = _ENDLESS
        if self.width < _NARROWEST:
            self.width = _NARROWEST if self.width else _UNKNOWN

    def on_broken_pipe(self) -> None:
        """Called by Rich in the handler of the error, which goes on."""
        raise


def to_text(blocks: Iterable[Block], width: int) -> str:
    """A document as a terminal of a width shows it, without colours."""
    page = io.StringIO()
    # Whatever surrounds it: in a notebook Rich would show it instead, and where FORCE_COLOR is set colour it.
    to_terminal(blocks, Terminal(file=page, width=width, force_jupyter=False, force_terminal=False))
    return page.getvalue()


def to_lines(blocks: Iterable[Block], width: int) -> str:
    """As :func:`to_text`, for a prompt: no empty lines around it, nothing behind the last word of a line."""
    return "\n".join(line.rstrip() for line in to_text(blocks, width).strip("\n").splitlines())


def to_terminal(blocks: Iterable[Block], console: Console) -> None:
    """Print a document; a table too wide is cut into blocks of columns or listed, a caption is printed once."""
    captions: set[str] = set()
    blocks = [shown(block, lambda text: legible(printable(text), console.encoding)) for block in blocks]
    for block in without_figures(blocks):
        if isinstance(block, Heading):
            console.print(Text(f"\n{block.text}", "bold"))
        elif isinstance(block, Code):
            # A line is the terminal's to fold: a break of ours would be copied with the command.
            commands = "\n".join(block.lines)
            console.print(Text(f"\n{commands}", "dim"), soft_wrap=True)
        elif isinstance(block, Paragraph):
            _print_text(block.text, console)
        else:
            if block.title:
                console.print(Text(f"\n{block.title}", "bold"))
            kept, dropped = _without_spare(block, console.width)
            if _least(kept) > console.width:
                for line in _listed(kept):
                    console.print(line)
            else:
                for part in fitting(kept, console.width):
                    console.print(_rich(part, console.width))
            notes = [block.caption, f"Left out in a narrow window: {', '.join(dropped)}." if dropped else ""]
            note = " ".join(filter(None, notes))
            if note and note not in captions:
                captions.add(note)
                _print_text(note, console)


def _print_text(text: str, console: Console) -> None:
    console.print(Text(text, "dim"), width=min(console.width, _READABLE))


def _without_spare(table: Table, width: int) -> tuple[Table, list[str]]:
    """The table with as many of its spare columns as there is room for, and the names of the others."""
    dropped: list[int] = []
    for column in table.spare:
        kept = [i for i in range(len(table.header)) if i not in dropped]
        natural, least = sizes(table), _words(table)
        if 1 + sum(max(least[i], min(natural[i], _ROOM)) for i in kept) <= width:
            break
        dropped.append(column)
    kept = [i for i in range(len(table.header)) if i not in dropped]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    left = tuple(place for place, i in enumerate(kept) if i in table.left)
    header = tuple(table.header[i] for i in kept)
    return replace(table, header=header, rows=rows, left=left, spare=()), [table.header[i] for i in sorted(dropped)]


def _rich(table: Table, width: int) -> RichTable:
    headed = any(table.header)
    rich = RichTable(box=box.SIMPLE_HEAD if headed else None, padding=(0, 1), show_header=headed)
    # Names may be long, where variants are told apart: they are folded between words, numbers are never cut.
    widths, least = sizes(table), _words(table)
    while sum(widths) + 1 > width and widths != least:
        widest = max((i for i in table.left if widths[i] > least[i]), key=widths.__getitem__)
        widths[widest] -= 1
    for number, name in enumerate(table.header):
        rich.add_column(
            Text(name),
            justify="left" if number in table.left else "right",
            width=widths[number] - 3,
            overflow="fold",
        )
    for number, row in enumerate(table.rows):
        last_run = number == len(table.rows) - table.n_summary - 1
        rich.add_row(*map(Text, row), end_section=bool(table.n_summary) and last_run)
    return rich


def _listed(table: Table) -> list[Text | Padding]:
    """A table for a window in which its columns would cut names: what a row says is below its name, line by line."""
    lines: list[Text | Padding] = []
    for row in table.rows:
        told = [Text(f"{name}: {cell}") for name, cell in zip(table.header[1:], row[1:], strict=True) if cell]
        lines += [Text(row[0], "bold")] if row[0] else []
        lines += [Padding(line, (0, 0, 0, 1), expand=False) for line in told]
    return [*lines, Text("")]


def _least(table: Table) -> int:
    """The narrowest window that holds a table, or parts of it, without cutting a name or a number."""
    least = _words(table)
    return 1 + (sum(least) if len(table.left) > 1 else least[0] + max(least[1:], default=0))


def _words(table: Table) -> list[int]:
    """As :func:`sizes`, with all texts folded between words."""
    columns = zip(table.header, *table.rows, strict=True)
    return [
        max((cell_len(part) for cell in column for part in (cell.split() if i in table.left else [cell])), default=0)
        + 3
        for i, column in enumerate(columns)
    ]


def fitting(table: Table, width: int) -> list[Table]:
    """The table, or parts of it that repeat the first column, none wider than ``width`` characters if possible."""
    if len(table.left) > 1:
        return [table]
    widths = sizes(table)
    # A first column so long that nothing fits beside it is folded.
    widths[0] = min(widths[0], max(width // 3, width - max(widths[1:], default=0) - 1))
    parts: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        if parts[-1] and widths[0] + 1 + sum(widths[i] for i in parts[-1]) + widths[column] > width:
            parts.append([])
        parts[-1].append(column)
    return [
        Table(
            tuple(table.header[i] for i in (0, *part)),
            tuple(tuple(row[i] for i in (0, *part)) for row in table.rows),
            table.n_summary,
        )
        for part in parts
    ]


def sizes(table: Table) -> list[int]:
    """The width of every column with padding on both sides and a space between columns, as Rich draws them."""
    return [max(cell_len(row[i]) for row in (table.header, *table.rows)) + 3 for i in range(len(table.header))]
