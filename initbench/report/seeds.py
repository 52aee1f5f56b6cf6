"""The figures of one setting, with every seed in them: learning curves and final accuracies."""

import math

import numpy as np

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.render.blocks import Figure, Table
from initbench.render.plots import Line, Panel, Panels, Strip, Strips
from initbench.render.text import percent
from initbench.report import tables


def learning_curves(comparison: Comparison, setting: int) -> Figure | None:
    """Validation accuracy after each epoch: every seed, and the median over those that are still finite."""
    trials = comparison.section(setting)
    panels, medians = [], {}
    for technique in comparison.present(setting):
        mine = trials[trials["technique"] == technique]
        curves = [comparison.trials.curve(int(row)).astype(float) for row in mine.index]
        curves = [np.where(curve < 0, np.nan, curve) for curve in curves if len(curve)]
        if not curves:
            continue
        length = max(map(len, curves))
        whole = np.full((len(curves), length), np.nan)
        for i, curve in enumerate(curves):
            whole[i, : len(curve)] = 100 * curve / float(mine["val_total"].iloc[0])
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
    plot = Panels("epoch", "validation accuracy, %", tuple(panels), level=_chance(comparison, setting))
    return Figure(f"curves-{setting + 1}", f"Learning curves: {comparison.titles[setting]}", plot, table, extra=True)


def strips(comparison: Comparison, setting: int) -> Figure:
    """Test accuracy of every run, with the mean and its interval."""
    accuracy = 100 * tables.grid(comparison, setting, "test_accuracy")
    n = tables.grid(comparison, setting, "outcome").notna().sum()
    rows = []
    for technique in comparison.present(setting):
        values = accuracy[technique].dropna().to_numpy(float)
        mean = float(values.mean()) if len(values) else math.nan
        low, high = statistics.t_interval(values)
        name = comparison.techniques[technique]
        rows.append(Strip(name, tuple(map(float, values)), mean, low, high, int(n[technique]) - len(values)))
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
    plot = Strips("test accuracy, %", tuple(rows), level=_chance(comparison, setting))
    return Figure(f"runs-{setting + 1}", f"Every run: {comparison.titles[setting]}", plot, table, extra=True)


def _line(values: np.ndarray) -> Line:
    return tuple(range(len(values))), tuple(map(float, values))


def _chance(comparison: Comparison, setting: int) -> float | None:
    about = comparison.about(setting)
    return 100 * float(about["test_majority"] / about["test_total"]) if about["test_total"] else None
