"""A document as one HTML file that needs nothing else: styles, script and figures are inside, no network."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template

from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table, shown
from initbench.version import __version__

# With more sections than these, those after the first two are folded until they are asked for.
_MOST_OPEN, _OPEN = 6, 2
# What the page itself calls its parts.
_TAKEN = ("theme", "filters", "unfold", "left", "hover")


def to_html(blocks: Sequence[Block], title: str, lead: str) -> str:
    """The page: contents on the left, sections that fold, tables to sort, filter and copy, figures with their numbers.

    Args:
        blocks: the document.
        title: heading of the page.
        lead: one paragraph under it.
    """
    blocks = [shown(block) for block in blocks]
    drawn = iter(_drawn(blocks))
    contents, body, taken = [], [], set(_TAKEN)
    headings = sum(isinstance(block, Heading) for block in blocks)
    n_sections = 0
    for block in blocks:
        if isinstance(block, Heading):
            anchor = _anchor(block, taken)
            body += ["</details>"] if n_sections else []
            n_sections += 1
            is_open = " open" if headings <= _MOST_OPEN or n_sections <= _OPEN else ""
            contents.append(f'<li><a href="#{anchor}">{escape(block.text)}</a></li>')
            head = f'<summary><h2 id="{anchor}">{escape(block.text)}</h2></summary>'
            body.append(f'<details class="part"{is_open}>{head}')
        else:
            body.append(_html(block, drawn))
    body += ["</details>"] if n_sections else []
    page = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    title, lead = escape(shown(title)), escape(shown(lead))
    return page.substitute(
        title=title, lead=lead, contents="\n".join(contents), body="\n".join(body), version=__version__
    )


def _drawn(blocks: Sequence[Block]) -> list[str]:
    """The figures as SVG, in their order."""
    figures = [block for block in blocks if isinstance(block, Figure)]
    if not figures:
        return []
    from initbench.render.figures import inline_all

    return inline_all(figures)


def _anchor(heading: Heading, taken: set[str]) -> str:
    """What a link to a section ends in: its own words, so that it stays when other sections come and go."""
    anchor = heading.anchor or re.sub(r"[\W_]+", "-", heading.text).strip("-").lower() or "section"
    number, name = 1, anchor
    while name in taken:
        number, name = number + 1, f"{anchor}-{number + 1}"
    taken.add(name)
    return escape(name, quote=True)


def _html(block: Paragraph | Code | Table | Figure | Heading, drawn: Iterator[str]) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Code):
        return f"<pre>{escape(chr(10).join(block.lines))}</pre>"
    if isinstance(block, Figure):
        numbers = f"<details><summary>The numbers</summary>{_table(block.table)}</details>"
        if not block.extra:
            numbers = _table(block.table)
        title = escape(block.title)
        image = f'<div class="image" tabindex="0" role="region" aria-label="{title}">{next(drawn)}</div>'
        return f"<figure><figcaption>{title}</figcaption>\n{image}\n{numbers}</figure>"
    return f"<p>{escape(block.text)}</p>"


def _table(table: Table) -> str:
    def kind(column: int) -> str:
        return ' class="text"' if column in table.left else ""

    heads = "".join(
        f'<th scope="col"{kind(i)}><button type="button">{escape(name)}</button></th>'
        for i, name in enumerate(table.header)
    )
    rows = [
        f'<tr><th scope="row"{kind(0)}>{escape(row[0])}</th>'
        + "".join(f"<td{kind(i)}>{escape(cell)}</td>" for i, cell in enumerate(row[1:], start=1))
        + "</tr>"
        for row in table.rows
    ]
    first = len(rows) - table.n_summary
    foot = f"<tfoot>{''.join(rows[first:])}</tfoot>" if table.n_summary else ""
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    name = escape(table.title or table.header[0])
    note = f'<p class="note">{escape(table.caption)}</p>' if table.caption else ""
    if table.context:
        note += f'<details class="context"><summary>Protocol and laws</summary><p>{escape(table.context)}</p></details>'
    return (
        f'{title}<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{chr(10).join(rows[:first])}</tbody>{foot}</table></div>{note}"
    )
