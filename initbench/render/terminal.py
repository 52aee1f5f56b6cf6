"""Blocks as text: on the terminal and as Markdown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table


def without_figures(blocks: Iterable[Block]) -> list[Heading | Paragraph | Table | Code]:
    """A document for a format of text: the tables of its figures, where they are not told in full elsewhere."""
    kept = []
    for block in blocks:
        if not isinstance(block, Figure):
            kept.append(block)
        elif not block.extra:
            kept.append(replace(block.table, title=block.title))
    return kept


class Terminal(Console):
    """A console that leaves a closed pipe to its caller, as every other writer does."""

    def on_broken_pipe(self) -> None:
        """Called by Rich in the handler of the error, which goes on."""
        raise


def to_terminal(blocks: Iterable[Block], console: Console) -> None:
    """Print a document; a table too wide is cut into blocks of columns, a caption is printed once."""
    shown: set[str] = set()
    for block in without_figures(blocks):
        if isinstance(block, Heading):
            console.print(Text(f"\n{block.text}", "bold"))
        elif isinstance(block, Code):
            commands = "\n".join(_folded(line, console.width) for line in block.text.splitlines())
            console.print(Text(f"\n{commands}", "dim"))
        elif isinstance(block, Paragraph):
            console.print(Text(block.text, "dim"))
        else:
            if block.title:
                console.print(Text(f"\n{block.title}", "bold"))
            for part in fitting(block, console.width):
                console.print(_rich(part, console.width))
            if block.caption and block.caption not in shown:
                shown.add(block.caption)
                console.print(Text(block.caption, "dim"))


def _folded(command: str, width: int) -> str:
    """A command over several lines that a shell reads as one, broken at spaces and at commas outside of quotes."""
    lines = [""]
    for word in command.split(" "):
        pieces = [f"{word} "] if "'" in word else re.findall("[^,]+,*", f"{word} ")
        for piece in pieces:
            if len(lines[-1]) + len(piece) >= width:
                lines.append("")
            lines[-1] += piece
    return "\\\n".join(lines).rstrip()


def _rich(table: Table, width: int) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1))
    # Names may be long, where variants are told apart: they are folded, numbers are never cut.
    too_wide = sum(sizes(table)) + 1 > width
    for number, name in enumerate(table.header):
        wrap = number in table.left if number else too_wide
        rich.add_column(
            Text(name),
            justify="left" if number in table.left else "right",
            no_wrap=not wrap,
            overflow="fold",
        )
    for number, row in enumerate(table.rows):
        last_run = number == len(table.rows) - table.n_summary - 1
        rich.add_row(*map(Text, row), end_section=bool(table.n_summary) and last_run)
    return rich


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
    return [max(len(row[i]) for row in (table.header, *table.rows)) + 3 for i in range(len(table.header))]


def to_markdown(blocks: Iterable[Block]) -> str:
    """A document as GitHub-flavoured Markdown."""
    return "\n\n".join(_markdown(block) for block in without_figures(blocks)) + "\n"


def _markdown(block: Heading | Paragraph | Table | Code) -> str:
    if isinstance(block, Heading):
        return f"## {block.text}"
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Code):
        return f"```\n{block.text}\n```"
    rule = ["---" if i in block.left else "---:" for i in range(len(block.header))]
    first_summary = len(block.rows) - block.n_summary
    rows = [
        tuple(f"**{cell}**" if number >= first_summary and cell else cell for cell in row)
        for number, row in enumerate(block.rows)
    ]
    table = "\n".join(_line(row) for row in (block.header, rule, *rows))
    title = f"### {block.title}\n\n" if block.title else ""
    return title + table + (f"\n\n{block.caption}" if block.caption else "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
