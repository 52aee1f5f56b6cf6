"""A document in the format that was asked for by name."""

from collections.abc import Sequence

from initbench.render.blocks import Block
from initbench.render.latex import to_latex
from initbench.render.markdown import to_markdown
from initbench.render.page import to_html
from initbench.render.terminal import to_text


def to_format(form: str, blocks: Sequence[Block], headline: tuple[str, str], width: int) -> str:
    """The text of a document.

    Args:
        form: ``rich`` (as on a terminal), ``markdown``, ``latex`` or ``html``.
        blocks: the document.
        headline: the title of a page and the paragraph under it.
        width: of a terminal.
    """
    if form == "html":
        return to_html(blocks, *headline)
    if form == "latex":
        return to_latex(blocks)
    return to_markdown(blocks) if form == "markdown" else to_text(blocks, width)
