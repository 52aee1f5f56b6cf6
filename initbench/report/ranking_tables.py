"""Views over all settings: ranks, the interquartile mean and performance profiles."""

import math

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.analysis.rankings import (
    BlockDesign,
    MeanRanks,
    block_design,
    interquartile_means,
    mean_ranks,
    profile,
)
from initbench.render.blocks import Block, Figure, Heading, Paragraph, Table
from initbench.render.plots import Panel, Panels, Ranking
from initbench.render.text import counted, interval, listed, number, probability, scored
from initbench.report.glance import told
from initbench.tasks import Score

_FACTORS = (1.0, 1.5, 2.0, 4.0)
_LEAST_TECHNIQUES = 3


def across(comparison: Comparison) -> list[Block]:
    """Everything that needs several settings; nothing where there is one."""
    design = block_design(comparison)
    if design.settings < 2:
        return []
    if len(design.techniques) < _LEAST_TECHNIQUES:
        return [
            Heading("Across settings"),
            Paragraph("Fewer than three of what is compared have trials in every setting."),
        ]
    score = comparison.score_of_all
    if score is None:
        refusal = f"Settings are told by different scores, {told(comparison, '').strip()}: choose those of one."
        return [Heading("Across settings"), Paragraph(refusal)]
    gaps = [comparison.techniques[technique] for technique in design.left_out]
    left_out = f"Left out, as they have no trials in some settings: {listed(gaps)}."
    return [
        Heading("Across settings"),
        *([Paragraph(left_out)] if gaps else []),
        *_ranks(comparison, mean_ranks(design)),
        _interquartile(design, score),
        _profile(design),
    ]


def _ranks(comparison: Comparison, found: MeanRanks) -> list[Block]:
    names = [comparison.techniques[technique] for technique in found.techniques]
    about = (
        f"Mean rank over {counted(found.settings, 'setting')}: 1 is best, ties share the mean of their ranks. A block "
        "is a setting's mean over its seeds, a failed run scoring as chance, or as the worst finished run where that "
        "is lower."
    )
    if found.settings_needed:
        untested = tuple((name, number(rank)) for name, rank in zip(names, found.ranks, strict=True))
        refusal = (
            f"No test is made: with {counted(found.settings, 'setting')} and {len(names)} techniques no two mean ranks "
            f"can differ significantly; {found.settings_needed} settings would do."
        )
        header = (comparison.what, "mean rank")
        return [Table(header, untested, title="Mean ranks over settings", caption=about), Paragraph(refusal)]
    rows = [(name, number(rank), letters) for name, rank, letters in zip(names, found.ranks, found.groups, strict=True)]
    rows.append(("Friedman p", probability(found.friedman_p), ""))
    rows.append(("critical difference", number(found.critical_difference), ""))
    caption = (
        f"{about} Friedman's test asks whether all rank alike. Techniques that share a letter are not separable: their "
        "mean ranks differ by less than Nemenyi's critical difference (family-wise error 5 %)."
    )
    table = Table((comparison.what, "mean rank", "group"), tuple(rows), n_summary=2, left=(0, 2), caption=caption)
    bars = tuple(
        tuple(place for place, letters in enumerate(found.groups) if letter in letters)
        for letter in sorted(set("".join(found.groups)))
    )
    bars = tuple(bar for bar in bars if len(bar) > 1)
    plot = Ranking(tuple(names), found.ranks, bars, found.critical_difference)
    return [Figure("ranks", "Mean ranks over settings", plot, table)]


def _interquartile(design: BlockDesign, score: Score) -> Table:
    rows = tuple(
        (design.comparison.techniques[one.technique], scored(one.mean, score), interval(one.low, one.high, score))
        for one in interquartile_means(design)
    )
    caption = (
        f"Interquartile mean of the {score.of('test')}{score.less} over all settings and seeds (the mean of the middle "
        f"half), with a 95 % interval from {statistics.RESAMPLES:,} bootstrap resamples of the seeds within each "
        "setting; a failed run scores as chance, or as the worst finished run where that is lower."
    )
    header = (design.comparison.what, "IQM", "95 % interval")
    return Table(header, rows, title="Interquartile mean", caption=caption)


def _profile(design: BlockDesign) -> Figure:
    found, names = profile(design), design.comparison.techniques
    order = sorted(found.techniques, key=lambda t: (*(-found.within(t, factor) for factor in _FACTORS), names[t]))
    rows = tuple(
        (names[technique], *(f"{100 * found.within(technique, factor):.0f}" for factor in (*_FACTORS, math.inf)))
        for technique in order
    )
    header = (design.comparison.what, "fastest", *(f"within {factor:g}x" for factor in _FACTORS[1:]), "reached")
    caption = (
        "Performance profile on the epochs to the target (median over seeds, the target being each data set's): "
        "percentage of settings in which the technique is the fastest, is within a factor of the fastest, and "
        "reaches the target in more than half of its runs. Ties count for all that tie; a setting that nobody solves "
        "counts for none."
    )
    x = (*map(float, found.factors), max(2.0, float(found.factors[-1]) * 1.05))
    panels = []
    for technique in order:
        shares = [100 * float(share) for share in found.shares[found.techniques.index(technique)]]
        panels.append(Panel(names[technique], (), (x, (*shares, shares[-1]))))
    plot = Panels("epochs, as a multiple of the fastest", "settings, %", tuple(panels), log=True, steps=True)
    table = Table(header, rows, caption=caption)
    return Figure("profile", "Performance profile on epochs to the target", plot, table)
