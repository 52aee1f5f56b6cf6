"""Plots as PNG and SVG, with matplotlib. The same plot gives the same bytes.

One accent colour, grey for context and orange for what needs attention tell apart without colour vision; techniques are
told apart by place and name, never by colour, so that forty are as readable as four.
"""

import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from initbench.errors import StorageError
from initbench.render.blocks import Block, Figure
from initbench.render.plots import HeatMap, Panel, Panels, Plot, Ranking, Strip, Strips

# Each a colour of its own and used for nothing else: a page replaces them by its own, light or dark.
COLORS = {
    "ink": "#1b1f24",
    "muted": "#5b6570",
    "faint": "#c9d1d9",
    "accent": "#0072b2",
    "warm": "#d55e00",
}
_STYLE = {
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["muted"],
    "axes.edgecolor": COLORS["faint"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLORS["faint"],
    "ytick.color": COLORS["faint"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.labelcolor": COLORS["muted"],
    "text.color": COLORS["ink"],
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "initbench",
}
_ACROSS = 5
# Runs drawn one by one; more would only be a blot.
_MOST_LINES = 50


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
                    path.write_bytes(render(block.plot, suffix))
                    written.append(path)
    except OSError as error:
        raise StorageError(f"cannot write figures to {folder}: {error.strerror or error}") from error
    return written


def inline(figure: Figure) -> str:
    """A figure as an SVG element for a page, its colours the page's."""
    text = render(figure.plot, "svg", salt=figure.name).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[a-z0-9]+(\.axis)?_\d+"', "", text, flags=re.IGNORECASE)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name})")
    text = re.sub(r"font: ([\w ]*?)(\d+\S*) '[^;\"]*", r"font: \1\2 var(--sans)", text)
    view = re.search(r'viewBox="([^"]+)"', text)
    size = re.search(r'width="([\d.]+)pt"', text)
    width = 1.333 * float(size[1]) if size else 900
    label = f'role="img" aria-label="{escape(figure.title)}"'
    head = f'<svg viewBox="{view[1] if view else ""}" {label} style="width: {width:.0f}px"'
    whole = head + ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: whole, text, count=1)


def render(plot: Plot, suffix: str, salt: str = "initbench") -> bytes:
    """A plot as the bytes of a file, ``png`` (on white) or ``svg``."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        canvas = _draw(plot)
        file = io.BytesIO()
        if suffix == "png":
            canvas.savefig(file, format="png", dpi=200, facecolor="white", metadata={"Software": None})
        else:
            canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return file.getvalue()


def _draw(plot: Plot) -> Canvas:
    if isinstance(plot, Panels):
        return _panels(plot)
    if isinstance(plot, Strips):
        return _strips(plot)
    return _heat_map(plot) if isinstance(plot, HeatMap) else _ranking(plot)


def _panels(plot: Panels) -> Canvas:
    down = -(-len(plot.panels) // _ACROSS)
    across = -(-len(plot.panels) // down)
    canvas = Canvas(figsize=(0.5 + 1.85 * across if across > 2 else 0.5 + 2.6 * across, 0.45 + 1.5 * down))
    axes = canvas.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    draw = {"drawstyle": "steps-post"} if plot.steps else {}
    for place, (ax, panel) in enumerate(zip(axes, plot.panels, strict=False)):
        ax.set_title(_short(panel.name), fontsize=8 if len(panel.name) < 22 else 6.5)
        ax.grid(axis="y", color=COLORS["faint"], linewidth=0.4, alpha=0.6)
        if plot.level is not None:
            ax.axhline(plot.level, color=COLORS["warm"], linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            if place == 0:
                # At the end where the curve is farther from it.
                first, last = (abs(panel.middle[1][end] - plot.level) for end in (0, -1))
                ax.annotate(
                    "chance",
                    (float(last >= first), plot.level),
                    (0, 2),
                    xycoords=("axes fraction", "data"),
                    ha="right" if last >= first else "left",
                    va="bottom",
                    textcoords="offset points",
                    color=COLORS["warm"],
                    fontsize=6.5,
                )
        for other in plot.panels:
            if other is not panel:
                ax.plot(*other.middle, color=COLORS["faint"], linewidth=0.7, zorder=1, **draw)
        for line in panel.seeds[:_MOST_LINES]:
            ax.plot(*line, color=COLORS["accent"], linewidth=0.6, alpha=0.45, zorder=2, **draw)
        ax.plot(*panel.middle, color=COLORS["accent"], linewidth=1.9, zorder=3, solid_capstyle="round", **draw)
        _points(ax, plot, panel)
        if place + across >= len(plot.panels):
            ax.tick_params(labelbottom=True)
    for ax in axes[len(plot.panels) :]:
        ax.set_visible(False)
    _scale(plot, axes[0])
    canvas.supxlabel(plot.x, color=COLORS["muted"], fontsize=8)
    canvas.supylabel(plot.y, color=COLORS["muted"], fontsize=8)
    return canvas


def _points(ax: Axes, plot: Panels, panel: Panel) -> None:
    if len(panel.middle[0]) <= 12 and not plot.steps:
        ax.plot(*panel.middle, color=COLORS["accent"], marker="o", markersize=3, linestyle="none", zorder=3)
    if panel.ring is not None:
        ax.plot(
            *panel.ring,
            marker="o",
            markersize=8.5,
            markerfacecolor="none",
            markeredgewidth=1.4,
            markeredgecolor=COLORS["warm"],
            linestyle="none",
            zorder=4,
        )


def _scale(plot: Panels, ax: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    if plot.steps:
        ax.set_ylim(0, 104)
    if plot.log:
        x = sorted({value for panel in plot.panels for value in panel.middle[0]})
        # Matplotlib's own margin, set by hand: where no point has a number nothing else would set the limits.
        margin = max(1.05, (x[-1] / x[0]) ** 0.05)
        ax.set_xlim(x[0] / margin, x[-1] * margin)
        ax.set_xscale("log")
        if plot.steps:
            ax.xaxis.set_major_locator(FixedLocator([2**i for i in range(20) if 2**i <= x[-1]]))
            ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        x = sorted({value for panel in plot.panels for value in panel.middle[0]})
        ax.xaxis.set_major_locator(FixedLocator(x) if len(x) <= 6 else MaxNLocator(4, integer=True))


def _strips(plot: Strips) -> Canvas:
    """All runs, and where a few points of accuracy hold most techniques a second panel with only those."""
    whole = [value for strip in plot.strips for value in strip.values]
    # Chance is shown where it is near: else it would press all runs together.
    near = plot.level is not None and bool(whole) and min(whole) < plot.level + 25
    level = plot.level if near else None
    close = _close(plot.strips)
    zoom = bool(close) and (max(whole) - min(whole)) > 4 * max(0.5, max(close) - min(close))
    widest = max(len(strip.name) for strip in plot.strips)
    canvas = Canvas(
        figsize=(min(3.0, 0.6 + 0.07 * widest) + (3.4 if zoom else 5.2) * (1 + zoom), 0.75 + 0.27 * len(plot.strips))
    )
    axes = canvas.subplots(1, 1 + zoom, sharey=True, squeeze=False)[0]
    for ax in axes:
        ax.grid(axis="x", color=COLORS["faint"], linewidth=0.4, alpha=0.6)
        for row, strip in enumerate(plot.strips):
            _strip(ax, row, strip)
            if strip.failed and ax is axes[-1]:
                ax.annotate(
                    f"{strip.failed} failed",
                    (1.01, row),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    color=COLORS["warm"],
                    fontsize=6.5,
                    annotation_clip=False,
                )
        if level is not None:
            ax.axvline(level, color=COLORS["warm"], linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(plot.x)
    axes[0].set_yticks(range(len(plot.strips)), [_short(strip.name) for strip in plot.strips])
    axes[0].tick_params(axis="y", labelcolor=COLORS["ink"])
    axes[0].set_ylim(len(plot.strips) - 0.4, -0.6)
    if level is not None:
        axes[0].annotate(
            "chance",
            (level, -0.6),
            (2, 0),
            textcoords="offset points",
            color=COLORS["warm"],
            fontsize=6.5,
            va="bottom",
            annotation_clip=False,
        )
    if whole:
        # Intervals of few runs may leave the scale; the runs do not.
        edge = 0.04 * max(1.0, max(whole) - min(whole))
        least = min(whole) if level is None else min(min(whole), level)
        axes[0].set_xlim(least - edge, max(whole) + edge)
    if zoom:
        margin = 0.08 * max(0.5, max(close) - min(close))
        axes[1].set_xlim(min(close) - margin, max(close) + margin)
        axes[0].set_title("all runs", pad=14)
        axes[1].set_title("the best, enlarged", pad=14)
    return canvas


def _close(strips: Sequence[Strip]) -> list[float]:
    """The values of the techniques whose mean is within three points of the best."""
    best = max((strip.mean for strip in strips if strip.values), default=math.nan)
    return [value for strip in strips if strip.values and strip.mean > best - 3 for value in strip.values]


def _strip(ax: Axes, row: int, strip: Strip) -> None:
    # Neighbours in the order of the seeds lie apart, the same way each time.
    spread = [row + 0.2 * ((0.618034 * i) % 1 - 0.5) for i in range(len(strip.values))]
    ax.plot(
        strip.values,
        spread,
        linestyle="none",
        marker="o",
        markersize=3.4,
        markeredgewidth=0,
        alpha=0.55,
        color=COLORS["accent"],
        zorder=2,
    )
    if not math.isnan(strip.low):
        ax.plot([strip.low, strip.high], [row, row], color=COLORS["ink"], linewidth=1.2, zorder=3)
    if strip.values:
        ax.plot([strip.mean], [row], color=COLORS["ink"], marker="|", markersize=9, markeredgewidth=1.6, zorder=3)


def _heat_map(plot: HeatMap) -> Canvas:
    widest = max(len(row) for row in plot.rows)
    size = (
        0.7 + 0.07 * widest + max(0.62, 0.08 * max(map(len, plot.columns))) * len(plot.columns),
        0.8 + 0.27 * len(plot.rows),
    )
    canvas = Canvas(figsize=(size[0], size[1] + 0.15))
    ax = canvas.subplots()
    finite = [value for row in plot.values for value in row if not math.isnan(value)]
    colors = mpl.colormaps["cividis"]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    norm = mpl.colors.Normalize(low, high if high > low else low + 1)
    for y, row in enumerate(plot.values):
        for x, value in enumerate(row):
            missing = math.isnan(value)
            shade = colors(norm(value))
            box = mpl.patches.Rectangle(
                (x, y), 1, 1, facecolor="none" if missing else shade, edgecolor=COLORS["faint"], linewidth=0.6
            )
            ax.add_patch(box)
            light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
            color = COLORS["muted"] if missing else "#000000" if light else "#ffffff"
            ax.text(
                x + 0.5, y + 0.5, "–" if missing else f"{value:.1f}", ha="center", va="center", color=color, fontsize=7
            )
    ax.set_xlim(0, len(plot.columns))
    ax.set_ylim(len(plot.rows), 0)
    ax.set_xticks([x + 0.5 for x in range(len(plot.columns))], [_short(name) for name in plot.columns])
    ax.set_yticks([y + 0.5 for y in range(len(plot.rows))], [_short(name) for name in plot.rows])
    ax.tick_params(length=0, labelcolor=COLORS["ink"])
    ax.set_xlabel(plot.x)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(plot.unit, fontweight="normal", color=COLORS["muted"])
    return canvas


def _ranking(plot: Ranking) -> Canvas:
    """Demšar's diagram: names on both sides, each tied to its mean rank; a bar joins those that are not separable."""
    k, half, bars = len(plot.names), (len(plot.names) + 1) // 2, len(plot.groups)
    low, high = math.floor(min(plot.ranks)), max(math.floor(min(plot.ranks)) + 1, math.ceil(max(plot.ranks)))
    start = 0.45 + 0.32 * bars + 0.5
    bottom, top = start + half - 0.4, -2.2
    # Inches: the axis itself, and beside it room for the longest name.
    wide, room = 3.8, 0.45 + 0.072 * (6 + max(len(_short(name)) for name in plot.names))
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        canvas = Canvas(figsize=(wide + 2 * room, 0.24 * (bottom - top)))
    ax = canvas.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.set_xlim(low - room / wide * (high - low), high + room / wide * (high - low))
    ax.set_ylim(bottom, top)
    ax.plot([low, high], [0, 0], color=COLORS["ink"], linewidth=1.0)
    for tick in range(low, high + 1, 1 + (high - low) // 16):
        ax.plot([tick, tick], [0, -0.25], color=COLORS["ink"], linewidth=1.0)
        ax.text(tick, -0.4, str(tick), ha="center", va="bottom", color=COLORS["muted"], fontsize=7.5)
    ax.plot([low, low + plot.difference], [-1.6, -1.6], color=COLORS["warm"], linewidth=1.6)
    ax.text(
        low + plot.difference + 0.02 * (high - low),
        -1.6,
        f"critical difference {plot.difference:.2f}",
        va="center",
        color=COLORS["warm"],
        fontsize=7.5,
    )
    for number, group in enumerate(plot.groups):
        y = 0.45 + 0.32 * number
        ends = [plot.ranks[group[0]] - 0.01 * (high - low), plot.ranks[group[-1]] + 0.01 * (high - low)]
        ax.plot(ends, [y, y], color=COLORS["accent"], linewidth=3, solid_capstyle="round", zorder=3)
    for place, (name, rank) in enumerate(zip(plot.names, plot.ranks, strict=True)):
        left = place < half
        row = start + (place if left else k - 1 - place)
        end = low - 0.03 * (high - low) if left else high + 0.03 * (high - low)
        ax.plot([rank, rank, end], [0, row, row], color=COLORS["muted"], linewidth=0.8, zorder=2)
        pad = -0.02 if left else 0.02
        ax.text(
            end + pad * (high - low),
            row,
            f"{_short(name)}  {rank:.2f}" if left else f"{rank:.2f}  {_short(name)}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    return canvas


def _short(name: str) -> str:
    """A name that fits, with nothing that matplotlib would take for mathematics."""
    return (name if len(name) <= 34 else f"{name[:33]}…").replace("$", r"\$")
