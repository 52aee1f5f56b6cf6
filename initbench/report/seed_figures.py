"""The figures of one setting, with every seed in them: learning curves and final accuracies."""

import math
from collections.abc import Sequence

import numpy as np

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import Summary, chance, grid
from initbench.render.blocks import Figure, Table
from initbench.render.plots import Line, Panel, Panels, Strip, Strips
from initbench.render.text import percent


def learning_curves(comparison: Comparison, setting: int) -> Figure | None:
    """Validation accuracy after each epoch: every seed, and the median over those that are still finite."""
    trials = comparison.section(setting)
    panels, medians = [], {}
    for technique in comparison.present(setting):
        own = trials[trials["technique"] == technique]
        curves = [comparison.trials.curve(int(row)).astype(float) for row in own.index]
        curves = [np.where(curve < 0, np.nan, curve) for curve in curves if len(curve)]
        if not curves:
            continue
        length = max(map(len, curves))
        whole = np.full((len(curves), length), np.nan)
        for i, curve in enumerate(curves):
            whole[i, : len(curve)] = 100 * curve / float(own["val_total"].iloc[0])
        median = np.array(
            [np.median(column[~np.isnan(column)]) if (~np.isnan(column)).any() else np.nan for column in whole.T]
        )
        name = comparison.techniques[technique]
        medians[name] = median
        panels.append(Panel(name, tuple(_line(row) for row in whole), _line(median)))
    if not panels:
        return None
    length = max(map(len, medians.values()))
    rows = tuple(
        (str(epoch), *(percent(m[epoch] / 100) if epoch < len(m) else "" for m in medians.values()))
        for epoch in range(length)
    )
    caption = "Median validation accuracy in % over the runs that are still finite; epoch 0 is before training."
    table = Table(("epoch", *medians), rows, caption=caption)
    plot = Panels("epoch", "validation accuracy, %", tuple(panels), level=_level(comparison, setting))
    return Figure(f"curves-{setting + 1}", f"Learning curves: {comparison.titles[setting]}", plot, table, extra=True)


def strips(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Figure:
    """Test accuracy of every run, with the mean and its interval."""
    accuracy = 100 * grid(comparison, setting, "test_accuracy")
    rows = []
    for one in found:
        values = tuple(map(float, accuracy[one.technique].dropna()))
        mean, low, high = (100 * value for value in (one.mean, one.low, one.high))
        rows.append(Strip(comparison.techniques[one.technique], values, mean, low, high, one.failed))
    header = (comparison.what, "runs", "failed", "mean", "95 % from", "to", "accuracies")
    cells = tuple(
        (
            *(strip.name, str(len(strip.values) + strip.failed), str(strip.failed)),
            *(percent(value / 100) for value in (strip.mean, strip.low, strip.high)),
            " ".join(percent(value / 100) for value in strip.values),
        )
        for strip in rows
    )
    caption = "Test accuracy in %: mean of the runs that did not fail with its 95 % t interval, and every run by seed."
    table = Table(header, cells, left=(0, 6), caption=caption)
    plot = Strips("test accuracy, %", tuple(rows), level=_level(comparison, setting))
    return Figure(f"runs-{setting + 1}", f"Every run: {comparison.titles[setting]}", plot, table, extra=True)


def _line(values: np.ndarray) -> Line:
    return tuple(range(len(values))), tuple(map(float, values))


def _level(comparison: Comparison, setting: int) -> float | None:
    """Chance in %, where it is known."""
    known = chance(comparison, setting)
    return None if math.isnan(known) else 100 * known
