"""Named points over a plane that a line divides: where initializers lie, and the edge of chaos."""

import math

from matplotlib.axes import Axes

from initbench.render.figures.canvas import Canvas
from initbench.render.figures.style import COLORS, short
from initbench.render.plots import Plane

# How far names of points stand from them and, along x, from each other: in parts of the axes.
_LIFT, _APART = 0.07, 0.052


def plane(plot: Plane) -> Canvas:
    """Two tinted regions with the line between them; a point for each place, with the names of all that lie there."""
    canvas = Canvas(figsize=(6.4, 3.7))
    ax = canvas.subplots()
    finite = any(any(value < 0 for value in row) for row in plot.values) and any(
        any(value > 0 for value in row) for row in plot.values
    )
    ax.set_xscale("log")
    if finite:
        ax.contourf(
            plot.x,
            plot.y,
            plot.values,
            levels=[-1e9, 0, 1e9],
            colors=[COLORS["accent"], COLORS["warm"]],
            alpha=0.09,
            antialiased=True,
        )
        ax.contour(plot.x, plot.y, plot.values, levels=[0], colors=[COLORS["ink"]], linewidths=1.6)
    _words(ax, plot)
    _points(ax, plot)
    ax.set_xlim(plot.x[0], plot.x[-1])
    ax.set_ylim(plot.y[0], plot.y[-1])
    ax.set_xlabel(plot.x_label)
    ax.set_ylabel(plot.y_label)
    ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if plot.x[0] <= tick <= plot.x[-1]]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    return canvas


def _words(ax: Axes, plot: Plane) -> None:
    """What the regions are, above their corners, and what the line is, where it leaves at the top."""
    ax.set_title(plot.below, loc="left", pad=16, color=COLORS["accent"])
    ax.set_title(plot.above, loc="right", pad=16, color=COLORS["warm"])
    top = plot.values[-1]
    for before, after, low, high in zip(plot.x, plot.x[1:], top, top[1:], strict=False):
        if low < 0 <= high:
            at = before * (after / before) ** (-low / (high - low))
            ax.annotate(
                plot.edge,
                (at, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=COLORS["ink"],
                fontsize=7.5,
                annotation_clip=False,
            )
            return


def _points(ax: Axes, plot: Plane) -> None:
    places: dict[tuple[float, float], list[str]] = {}
    for name, x, y in plot.points:
        places.setdefault((float(f"{x:.3g}"), float(f"{y:.3g}")), []).append(short(name))
    width, height = math.log(plot.x[-1] / plot.x[0]), plot.y[-1] - plot.y[0]
    last: dict[float, float] = {}
    for (x, y), names in sorted(places.items()):
        at = math.log(x / plot.x[0]) / width
        # Of neighbours on one height the names move aside.
        to = max(at, last.get(y, -1.0) + _APART)
        last[y] = to + _APART * (len(names) - 1)
        ends = (plot.x[0] * math.exp(to * width), y + _LIFT * height)
        ax.plot([x, ends[0]], [y, ends[1]], color=COLORS["accent"], linewidth=0.7, zorder=3)
        ax.plot([x], [y], marker="o", markersize=5, color=COLORS["accent"], linestyle="none", zorder=4)
        ax.text(
            *ends,
            "\n".join(names),
            linespacing=1.05,
            rotation=42,
            rotation_mode="anchor",
            ha="left",
            va="bottom",
            fontsize=7.5,
            color=COLORS["ink"],
            zorder=5,
        )
