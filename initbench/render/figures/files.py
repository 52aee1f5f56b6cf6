"""Plots as PNG and SVG, in files and in pages. The same plot gives the same bytes."""

import io
import multiprocessing
import re
import signal
import textwrap
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG

from initbench.errors import StorageError
from initbench.processors import processors
from initbench.render.blocks import Block, Figure, shown
from initbench.render.figures.canvas import Canvas
from initbench.render.figures.heat_map import heat_map
from initbench.render.figures.panels import panels
from initbench.render.figures.plane import plane
from initbench.render.figures.ranking import ranking
from initbench.render.figures.strips import strips
from initbench.render.figures.style import COLORS, STYLE
from initbench.render.files import replace_file
from initbench.render.plots import HeatMap, Panels, Plane, Plot, Strips

# Fewer figures are drawn before another process is there.
_WORTH_A_PROCESS = 4
# Of a title of 8 points, with room to spare.
_LETTERS_AN_INCH = 15


def write(blocks: Sequence[Block], folder: Path) -> list[Path]:
    """Every figure of a document as ``NAME.png`` and ``NAME.svg``.

    Raises:
        StorageError: the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for block in blocks:
            if isinstance(block, Figure):
                for suffix in ("png", "svg"):
                    path = folder / f"{block.name}.{suffix}"
                    replace_file(path, render(block.plot, suffix))
                    written.append(path)
    except OSError as error:
        raise StorageError(f"cannot write figures to {folder}: {error.strerror or error}") from error
    return written


def inline(figure: Figure) -> str:
    """A figure as an SVG element for a page, its colours the page's."""
    with _style(figure.name):
        canvas = _canvas(figure.plot)
        told = _marked(canvas)
        file = io.StringIO()
        # What savefig does, without drawing all of it once before to find the layout, which is found here too.
        FigureCanvasSVG(canvas).print_svg(file, metadata={"Date": None, "Creator": None})
        text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # What the texts between the tags say is not ours to change.
    for number, texts in enumerate(told):
        text = _with_values(text, f"marks-{number}", texts)
    text = re.sub("<[^>]+>", lambda tag: _of_page(tag[0]), text)
    view = re.search(r'viewBox="([^"]+)"', text)
    size = re.search(r'width="([\d.]+)pt"', text)
    width = 1.333 * float(size[1]) if size else 900
    label = f'role="img" aria-label="{escape(shown(figure.title))}"'
    head = f'<svg viewBox="{view[1] if view else ""}" {label} style="width: {width:.0f}px"'
    whole = head + ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: whole, text, count=1)


def _of_page(tag: str) -> str:
    """A tag without its identifier, in the page's colours and letters."""
    tag = re.sub(r' id="([a-z0-9]+(\.axis)?_|marks-)\d+"', "", tag, flags=re.IGNORECASE)
    for name, color in COLORS.items():
        tag = tag.replace(color, f"var(--{name})")
    return re.sub(r"font: ([\w ]*?)(\d+\S*) '[^;\"]*", r"font: \1\2 var(--sans)", tag)


def inline_all(figures: Sequence[Figure]) -> list[str]:
    """Figures for a page, drawn by as many processes as there are cores where they are many."""
    n = min(processors(), len(figures) // _WORTH_A_PROCESS)
    # Threads of ours would not be there in a process that is forked from this one.
    if n < 2 or threading.active_count() > 1:
        return list(map(inline, figures))
    with warnings.catch_warnings():
        # Those of libraries that only multiply wait, and hold nothing that drawing needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        with multiprocessing.get_context("fork").Pool(n, _deaf) as pool:
            drawn = pool.map(inline, figures, chunksize=1)
            # They end by themselves: leaving the block would end them by a signal.
            pool.close()
            pool.join()
            return drawn


def _deaf() -> None:
    """Whoever is interrupted ends its helpers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By which a pool ends its processes; what the command does then is the command's own.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _marked(canvas: Canvas) -> list[Sequence[str]]:
    """Make marks of a figure elements that nobody sees and a pointer finds; what is said of them, in their order."""
    for number, marks in enumerate(canvas.marks):
        # Limits are found when they are asked for; what nobody sees has no say in them.
        x, y = marks.ax.get_xlim(), marks.ax.get_ylim()
        marks.ax.scatter(marks.x, marks.y, s=60, alpha=0, zorder=9, gid=f"marks-{number}")
        marks.ax.set(xlim=x, ylim=y)
    return [marks.texts for marks in canvas.marks]


def _with_values(svg: str, name: str, texts: Sequence[str]) -> str:
    """The elements of a group, each with its text."""
    start = svg.find(f'<g id="{name}"')
    if start < 0:
        return svg
    end = svg.find('<g id="', start + 1)
    group = svg[start : end if end >= 0 else len(svg)]
    # One element is a path; several are uses of one that is defined first.
    several = "<use " in group
    head, defined, elements = group.partition("</defs>") if several else ("", "", group)
    waiting = iter(texts)

    def told(tag: re.Match[str]) -> str:
        text = next(waiting, None)
        return tag[0] if text is None else f'{tag[0]} data-value="{escape(shown(text), quote=True)}"'

    marked = head + defined + re.sub("<use(?= )" if several else "<path(?= )", told, elements, count=len(texts))
    return svg[:start] + marked + svg[start + len(group) :]


def render(plot: Plot, suffix: str, salt: str = "initbench") -> bytes:
    """A plot as the bytes of a file, ``png`` (on white) or ``svg``."""
    with _style(salt):
        return _bytes(_canvas(plot), suffix)


@contextmanager
def _style(salt: str) -> Iterator[None]:
    with mpl.rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        # The font draws a box for a letter that it lacks; the table beside the figure has it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _bytes(canvas: Canvas, suffix: str) -> bytes:
    file = io.BytesIO()
    if suffix == "png":
        canvas.savefig(file, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    else:
        canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def draw(plot: Plot, title: str = "") -> Canvas:
    """A plot as a matplotlib figure, for whoever wants to show or change it."""
    with mpl.rc_context(STYLE):
        canvas = _canvas(plot)
        if title:
            folded = textwrap.fill(shown(title), int(_LETTERS_AN_INCH * canvas.get_figwidth()))
            canvas.suptitle(folded, x=0.01, ha="left", fontsize=8)
        return canvas


def _canvas(plot: Plot) -> Canvas:
    plot = shown(plot)
    if isinstance(plot, Panels):
        return panels(plot)
    if isinstance(plot, Strips):
        return strips(plot)
    if isinstance(plot, Plane):
        return plane(plot)
    return heat_map(plot) if isinstance(plot, HeatMap) else ranking(plot)
