"""What plots are drawn on."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# More would make a page slow, and lie on each other.
_MOST_MARKS = 3000


class Marks(NamedTuple):
    """Places of a figure with what a page says of each under the pointer."""

    ax: Axes
    x: Sequence[float]
    y: Sequence[float]
    texts: Sequence[str]


class Canvas(Figure):
    """A matplotlib figure that a notebook shows as it is, whatever backend is on; ``marks`` are for pages."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.marks: list[Marks] = []

    def mark(self, ax: Axes, x: Sequence[float], y: Sequence[float], texts: Sequence[str]) -> None:
        """Say something of places: of data, in the coordinates of their axes; without effect in a file."""
        if sum(len(marks.x) for marks in self.marks) + len(x) <= _MOST_MARKS:
            self.marks.append(Marks(ax, x, y, texts))

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=150, facecolor="white")
        return file.getvalue()
