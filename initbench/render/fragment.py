"""A table as a piece of HTML for a page of someone else's, a notebook's: no colours of its own, light or dark."""

from html import escape

from initbench.render.blocks import Table, shown


def to_fragment(table: Table, note: str = "") -> str:
    """The table under its title, its caption and a note below it.

    Styles are inline, as notebooks and the sites that show them drop others, and inherit all colours.
    """
    table, note = shown((table, note))
    head = "".join(f'<th scope="col"{_side(table, i)}>{escape(name)}</th>' for i, name in enumerate(table.header))
    body = "".join(
        f"<tr>{''.join(f'<td{_side(table, i)}>{escape(cell)}</td>' for i, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    title = f"<strong>{escape(table.title)}</strong>" if table.title else ""
    notes = " ".join(filter(None, [note, table.caption]))
    return (
        f"<div>{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f'<div style="opacity: 0.75; font-size: smaller">{escape(notes)}</div></div>'
    )


def _side(table: Table, column: int) -> str:
    if column in table.left:
        return ' style="text-align: left"'
    return ' style="text-align: right; font-variant-numeric: tabular-nums"'
