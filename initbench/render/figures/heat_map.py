"""Accuracies by technique and a swept setting, as colours and numbers."""

import math

import matplotlib as mpl

from initbench.render.figures.canvas import Canvas
from initbench.render.figures.style import COLORS, short
from initbench.render.plots import HeatMap


def heat_map(plot: HeatMap) -> Canvas:
    """A coloured cell with its number for every pair of row and column."""
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
        told = [f"{plot.rows[y]}, {name}: {value:.2f}" for name, value in zip(plot.columns, row, strict=True)]
        canvas.mark(ax, [x + 0.5 for x in range(len(row))], [y + 0.5] * len(row), told)
    ax.set_xlim(0, len(plot.columns))
    ax.set_ylim(len(plot.rows), 0)
    ax.set_xticks([x + 0.5 for x in range(len(plot.columns))], [short(name) for name in plot.columns])
    ax.set_yticks([y + 0.5 for y in range(len(plot.rows))], [short(name) for name in plot.rows])
    ax.tick_params(length=0, labelcolor=COLORS["ink"])
    ax.set_xlabel(plot.x)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_title(plot.unit, fontweight="normal", color=COLORS["muted"])
    return canvas
