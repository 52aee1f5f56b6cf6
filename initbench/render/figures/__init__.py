"""Plots drawn with matplotlib, a file per kind of plot."""

from initbench.render.figures.files import draw, inline, inline_all, render, write

__all__ = ["draw", "inline", "inline_all", "render", "write"]
