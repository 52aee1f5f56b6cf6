"""Numbers in, numbers out: intervals, tests and aggregates. Knows nothing of records or tables.

Libraries do what libraries do well; our own are the exact sign-flip test, which as a convolution of integer differences
needs no enumeration, the power of a t test for few pairs, and the aggregates that no maintained package has. Imports
are inside the functions: they cost more than most reports.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA = 0.05
POWER = 0.8
RESAMPLES = 2_000
# A product of ``[RESAMPLES, n]`` and ``[n, n]``: some hundredths of a second.
_MOST_RESAMPLED = 200
# Additions of the exact sign-flip test: a tenth of a second.
_MOST_WORK = 20_000_000


def t_interval(values: Floats) -> tuple[float, float]:
    """The 95 % t interval of the mean of ``[n]`` values; NaN for fewer than two."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return math.nan, math.nan
    half = float(stdtrit(n - 1, 1 - ALPHA / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - half, mean + half


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a rate of ``k`` in ``n``; NaN for ``n == 0``."""
    from statsmodels.stats.proportion import proportion_confint

    if n == 0:
        return math.nan, math.nan
    low, high = proportion_confint(k, n, alpha=ALPHA, method="wilson")
    return float(low), float(high)


def sign_flip_p(differences: NDArray[np.int64]) -> float:
    """The two-sided p of the paired sign-flip test on the mean of ``[n]`` whole differences.

    Under the null each difference is as likely with either sign. All 2ⁿ sums are listed or, where that is less, the
    distribution of the sum is built one difference at a time, over all whole sums: either is exact. Where that is too
    much, for hundreds of pairs with large differences, it is the Edgeworth series of that distribution up to its
    fourth moment; odd ones are zero.
    """
    sizes = np.abs(np.asarray(differences, dtype=np.int64))
    observed, reach = abs(int(np.sum(differences))), int(sizes.sum())
    if len(sizes) <= 20 and 2 ** len(sizes) < len(sizes) * reach:
        listed = np.zeros(1, dtype=np.int64)
        for size in sizes:
            listed = np.concatenate([listed + size, listed - size])
        return float((np.abs(listed) >= observed).mean())
    if len(sizes) * reach > _MOST_WORK:
        return _edgeworth_p(sizes.astype(float), observed)
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for size in sizes[sizes > 0]:
        shifted = np.zeros_like(chances)
        shifted[size:] += 0.5 * chances[:-size]
        shifted[:-size] += 0.5 * chances[size:]
        chances = shifted
    sums = np.arange(-reach, reach + 1)
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))


def _edgeworth_p(sizes: Floats, observed: int) -> float:
    from scipy.special import ndtr

    variance = float((sizes**2).sum())
    # All sums have one parity: half-way to the next one below.
    z = max(0.0, observed - 1.0) / math.sqrt(variance)
    excess = -2 * float((sizes**4).sum()) / variance**2
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return min(1.0, max(0.0, 2 * float(ndtr(-z)) + 2 * density * excess / 24 * (z**3 - 3 * z)))


def holm(p: Sequence[float]) -> Floats:
    """Holm's step-down adjustment: the family-wise error of rejecting where it is below α is at most α.

    Our own because statsmodels' ``multipletests`` collects garbage at every call, a tenth of a second beside many
    trials.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * (len(values) - np.arange(len(values))))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def least_pairs(comparisons: int) -> int:
    """The least number of pairs with which an exact sign-flip test can be significant after Holm's first step.

    The smallest p there can be is 2/2ⁿ, and the first step asks for p ≤ α/m.
    """
    return math.ceil(math.log2(2 * comparisons / ALPHA))


def welch_p(a: Floats, b: Floats) -> float:
    """Welch's t test that two samples have the same mean; NaN where one has fewer than two values."""
    from scipy.stats import ttest_ind

    if min(len(a), len(b)) < 2:
        return math.nan
    if np.ptp(a) == np.ptp(b) == 0:
        return 1.0 if a[0] == b[0] else 0.0
    return float(ttest_ind(a, b, equal_var=False).pvalue)


def equivalence_p(differences: Floats, margin: float) -> float:
    """Two one-sided t tests that the mean of paired differences is within ± ``margin`` (Schuirmann 1987); the larger p.

    NaN of fewer than two differences, or without a margin above 0.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2 or not margin > 0:
        return math.nan
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    return float(t.sf((margin - abs(mean)) / error, n - 1))


def superiority(a: Floats, b: Floats) -> tuple[float, float, float]:
    """P(A > B) + ½ P(A = B) for a draw of each, and its 95 % interval; NaN where there are too few values.

    The interval is a percentile bootstrap that resamples either sample by itself. For samples so large that it would
    take seconds, it is the normal one that the bootstrap tends to, with the variance of DeLong et al. 1988.

    Args:
        a: ``[n]``; NaN stands for a trial without a number, worse than any number.
        b: ``[m]`` likewise.
    """
    if not len(a) or not len(b):
        return math.nan, math.nan, math.nan
    a, b = (np.where(np.isnan(values), -np.inf, values) for values in (a, b))
    won, lost = _shares_below(a, b), _shares_below(b, a)
    mean = float(won.mean())
    if min(len(a), len(b)) < 2:
        return mean, math.nan, math.nan
    if max(len(a), len(b)) > _MOST_RESAMPLED:
        half = 1.96 * math.sqrt(won.var(ddof=1) / len(a) + lost.var(ddof=1) / len(b))
        return mean, max(0.0, mean - half), min(1.0, mean + half)
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    means = ((_resamples(len(a), 0) @ wins) * _resamples(len(b), 1)).sum(axis=1)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return mean, float(low), float(high)


def _shares_below(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that is below it, those equal to it counting half."""
    others = np.sort(others)
    below, upto = (np.searchsorted(others, values, side) for side in ("left", "right"))
    return np.asarray((below + upto) / (2 * len(others)))


@lru_cache(maxsize=8)
def _resamples(n: int, stream: int) -> Floats:
    """``[RESAMPLES, n]``: how often each of ``n`` values is drawn in each resample, as a share of all draws."""
    return np.random.default_rng(stream).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n


def detectable(sd: float, n: int, comparisons: int) -> float:
    """The difference that a paired t test at level α / ``comparisons`` finds in 80 % of repetitions.

    Args:
        sd: standard deviation of the paired differences.
        n: number of pairs.
        comparisons: how many are made (Bonferroni's bound to Holm's steps).
    """
    return sd * _detectable_effect(n, ALPHA / comparisons) if n > 1 and sd > 0 else math.nan


@lru_cache(maxsize=256)
def _detectable_effect(n: int, alpha: float) -> float:
    """The standardised difference that a two-sided paired t test of ``n`` pairs finds with a probability of ``POWER``.

    Our own because statsmodels' root search ends at its start for few pairs, and scipy's non-central t is NaN there.
    """
    from scipy.integrate import quad
    from scipy.optimize import brentq
    from scipy.special import ndtr
    from scipy.stats import chi2, t

    nu, critical = n - 1, float(t.isf(alpha / 2, n - 1))
    most = math.sqrt(float(chi2.isf(1e-12, nu)) / nu)

    def missing_power(shift: float) -> float:
        # Given the estimated deviation s, in units of the true one, the statistic is normal: (z + shift) / s.
        def found(s: float) -> float:
            density = 2 * nu * s * float(chi2.pdf(nu * s**2, nu))
            return density * float(ndtr(shift - critical * s) + ndtr(-shift - critical * s))

        return POWER - float(quad(found, 0, most, limit=200, points=[min(shift / critical, most)])[0])

    return float(brentq(missing_power, 0.0, 10.0 * (critical + 1), xtol=1e-9)) / math.sqrt(n)


def interquartile_mean(values: Floats) -> float:
    """The mean of the middle half of all values."""
    from scipy.stats import trim_mean

    return float(trim_mean(values, 0.25, axis=None)) if values.size else math.nan


def bootstrap_interquartile_mean(strata: Sequence[Floats]) -> tuple[float, float, float]:
    """The interquartile mean over all strata, and its 95 % percentile interval; NaN where a cell has a single seed.

    Args:
        strata: per cell ``[n]`` scores; resampled within the cell, so that every resample has every cell.
    """
    generator = np.random.default_rng(0)
    drawn = [values[generator.integers(len(values), size=(RESAMPLES, len(values)))] for values in strata if len(values)]
    if not drawn:
        return math.nan, math.nan, math.nan
    mean = interquartile_mean(np.concatenate(list(strata)))
    if min(map(len, strata)) < 2:
        return mean, math.nan, math.nan
    every = np.sort(np.concatenate(drawn, axis=1), axis=1)
    cut = int(0.25 * every.shape[1])
    means = every[:, cut : every.shape[1] - cut].mean(axis=1)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return mean, float(low), float(high)


def mean_ranks(scores: Floats) -> Floats:
    """The mean rank of each technique over blocks; 1 is best and ties share the mean of their ranks.

    Args:
        scores: ``[blocks, techniques]``, larger is better.
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(-scores, axis=1).mean(axis=0))


def friedman_p(scores: Floats) -> float:
    """Friedman's test that all techniques rank alike over ``[blocks, techniques]``; 1 where all are equal."""
    from scipy.stats import friedmanchisquare

    if (scores == scores[:, :1]).all():
        return 1.0
    return float(friedmanchisquare(*scores.T).pvalue)


def critical_difference(techniques: int, blocks: int) -> float:
    """Nemenyi's critical difference of mean ranks: q / √2 · √(k (k + 1) / 6 N), Demšar 2006, section 3.2.2."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - ALPHA, techniques, np.inf)) / math.sqrt(2)
    return q * math.sqrt(techniques * (techniques + 1) / (6 * blocks))


def nemenyi(scores: Floats) -> Floats:
    """``[k, k]`` p of Nemenyi's test for every pair of techniques over ``[blocks, k]``."""
    from scikit_posthocs import posthoc_nemenyi_friedman

    return np.asarray(posthoc_nemenyi_friedman(scores), dtype=float)


def letters(p: Floats, order: Sequence[int]) -> list[str]:
    """A letter for every largest group of techniques of which no two differ; one may be in several groups.

    Args:
        p: ``[k, k]`` p of every pair, adjusted.
        order: the techniques, best first: the best is in group ``a``.

    Returns:
        ``[k]`` letters such as ``ab``; none where there are more groups than letters (52).
    """
    from scikit_posthocs import compact_letter_display

    try:
        shown = compact_letter_display(p[np.ix_(order, order)], alpha=ALPHA)
    except ValueError:
        return [""] * len(order)
    result = [""] * len(order)
    for place, technique in enumerate(order):
        result[technique] = str(shown.iloc[place]).replace(" ", "")
    return result


def performance_profile(costs: Floats) -> tuple[Floats, Floats]:
    """Dolan and Moré's profile: how often each technique is within a factor of the cheapest.

    Args:
        costs: ``[cells, techniques]`` > 0; infinite where the goal was not reached.

    Returns:
        factors ``[steps]`` ≥ 1, rising, and shares of cells ``[techniques, steps]``. A cell that nobody solved counts.
    """
    best = costs.min(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        ratios = np.where(np.isfinite(costs), costs / best, np.inf)
    factors = np.unique(np.concatenate([[1.0], ratios[np.isfinite(ratios)]]))
    return factors, (ratios.T[:, :, None] <= factors).mean(axis=1)
