"""A panel per technique on common axes: learning curves, accuracies over a swept setting, performance profiles."""

import math

from matplotlib.axes import Axes

from initbench.render.figures.canvas import Canvas
from initbench.render.figures.style import COLORS, short
from initbench.render.plots import Panel, Panels

_ACROSS = 5
# Runs drawn one by one; more would only be a blot.
_MOST_LINES = 50


def panels(plot: Panels) -> Canvas:
    """Every technique in a panel of its own, the others behind it in grey."""
    down = -(-len(plot.panels) // _ACROSS)
    across = -(-len(plot.panels) // down)
    canvas = Canvas(figsize=(0.5 + 1.85 * across if across > 2 else 0.5 + 2.6 * across, 0.45 + 1.5 * down))
    axes = canvas.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    style = {"drawstyle": "steps-post"} if plot.steps else {}
    for place, (ax, panel) in enumerate(zip(axes, plot.panels, strict=False)):
        ax.set_title(short(panel.name), fontsize=8 if len(panel.name) < 22 else 6.5)
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
                ax.plot(*other.middle, color=COLORS["faint"], linewidth=0.7, zorder=1, **style)
        if panel.band is not None:
            (x, low), (_, high) = panel.band
            ax.fill_between(x, low, high, color=COLORS["accent"], alpha=0.22, linewidth=0, zorder=2)
        for line in panel.seeds[:_MOST_LINES]:
            ax.plot(*line, color=COLORS["accent"], linewidth=0.6, alpha=0.45, zorder=2, **style)
        ax.plot(*panel.middle, color=COLORS["accent"], linewidth=1.9, zorder=3, solid_capstyle="round", **style)
        if panel.theory is not None:
            ax.plot(*panel.theory, color=COLORS["warm"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=4)
        _points(ax, plot, panel)
        there = [(x, y) for x, y in zip(*panel.middle, strict=True) if math.isfinite(y)]
        if there:
            told = [f"{panel.name}, {plot.x} {x:g}: {y:.4g}" for x, y in there]
            canvas.mark(ax, [x for x, _ in there], [y for _, y in there], told)
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
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    if plot.steps:
        ax.set_ylim(0, 104)
    if plot.log_y:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        # Within a decade or two powers of ten alone would be too few ticks, perhaps none.
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        ax.yaxis.set_minor_formatter(NullFormatter())
    if plot.log:
        x = sorted({value for panel in plot.panels for value in panel.middle[0]})
        # Matplotlib's own margin, set by hand: where no point has a number nothing else would set the limits.
        margin = max(1.05, (x[-1] / x[0]) ** 0.05)
        ax.set_xlim(x[0] / margin, x[-1] * margin)
        ax.set_xscale("log")
        if plot.steps:
            ax.xaxis.set_major_locator(FixedLocator([2**i for i in range(20) if 2**i <= x[-1]]))
        # Minor ticks have no numbers here, and take as long to place as all the rest.
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        x = sorted({value for panel in plot.panels for value in panel.middle[0]})
        ax.xaxis.set_major_locator(FixedLocator(x) if len(x) <= 6 else MaxNLocator(4, integer=True))


def _power(value: float) -> str:
    """A tick of a scale of powers of ten."""
    return f"{value:g}" if 1e-3 <= value <= 1e3 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
