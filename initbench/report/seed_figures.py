"""The figures of one setting, with every seed in them: learning curves and final scores."""

import math
from collections.abc import Sequence

import numpy as np

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import Summary, chance, grid
from initbench.render.blocks import Figure, Table
from initbench.render.plots import Line, Panel, Panels, Strip, Strips
from initbench.render.text import scored
from initbench.tasks import Score


def learning_curves(comparison: Comparison, setting: int) -> Figure | None:
    """Validation score after each epoch: every seed, and the median over those that are still finite."""
    trials, score = comparison.section(setting), comparison.score(setting)
    panels, medians = [], {}
    for technique in comparison.present(setting):
        own = trials[trials["technique"] == technique]
        curves = [comparison.trials.score_curve(int(row)) for row in own.index]
        curves = [curve for curve in curves if len(curve)]
        if not curves:
            continue
        length = max(map(len, curves))
        whole = np.full((len(curves), length), np.nan)
        for i, curve in enumerate(curves):
            whole[i, : len(curve)] = score.times * curve
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
        (str(epoch), *(scored(m[epoch] / score.times, score) if epoch < len(m) else "" for m in medians.values()))
        for epoch in range(length)
    )
    caption = f"Median {score.of('validation')} over the runs that are still finite; epoch 0 is before training."
    table = Table(("epoch", *medians), rows, caption=caption)
    plot = Panels("epoch", score.axis("validation"), tuple(panels), level=_level(comparison, setting))
    return Figure(f"curves-{setting + 1}", f"Learning curves: {comparison.titles[setting]}", plot, table, extra=True)


def strips(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Figure:
    """Test score of every run, with the mean and its interval."""
    score = comparison.score(setting)
    measured = score.times * grid(comparison, setting, "test_score")
    rows = []
    for one in found:
        values = tuple(map(float, measured[one.technique].dropna()))
        mean, low, high = (score.times * value for value in (one.mean, one.low, one.high))
        low, high = min(low, high), max(low, high)
        rows.append(Strip(comparison.techniques[one.technique], values, mean, low, high, one.failed))
    header = (comparison.what, "runs", "failed", "mean", "95 % from", "to", _several(score))
    cells = tuple(
        (
            *(strip.name, str(len(strip.values) + strip.failed), str(strip.failed)),
            *(scored(value / score.times, score) for value in (strip.mean, strip.low, strip.high)),
            " ".join(scored(value / score.times, score) for value in strip.values),
        )
        for strip in rows
    )
    about = "mean of the runs that did not fail with its 95 % t interval, and every run by seed."
    caption = f"{score.of('Test')}{score.less}: {about}"
    table = Table(header, cells, left=(0, 6), caption=caption)
    plot = Strips(score.axis("test"), tuple(rows), level=_level(comparison, setting))
    return Figure(f"runs-{setting + 1}", f"Every run: {comparison.titles[setting]}", plot, table, extra=True)


def _line(values: np.ndarray) -> Line:
    return tuple(range(len(values))), tuple(map(float, values))


def _level(comparison: Comparison, setting: int) -> float | None:
    """Chance as it is shown, where it is known."""
    known = chance(comparison, setting)
    return None if math.isnan(known) else comparison.score(setting).times * known


def _several(score: Score) -> str:
    return "accuracies" if score.name == "accuracy" else score.name
