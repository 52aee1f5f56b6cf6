"""A document as one HTML file that needs nothing else: styles, script and figures are inside, no network."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table, shown


def to_html(blocks: Sequence[Block], title: str, lead: str) -> str:
    """The page: contents on the left, every table sortable, every figure with its numbers folded below it.

    Args:
        blocks: the document.
        title: heading of the page.
        lead: one paragraph under it.
    """
    contents, body = [], []
    for number, block in enumerate(map(shown, blocks)):
        if isinstance(block, Heading):
            anchor = escape(block.anchor or f"s{number}", quote=True)
            contents.append(f'<li><a href="#{anchor}">{escape(block.text)}</a></li>')
            body.append(f'<h2 id="{anchor}">{escape(block.text)}</h2>')
        else:
            body.append(_html(block))
    page = Template((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    title, lead = escape(shown(title)), escape(shown(lead))
    return page.substitute(title=title, lead=lead, contents="\n".join(contents), body="\n".join(body))


def _html(block: Paragraph | Code | Table | Figure | Heading) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Code):
        return f"<pre>{escape(chr(10).join(block.lines))}</pre>"
    if isinstance(block, Figure):
        from initbench.render.figures import inline

        numbers = f"<details><summary>The numbers</summary>{_table(block.table)}</details>"
        if not block.extra:
            numbers = _table(block.table)
        return f"<figure><figcaption>{escape(block.title)}</figcaption>\n{inline(block)}\n{numbers}</figure>"
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
