"""Plots drawn with matplotlib, a file per kind of plot."""

from initbench.render.figures.files import draw, inline, render, write

__all__ = ["draw", "inline", "render", "write"]
