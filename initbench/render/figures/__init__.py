"""Plots drawn with matplotlib, a file per kind of plot."""

from initbench.render.figures.files import inline, render, write

__all__ = ["inline", "render", "write"]
