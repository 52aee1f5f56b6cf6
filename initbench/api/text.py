"""A report as a text that a notebook shows as what it is."""

from html import escape
from typing import Any


class Text(str):
    """The text of a report; ``form`` is its format. In a notebook Markdown is set, and a page is a page in a frame."""

    form: str

    def __new__(cls, text: str, form: str) -> "Text":
        """The text with its format."""
        made = super().__new__(cls, text)
        made.form = form
        return made

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = {"text/plain": str(self)}
        if self.form == "markdown":
            return shown | {"text/markdown": str(self)}
        if self.form == "html":
            frame = 'style="width: 100%; height: 40em; border: 1px solid currentColor"'
            # A frame keeps the page's styles and scripts from the notebook's.
            shown["text/html"] = f'<iframe {frame} title="report" srcdoc="{escape(str(self))}"></iframe>'
        return shown
