"""A row of dots per technique: every run, its mean and the interval of that."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from initbench.render.figures.canvas import Canvas
from initbench.render.figures.style import COLORS, short
from initbench.render.plots import Strip, Strips


def strips(plot: Strips) -> Canvas:
    """All runs, and where a few points of accuracy hold most techniques a second panel with only those."""
    whole = [value for strip in plot.strips for value in strip.values]
    # Chance is shown where it is near: else it would press all runs together.
    near = plot.level is not None and bool(whole) and min(whole) < plot.level + 25
    level = plot.level if near else None
    close = _close(plot.strips) if plot.enlarge else []
    zoom = bool(close) and (max(whole) - min(whole)) > 4 * max(0.5, max(close) - min(close))
    widest = max(len(strip.name) for strip in plot.strips)
    canvas = Canvas(
        figsize=(
            min(3.0, 0.6 + 0.07 * widest) + (3.4 if zoom else 5.2) * (1 + zoom),
            0.75 + 0.27 * max(2, len(plot.strips)),
        )
    )
    axes = canvas.subplots(1, 1 + zoom, sharey=True, squeeze=False)[0]
    for ax in axes:
        ax.grid(axis="x", color=COLORS["faint"], linewidth=0.4, alpha=0.6)
        for row, strip in enumerate(plot.strips):
            _strip(ax, row, strip)
            if strip.values:
                told = [f"{strip.name}, {plot.dot} {n}: {value:.2f}" for n, value in enumerate(strip.values, start=1)]
                canvas.mark(ax, strip.values, _spread(row, len(strip.values)), told)
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
    axes[0].set_yticks(range(len(plot.strips)), [short(strip.name) for strip in plot.strips])
    axes[0].tick_params(axis="y", labelcolor=COLORS["ink"])
    axes[0].set_ylim(len(plot.strips) - 0.4, -0.6)
    if level is not None:
        axes[0].annotate(
            plot.level_name,
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
        ends = whole if level is None else [*whole, level]
        axes[0].set_xlim(min(ends) - edge, max(ends) + edge)
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


def _spread(row: int, n: int) -> list[float]:
    """Neighbours in the order of the seeds lie apart, the same way each time."""
    return [row + 0.2 * ((0.618034 * i) % 1 - 0.5) for i in range(n)]


def _strip(ax: Axes, row: int, strip: Strip) -> None:
    ax.plot(
        strip.values,
        _spread(row, len(strip.values)),
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
