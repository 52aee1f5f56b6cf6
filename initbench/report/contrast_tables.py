"""Contrasts in words and tables: the techniques against a baseline, and every pair."""

import math
from collections.abc import Sequence

from initbench.analysis import contrasts
from initbench.analysis.compare import Comparison
from initbench.analysis.contrasts import Contrast, Verdict
from initbench.analysis.summaries import Summary, scores
from initbench.render.blocks import Block, Paragraph, Table
from initbench.render.text import NONE, counted, listed, number, points, points_interval, probability, scored, spread
from initbench.report.outcome_tables import failed_score
from initbench.tasks import Score

_HEADER = (
    "pairs",
    "difference",
    "95 % interval",
    "p",
    "p (Holm)",
    "of interest",
    "p (same)",
    "d_z",
    "P(A>B)",
    "detectable",
)
_WORDS = {
    Verdict.HIGHER: "higher",
    Verdict.LOWER: "lower",
    Verdict.EQUIVALENT: "the same but for less than is of interest",
    Verdict.INSEPARABLE: "not separable",
    Verdict.UNTESTABLE: "not tested",
}


def against(
    comparison: Comparison, setting: int, baseline: int, summaries: Sequence[Summary], interest: float | None = None
) -> list[Block]:
    """Every technique against the baseline, and in words which are higher and which lower."""
    present, name = comparison.present(setting), comparison.techniques[baseline]
    if baseline not in present:
        return [Paragraph(f"No trials of the baseline {name} in this setting.")]
    score = comparison.score(setting)
    found = contrasts.against(comparison, setting, baseline, _fraction(interest, score))
    if not found:
        return []
    rows = tuple((comparison.techniques[one.a], *_cells(one, score)) for one in found)
    caption = f"A against the baseline B = {name}. {_caption(len(found), score, interest)}"
    table = Table((comparison.what, *_HEADER), rows, title=f"Against {name}", caption=caption)
    return [table, Paragraph(_verdicts(comparison, baseline, found, summaries))]


def all_pairs(comparison: Comparison, setting: int, interest: float | None = None) -> list[Block]:
    """Every pair of techniques, and the groups that cannot be told apart."""
    score = comparison.score(setting)
    found = contrasts.all_pairs(comparison, setting, _fraction(interest, score))
    if not found:
        return []
    if all(one.verdict is Verdict.UNTESTABLE for one in found):
        return [Paragraph(f"All pairs. {_refusal(found)}")]
    rows = tuple(
        (f"{comparison.techniques[one.a]} − {comparison.techniques[one.b]}", *_cells(one, score)) for one in found
    )
    table = Table(("A − B", *_HEADER), rows, title="All pairs", caption=_caption(len(found), score, interest))
    order, means = contrasts.by_score(comparison, setting), scores(comparison, setting)
    groups = tuple(
        (comparison.techniques[technique], scored(float(means[technique]), score), letters)
        for technique, letters in zip(order, contrasts.groups(found, order), strict=True)
    )
    caption = (
        f"Mean {score.of('test')}{score.less} over all runs, {failed_score(score)}. "
        "Techniques that share a letter are not separable, or have too few common runs for a test (Holm-adjusted p of "
        "all pairs, family-wise error 5 %)."
    )
    return [table, Table((comparison.what, "mean", "group"), groups, left=(0, 2), title="Groups", caption=caption)]


def _fraction(points: float | None, score: Score) -> float | None:
    """A difference of scores, of one as it is shown."""
    return None if points is None else points / abs(score.times)


def _cells(one: Contrast, score: Score) -> tuple[str, ...]:
    return (
        str(one.pairs),
        points(one.mean, score),
        points_interval(one.low, one.high, score),
        probability(one.p),
        probability(one.adjusted_p),
        spread(one.interest, score) if one.interest > 0 else NONE,
        probability(one.same_p),
        number(math.copysign(1.0, score.times) * one.effect),
        _with_interval(one.superiority, one.superiority_low, one.superiority_high),
        spread(one.detectable, score),
    )


def _with_interval(value: float, low: float, high: float) -> str:
    return number(value) + ("" if math.isnan(low) else f" ({number(low)}–{number(high)})")


def _caption(comparisons: int, score: Score, interest: float | None) -> str:
    smallest = (
        "by default the binomial standard error that the test set gives a score halfway between the two"
        if interest is None
        else "as it was asked for"
    )
    return (
        f"Paired by seed, over all seeds that both have, {failed_score(score)}: mean difference of test {score.name} "
        f"in {score.points}{score.less} with its 95 % t interval (not adjusted), two-sided p of the exact sign-flip "
        "permutation test (for hundreds of runs, of its Edgeworth series), and the same adjusted by Holm for "
        f"{counted(comparisons, 'comparison')}. Of interest is the smallest difference that matters, {smallest}; p "
        "(same) is that of two one-sided t tests that the difference is smaller, adjusted likewise. d_z is the mean "
        "difference over the sd of the differences. P(A>B) is the chance that a run of A beats a run of B, ties "
        "counting half, with its 95 % bootstrap interval, which has no width where the runs do not overlap. Detectable "
        "is the difference that a paired t test at this n and corrected level would find in 80 % of repetitions."
    )


def _verdicts(comparison: Comparison, baseline: int, found: Sequence[Contrast], summaries: Sequence[Summary]) -> str:
    """Which techniques are higher and which lower; those with runs that failed say how many."""
    if all(one.verdict is Verdict.UNTESTABLE for one in found):
        return _refusal(found)
    failed = {one.technique: (one.failed, one.n) for one in summaries}

    def named(technique: int) -> str:
        lost, n = failed[technique]
        return comparison.techniques[technique] + (f" ({lost} of {n} failed)" if lost else "")

    parts = []
    shown = _WORDS
    if comparison.score(found[0].setting).times < 0:
        shown = _WORDS | {Verdict.HIGHER: _WORDS[Verdict.LOWER], Verdict.LOWER: _WORDS[Verdict.HIGHER]}
    for verdict, words in shown.items():
        which = [named(one.a) for one in found if one.verdict is verdict]
        parts += [f"{words}: {listed(which)}"] if which else []
    return f"Against {named(baseline)}, at a family-wise error of 5 %: {'; '.join(parts)}."


def _refusal(found: Sequence[Contrast]) -> str:
    most = max(one.pairs for one in found)
    return (
        f"No test is made: with {counted(most, 'pair')} and {counted(len(found), 'comparison')} no difference whatever "
        f"could be significant at a family-wise error of 5 %; {found[0].seeds_needed} seeds would do."
    )
