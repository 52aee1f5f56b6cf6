"""Blocks as text: on the terminal and as Markdown."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from initbench.report.blocks import Block, Code, Figure, Heading, Paragraph, Table


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
    told: set[str] = set()
    for block in without_figures(blocks):
        if isinstance(block, Heading):
            console.print(f"\n[bold]{escape(block.text)}[/bold]")
        elif isinstance(block, Code):
            console.print(f"\n{_folded(block.text, console.width)}", style="dim", highlight=False, markup=False)
        elif isinstance(block, Paragraph):
            console.print(escape(block.text), style="dim", highlight=False)
        else:
            if block.title:
                console.print(f"\n[bold]{escape(block.title)}[/bold]", highlight=False)
            for part in _fitting(block, console.width):
                console.print(_rich(part))
            if block.caption and block.caption not in told:
                told.add(block.caption)
                console.print(escape(block.caption), style="dim", highlight=False)


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


def _rich(table: Table) -> RichTable:
    rich = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, name in enumerate(table.header):
        wrap = number in table.left and number > 0
        rich.add_column(
            escape(name),
            justify="left" if number in table.left else "right",
            no_wrap=not wrap,
            overflow="fold",
        )
    for number, row in enumerate(table.rows):
        last_run = number == len(table.rows) - table.n_summary - 1
        rich.add_row(*map(escape, row), end_section=bool(table.n_summary) and last_run)
    return rich


def _fitting(table: Table, width: int) -> list[Table]:
    """The table, or parts of it that repeat the first column, none wider than ``width`` characters if possible."""
    if len(table.left) > 1:
        return [table]
    # Padding on both sides and a space between columns, as Rich draws them.
    sizes = [max(len(row[i]) for row in (table.header, *table.rows)) + 3 for i in range(len(table.header))]
    parts: list[list[int]] = [[]]
    for column in range(1, len(sizes)):
        if parts[-1] and sizes[0] + 1 + sum(sizes[i] for i in parts[-1]) + sizes[column] > width:
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
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
