"""Mean ranks and which of them are separable: the critical difference diagram."""

import math

import matplotlib as mpl

from initbench.render.figures.canvas import Canvas
from initbench.render.figures.style import COLORS, short
from initbench.render.plots import Ranking


def ranking(plot: Ranking) -> Canvas:
    """Demšar's diagram: names on both sides, each tied to its mean rank; a bar joins those that are not separable."""
    k, half, bars = len(plot.names), (len(plot.names) + 1) // 2, len(plot.groups)
    low, high = math.floor(min(plot.ranks)), max(math.floor(min(plot.ranks)) + 1, math.ceil(max(plot.ranks)))
    start = 0.45 + 0.32 * bars + 0.5
    bottom, top = start + half - 0.4, -2.2
    # Inches: the axis itself, and beside it room for the longest name.
    wide, room = 3.8, 0.45 + 0.072 * (6 + max(len(short(name)) for name in plot.names))
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
            f"{short(name)}  {rank:.2f}" if left else f"{rank:.2f}  {short(name)}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    told = [f"{name}: mean rank {rank:.2f}" for name, rank in zip(plot.names, plot.ranks, strict=True)]
    canvas.mark(ax, plot.ranks, [0.0] * k, told)
    return canvas
