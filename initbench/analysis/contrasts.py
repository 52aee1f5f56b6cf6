"""One technique against another in one setting, as numbers addressed by codes: no sentence, no label.

Runs are paired by seed: at equal seed all techniques see the same batches. A run that failed is part of its pair and
scores as :func:`initbench.analysis.summaries.failed_count` says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import DIVERGED, grid, parts, scored_counts, scores


class Verdict(Enum):
    """What a contrast shows of A against B at a family-wise error of 5 %."""

    HIGHER = "higher"
    LOWER = "lower"
    # Within the smallest difference of interest of each other.
    EQUIVALENT = "equivalent"
    INSEPARABLE = "inseparable"
    # With so few pairs and so many comparisons no difference whatever could be significant.
    UNTESTABLE = "untestable"


@dataclass(frozen=True)
class Contrast:
    """Technique ``a`` against technique ``b`` over the seeds that both have.

    Differences are of scores, A minus B; NaN stands for a number that the pairs do not give.

    Attributes:
        setting: the code of the setting in the comparison.
        a: the code of the technique, ``(setting, a)`` being its cell; ``b`` likewise.
        pairs: the number of seeds that both have.
        failed_a: in how many of these A failed; ``failed_b`` likewise.
        mean: the mean difference of test score, ``low`` and ``high`` its 95 % t interval (not adjusted), ``sd`` the
            standard deviation of the differences (n − 1).
        effect: d_z, the mean over the sd.
        superiority: P(A > B) + ½ P(A = B) over all runs of either.
        superiority_low: its 95 % bootstrap interval, up to ``superiority_high``.
        p: two-sided, of the exact sign-flip test; NaN where no result of it could have been significant.
        adjusted_p: after Holm, over all ``comparisons``.
        interest: the smallest difference of interest: by default the binomial standard error that the test set gives an
            accuracy halfway between the two, the size of what other test samples would change; NaN where nothing is
            counted and nobody named one.
        same_p: of the two one-sided tests that the difference is smaller, after Holm over all ``comparisons``; NaN
            where that could not be tested.
        comparisons: how many contrasts were asked for together.
    """

    setting: int
    a: int
    b: int
    pairs: int
    failed_a: int
    failed_b: int
    mean: float
    low: float
    high: float
    sd: float
    effect: float
    superiority: float
    superiority_low: float
    superiority_high: float
    p: float
    adjusted_p: float
    interest: float
    same_p: float
    comparisons: int

    @property
    def verdict(self) -> Verdict:
        """Whether A is higher or lower than B, or cannot be told apart from it."""
        if math.isnan(self.adjusted_p):
            return Verdict.UNTESTABLE
        if self.adjusted_p >= statistics.ALPHA:
            return Verdict.EQUIVALENT if self.same_p < statistics.ALPHA else Verdict.INSEPARABLE
        return Verdict.HIGHER if self.mean > 0 else Verdict.LOWER

    @property
    def seeds_needed(self) -> int:
        """The least number of pairs with which so many comparisons could show anything."""
        return statistics.least_pairs(self.comparisons)

    @property
    def detectable(self) -> float:
        """The difference that a paired t test at this n and corrected level finds in 80 % of repetitions."""
        untested = math.isnan(self.p)
        return math.nan if untested else statistics.detectable(self.sd, self.pairs, self.comparisons)


def against(comparison: Comparison, setting: int, baseline: int, interest: float | None = None) -> list[Contrast]:
    """Every other technique of a setting against the baseline; nothing where that has no trials there."""
    present = comparison.present(setting)
    others = [technique for technique in present if technique != baseline]
    pairs = [(a, baseline) for a in others] if baseline in present else []
    return contrasts(comparison, setting, pairs, interest)


def all_pairs(comparison: Comparison, setting: int, interest: float | None = None) -> list[Contrast]:
    """Every pair of techniques of a setting, the better of the two first."""
    order = by_score(comparison, setting)
    pairs = [(a, b) for place, a in enumerate(order) for b in order[place + 1 :]]
    return contrasts(comparison, setting, pairs, interest)


def by_score(comparison: Comparison, setting: int) -> list[int]:
    """The techniques of a setting, the best mean score first."""
    score = scores(comparison, setting)
    present = comparison.present(setting)
    return sorted(present, key=lambda technique: (-np.nan_to_num(score[technique], nan=-np.inf), technique))


def contrasts(
    comparison: Comparison, setting: int, pairs: Sequence[tuple[int, int]], interest: float | None = None
) -> list[Contrast]:
    """Some pairs of techniques that have trials in a setting, adjusted together.

    Those whose seeds are too few for the number of pairs are not tested, and count as comparisons all the same.

    Args:
        comparison: of which they are.
        setting: its code.
        pairs: A and B of each.
        interest: the smallest difference of interest, in scores; None: see :class:`Contrast`.
    """
    if not pairs:
        return []
    counts = scored_counts(comparison, setting)
    failed = grid(comparison, setting, "outcome") >= DIVERGED
    runs = {code: _Runs(counts[code].to_numpy(float), failed[code].to_numpy(bool)) for code in set().union(*pairs)}
    total = parts(comparison, setting)
    if comparison.task(setting).of_loss is not None:
        interest = interest or math.nan
    needed = statistics.least_pairs(len(pairs))
    found = [_contrast(setting, a, b, runs[a], runs[b], total, needed, len(pairs), interest) for a, b in pairs]
    tested = [place for place, one in enumerate(found) if not math.isnan(one.p)]
    p = [found[place].p for place in tested] + [1.0] * (len(found) - len(tested))
    for place, adjusted in zip(tested, statistics.holm(p), strict=False):
        found[place] = replace(found[place], adjusted_p=float(adjusted))
    alike = statistics.holm([1.0 if math.isnan(one.same_p) else one.same_p for one in found])
    return [
        one if math.isnan(one.same_p) else replace(one, same_p=float(adjusted))
        for one, adjusted in zip(found, alike, strict=True)
    ]


@dataclass(frozen=True)
class Best:
    """Which techniques of a setting may have the highest mean accuracy, as codes, the best mean first.

    Where one technique is in truth the best, it is among ``first`` and ``untested`` with 95 % confidence: whatever is
    ``below`` was tested against the highest mean at one side, with Bonferroni's factor for all comparisons. That the
    highest mean was chosen by looking changes nothing, as the union over all others bounds every choice.

    Attributes:
        setting: the code of the setting.
        order: all techniques, those with too few runs for any test last.
        first: those that are not shown to be below.
        below: those that are.
        untested: of those that are not shown to be, the ones with too few seeds for any difference to be shown.
        margin: how far the highest mean is above the next, a fraction; NaN where there is no other.
        seeds_needed: with how many seeds something could be shown.
    """

    setting: int
    order: tuple[int, ...]
    first: tuple[int, ...]
    below: tuple[int, ...]
    untested: tuple[int, ...]
    margin: float
    seeds_needed: int


def best(comparison: Comparison, setting: int) -> Best:
    """What can be said of the highest mean of a setting; see :class:`Best`."""
    order = by_score(comparison, setting)
    needed = statistics.least_pairs(len(order) - 1) if len(order) > 1 else 0
    runs = grid(comparison, setting, "outcome").notna().sum()
    # One lucky run is no highest mean.
    order.sort(key=lambda technique: runs[technique] < needed)
    found = contrasts(comparison, setting, [(order[0], other) for other in order[1:]])
    factor = len(found) / 2
    below = tuple(one.b for one in found if one.mean > 0 and one.p * factor < statistics.ALPHA)
    untested = tuple(one.b for one in found if math.isnan(one.p))
    first = tuple(technique for technique in order if technique not in below)
    margin = found[0].mean if found else math.nan
    return Best(setting, tuple(order), first, below, untested, margin, needed)


@dataclass(frozen=True)
class _Runs:
    """One technique's scored counts ``[seeds]``, NaN where it has no run, and which of its runs failed."""

    counts: NDArray[np.float64]
    failed: NDArray[np.bool_]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.counts)

    @cached_property
    def all(self) -> NDArray[np.float64]:
        return self.counts[self.known]


def _contrast(
    setting: int,
    a: int,
    b: int,
    of_a: _Runs,
    of_b: _Runs,
    total: int,
    needed: int,
    comparisons: int,
    interest: float | None,
) -> Contrast:
    common = of_a.known & of_b.known
    # Whole numbers: where all are the same, their deviation is exactly 0.
    differences = (of_a.counts[common] - of_b.counts[common]).astype(np.int64)
    n = len(differences)
    mean = float(differences.mean()) / total if n else math.nan
    sd = float(differences.std(ddof=1)) / total if n > 1 else math.nan
    low, high = (bound / total if n else math.nan for bound in statistics.t_interval(differences.astype(float)))
    superiority = statistics.superiority(of_a.all, of_b.all)
    if interest is None:
        halfway = float(of_a.counts[common].mean() + of_b.counts[common].mean()) / (2 * total) if n else math.nan
        interest = math.sqrt(halfway * (1 - halfway) / total) if n else math.nan
    return Contrast(
        setting=setting,
        a=a,
        b=b,
        pairs=n,
        failed_a=int(of_a.failed[common].sum()),
        failed_b=int(of_b.failed[common].sum()),
        mean=mean,
        low=low,
        high=high,
        sd=sd,
        effect=mean / sd if sd > 0 else math.nan,
        superiority=superiority[0],
        superiority_low=superiority[1],
        superiority_high=superiority[2],
        p=statistics.sign_flip_p(differences) if n >= needed else math.nan,
        adjusted_p=math.nan,
        interest=interest,
        same_p=statistics.equivalence_p(differences / total, interest),
        comparisons=comparisons,
    )


def groups(found: Sequence[Contrast], order: Sequence[int]) -> list[str]:
    """A letter for every largest group of techniques of which no two were told apart.

    Args:
        found: all pairs of the techniques.
        order: the techniques, best first.

    Returns:
        one text per technique in this order, as :func:`statistics.letters` gives them.
    """
    place = {technique: i for i, technique in enumerate(order)}
    p = np.ones((len(order), len(order)))
    for one in found:
        i, j = place[one.a], place[one.b]
        p[i, j] = p[j, i] = 1.0 if math.isnan(one.adjusted_p) else one.adjusted_p
    return statistics.letters(p, range(len(order)))


def to_frame(comparison: Comparison, found: Sequence[Contrast]) -> pd.DataFrame:
    """Contrasts as a tidy table: a row each, with the title of its setting, labels of A and B, and all its numbers."""
    rows = [
        {
            "setting": comparison.titles[one.setting],
            "a": comparison.techniques[one.a],
            "b": comparison.techniques[one.b],
            **{name: getattr(one, name) for name in _NUMBERS},
            "verdict": one.verdict.value,
            "seeds_needed": one.seeds_needed,
        }
        for one in found
    ]
    return pd.DataFrame(rows, columns=["setting", "a", "b", *_NUMBERS, "verdict", "seeds_needed"])


_NUMBERS = (
    *("pairs", "failed_a", "failed_b", "mean", "low", "high", "sd", "effect"),
    *("superiority", "superiority_low", "superiority_high", "p", "adjusted_p", "interest", "same_p", "comparisons"),
    "detectable",
)
