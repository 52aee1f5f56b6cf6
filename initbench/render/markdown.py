"""Blocks as GitHub-flavoured Markdown."""

import re
from collections.abc import Iterable, Sequence

from initbench.render.blocks import Block, Code, Heading, Paragraph, Table, shown, without_figures

# What Markdown reads as its own, where it does: code, emphasis, mathematics, bars, tags, references to characters,
# links, the end of a heading. The underscores and brackets inside of names and values are none of it.
_ACTIVE = re.compile(
    r"[\\`*~$|]|<(?=[a-z/!?])|&(?=#?\w+;)|\](?=[(\[:])|:(?=//)|(?<=www)\.|(?<![^\W_])_|_(?![^\W_])|#(?=#*\s*$)",
    re.IGNORECASE,
)
# At the start of a line: headings, lists, quotes, rules, definitions.
_OPENING = re.compile(r"^(\d*)(?=[#>+\-=\[.)])")


def to_markdown(blocks: Iterable[Block]) -> str:
    """A document as GitHub-flavoured Markdown; texts in it are text, whatever is in them."""
    return "\n\n".join(_markdown(shown(block)) for block in without_figures(blocks)) + "\n"


def _markdown(block: Heading | Paragraph | Table | Code) -> str:
    if isinstance(block, Heading):
        return f"## {_text(block.text)}"
    if isinstance(block, Paragraph):
        return _paragraph(block.text)
    if isinstance(block, Code):
        text = "\n".join(block.lines)
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        return f"{fence}\n{text}\n{fence}"
    rule = ["---" if i in block.left else "---:" for i in range(len(block.header))]
    first_summary = len(block.rows) - block.n_summary
    rows = [
        tuple(f"**{_text(cell)}**" if number >= first_summary and cell else _text(cell) for cell in row)
        for number, row in enumerate(block.rows)
    ]
    table = "\n".join(_line(row) for row in (list(map(_text, block.header)), rule, *rows))
    title = f"### {_text(block.title)}\n\n" if block.title else ""
    return title + table + (f"\n\n{_paragraph(block.caption)}" if block.caption else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _paragraph(text: str) -> str:
    return _OPENING.sub(r"\1\\", _text(text.strip()))


def _text(text: str) -> str:
    return _ACTIVE.sub(r"\\\g<0>", text)
