"""What plots are drawn on."""

import io

from matplotlib.figure import Figure


class Canvas(Figure):
    """A matplotlib figure that a notebook shows as it is, whatever backend is on."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=150, facecolor="white")
        return file.getvalue()
