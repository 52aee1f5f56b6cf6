"""Views over all settings: ranks, the interquartile mean and performance profiles, with settings as blocks.

Seeds are repeats within a setting, not blocks. Here a run that failed scores as chance, so that no technique gains by
diverging, and only techniques with trials in every setting take part.
"""

import math

import numpy as np
import pandas as pd

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.render.blocks import Block, Figure, Heading, Paragraph, Table
from initbench.render.plots import Panel, Panels, Ranking
from initbench.render.text import counted, interval, listed, number, percent, probability

_FACTORS = (1.0, 1.5, 2.0, 4.0)


def across(comparison: Comparison) -> list[Block]:
    """Everything that needs several settings; nothing where there is one."""
    # A setting of which no trial could start has no accuracy, and no chance level either.
    frame = comparison.frame[comparison.frame["test_total"] > 0]
    groups = frame.groupby(["setting", "technique"])
    n = groups.size().unstack("technique")
    common = [technique for technique in n.columns if n[technique].notna().all()]
    gaps = [comparison.techniques[technique] for technique in n.columns if technique not in common]
    if len(n) < 2:
        return []
    if len(common) < 3:
        return [
            Heading("Across settings"),
            Paragraph("Fewer than three of what is compared have trials in every setting."),
        ]
    names = [comparison.techniques[technique] for technique in common]
    chance = frame["test_majority"] / frame["test_total"]
    scored = frame.assign(score=frame["test_accuracy"].astype(float).fillna(chance))
    scored = scored[scored["technique"].isin(common)]
    left_out = f"Left out, as they have no trials in some settings: {listed(gaps)}."
    return [
        Heading("Across settings"),
        *([Paragraph(left_out)] if gaps else []),
        *_ranking(scored, names, common, comparison.what),
        _interquartile(scored, names, common, comparison.what),
        _profile(scored, names, common, comparison.what),
    ]


def _ranking(scored: pd.DataFrame, names: list[str], common: list[int], what: str) -> list[Block]:
    means = scored.groupby(["setting", "technique"])["score"].mean().unstack("technique")[common].to_numpy(float)
    blocks, k = means.shape
    ranks = statistics.mean_ranks(means.round(6))
    difference = statistics.critical_difference(k, blocks)
    order = sorted(range(k), key=lambda i: (ranks[i], names[i]))
    about = (
        f"Mean rank over {counted(blocks, 'setting')}: 1 is best, ties share the mean of their ranks. A block is a "
        "setting's mean over its seeds, a failed run scoring as chance."
    )
    if difference >= k - 1:
        needed = next(n for n in range(blocks, 100_000) if statistics.critical_difference(k, n) < k - 1)
        untested = tuple((names[i], number(ranks[i])) for i in order)
        refusal = (
            f"No test is made: with {counted(blocks, 'setting')} and {k} techniques no two mean ranks can differ "
            f"significantly; {needed} settings would do."
        )
        return [
            Table((what, "mean rank"), untested, title="Mean ranks over settings", caption=about),
            Paragraph(refusal),
        ]
    p = statistics.nemenyi(means.round(6))
    letters = statistics.letters(p, order)
    rows = [(names[i], number(ranks[i]), letters[i]) for i in order]
    rows.append(("Friedman p", probability(statistics.friedman_p(means.round(6))), ""))
    rows.append(("critical difference", number(difference), ""))
    caption = (
        f"{about} Friedman's test asks whether all rank alike. Techniques that share a letter are not separable: their "
        "mean ranks differ by less than Nemenyi's critical difference (family-wise error 5 %)."
    )
    table = Table((what, "mean rank", "group"), tuple(rows), n_summary=2, left=(0, 2), caption=caption)
    groups = tuple(
        tuple(place for place, i in enumerate(order) if letter in letters[i])
        for letter in sorted({letter for text in letters for letter in text})
    )
    plot = Ranking(
        tuple(names[i] for i in order),
        tuple(float(ranks[i]) for i in order),
        tuple(group for group in groups if len(group) > 1),
        difference,
    )
    return [Figure("ranks", "Mean ranks over settings", plot, table)]


def _interquartile(scored: pd.DataFrame, names: list[str], common: list[int], what: str) -> Table:
    rows = []
    for name, technique in zip(names, common, strict=True):
        mine = scored[scored["technique"] == technique]
        strata = [values.to_numpy(float) for _, values in mine.groupby("setting")["score"]]
        mean, low, high = statistics.bootstrap_interquartile_mean(strata)
        rows.append((mean, (name, percent(mean), interval(low, high))))
    rows.sort(key=lambda row: (-row[0], row[1]))
    caption = (
        "Interquartile mean of the test accuracy in % over all settings and seeds (the mean of the middle half), "
        f"with a 95 % interval from {statistics.RESAMPLES:,} bootstrap resamples of the seeds within each setting; a "
        "failed run scores as chance."
    )
    return Table(
        (what, "IQM", "95 % interval"),
        tuple(row for _, row in rows),
        title="Interquartile mean",
        caption=caption,
    )


def _profile(scored: pd.DataFrame, names: list[str], common: list[int], what: str) -> Figure:
    epochs = scored.assign(epochs=scored["epochs_to_target"].fillna(np.inf))
    costs = epochs.groupby(["setting", "technique"])["epochs"].median().unstack("technique")[common].to_numpy(float)
    # A net at its target before training is no better than one that gets there in the first epoch.
    factors, shares = statistics.performance_profile(np.maximum(costs, 1.0))

    def share(technique: int, factor: float) -> float:
        return float(shares[technique, factors <= factor][-1])

    order = sorted(range(len(names)), key=lambda i: (*(-share(i, factor) for factor in _FACTORS), names[i]))
    rows = tuple(
        (names[i], *(f"{100 * share(i, f):.0f}" for f in _FACTORS), f"{100 * share(i, math.inf):.0f}") for i in order
    )
    header = (what, "fastest", *(f"within {factor:g}x" for factor in _FACTORS[1:]), "reached")
    caption = (
        "Performance profile on the epochs to the target (median over seeds, the target being each data set's): "
        "percentage of settings in which the technique is the fastest, is within a factor of the fastest, and "
        "reaches the target in more than half of its runs. Ties count for all that tie; a setting that nobody solves "
        "counts for none."
    )
    table = Table(header, rows, caption=caption)
    end = max(2.0, float(factors[-1]) * 1.05)
    x = (*map(float, factors), end)
    panels = tuple(
        Panel(names[i], (), (x, (*(100 * float(value) for value in shares[i]), 100 * float(shares[i, -1]))))
        for i in order
    )
    plot = Panels("epochs, as a multiple of the fastest", "settings, %", panels, log=True, steps=True)
    return Figure("profile", "Performance profile on epochs to the target", plot, table)
