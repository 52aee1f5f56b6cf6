"""How claims are decided: exact one-sided tests over seeds, adjusted over the whole ledger. Numbers in, numbers out.

Every hypothesis (one claim, one setting, one pair) is a contrast with a value for each seed. It is tested twice: for
what the claim expects, and for what would refute it. Both p are those of the sign-flip test: under the null a seed's
deviation from the boundary is as likely with either sign; where it is skewed, that is a statement on its middle and
not on its mean. Over all of them, twice the number of hypotheses of the ledger, measured or not, Holm's adjustment
keeps the chance of any false finding at 5 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initbench.analysis.statistics import ALPHA, POWER, holm
from initbench.claims.files import Expect, Verdict

Floats = NDArray[np.float64]

# Sums of halves are listed: 2^20 each. More seeds than these are refused, since what decides is far in the tail.
MOST_SEEDS = 40


@dataclass(frozen=True)
class Sample:
    """What was measured for one hypothesis.

    Attributes:
        values: ``[seeds]`` contrasts: a difference of two arms, or a deviation from a bound; NaN where a network had
            no number, which counts against whatever is tested; empty where nothing is measured.
        expect: the direction.
        margin: the smallest difference of interest.
        needs_margin: whether ``higher`` and ``lower`` are supported only beyond the margin, as where the claim says how
            much it is about; else beyond zero.
    """

    values: Floats
    expect: Expect
    margin: float
    needs_margin: bool = False

    @property
    def known(self) -> Floats:
        """The values that are numbers."""
        return self.values[~np.isnan(self.values)]


@dataclass(frozen=True)
class Finding:
    """What was found of a hypothesis.

    Attributes:
        verdict: ``supported``, ``refuted``, ``inconclusive`` or ``unmeasured``.
        support: the adjusted p of what the claim expects.
        refute: that of what refutes it.
        needed: the seeds that would decide what is open; None: more than :data:`MOST_SEEDS`, or nothing is open.
    """

    verdict: Verdict
    support: float
    refute: float
    needed: int | None = None


def flip_p(values: Floats) -> float:
    """The one-sided p of the sign-flip test that ``[n]`` values, at most 40, lie about a point above zero.

    Exact: all sums of either half are listed, and the pairs that reach the observed one counted.
    """
    n = len(values)
    if not n:
        return 1.0
    sizes = np.abs(values)
    observed = float(values.sum()) - 1e-9 * float(sizes.sum())
    if not sizes.any():
        return 1.0
    if n > MOST_SEEDS:
        raise ValueError(f"sums of more than {MOST_SEEDS} values are not listed")
    half = n // 2
    left, right = _sums(sizes[:half]), np.sort(_sums(sizes[half:]))
    reached = len(right) - np.searchsorted(right, observed - left, side="left")
    return float(reached.sum() / 2.0**n)


def _sums(sizes: Floats) -> Floats:
    listed = np.zeros(1)
    for size in sizes:
        listed = np.concatenate([listed + size, listed - size])
    return listed


def p_values(sample: Sample) -> tuple[float, float]:
    """The p of what the claim expects, and that of what refutes it."""
    if not len(sample.values):
        return 1.0, 1.0
    values, margin = _upward(sample), sample.margin
    if sample.expect in ("higher", "lower"):
        return _above(values, margin if sample.needs_margin else 0.0), _above(-values, -margin)
    if sample.expect in ("at_least", "at_most"):
        return _above(values, -margin), _above(-values, margin)
    equal = max(_above(values, -margin), _above(-values, -margin))
    different = min(1.0, 2 * min(_above(values, margin), _above(-values, margin)))
    return (equal, different) if sample.expect == "equal" else (different, equal)


def _upward(sample: Sample) -> Floats:
    """The values with the sign with which larger is more of what is expected."""
    return -sample.values if sample.expect in ("lower", "at_most") else sample.values


def _above(values: Floats, threshold: float) -> float:
    """The p that some values are above a threshold; one without a number is as far below as any is away."""
    deviations = values - threshold
    known = deviations[~np.isnan(deviations)]
    worst = -float(np.abs(known).max()) if len(known) else 0.0
    return flip_p(np.where(np.isnan(deviations), worst, deviations))


def findings(samples: Sequence[Sample]) -> list[Finding]:
    """What is found of every hypothesis of a ledger, all of them together."""
    pairs = [p_values(sample) for sample in samples]
    adjusted = holm([p for pair in pairs for p in pair]).reshape(-1, 2) if pairs else np.zeros((0, 2))
    found = []
    for sample, (support, refute) in zip(samples, adjusted.tolist(), strict=True):
        if not len(sample.values):
            found.append(Finding("unmeasured", 1.0, 1.0))
        elif refute <= ALPHA:
            # A difference that is there and smaller than what matters is none that was claimed.
            found.append(Finding("refuted", support, refute))
        elif support <= ALPHA:
            found.append(Finding("supported", support, refute))
        else:
            found.append(Finding("inconclusive", support, refute, seeds_needed(sample, 2 * len(samples))))
    return found


def seeds_needed(sample: Sample, n_tests: int) -> int | None:
    """About how many seeds would decide a hypothesis, if mean and spread are as seen; None: more than can be tested.

    The power of a normal test at Bonferroni's level, at the farther of the two boundaries, is 80 %.
    """
    from scipy.special import ndtri

    values, margin = _upward(sample), sample.margin
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return None
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if sample.expect in ("higher", "lower"):
        distance = max(mean - (margin if sample.needs_margin else 0.0), margin - mean)
    elif sample.expect in ("at_least", "at_most"):
        distance = abs(mean + margin)
    else:
        distance = abs(margin - abs(mean))
    # Fewer than these no sign-flip test can decide, and those that there are did not.
    least = max(math.ceil(math.log2(n_tests / ALPHA)), len(sample.values) + 1)
    if distance <= 0:
        return None
    quantile = float(ndtri(1 - ALPHA / n_tests) + ndtri(POWER))
    needed = max(least, math.ceil((quantile * spread / distance) ** 2))
    return needed if needed <= MOST_SEEDS else None


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim from those of its hypotheses.

    Unmeasured while any is; mixed where some are supported and some refuted; else supported or refuted where more than
    half of all are, the others being open; inconclusive where less are decided.
    """
    supported, refuted = (sum(one == verdict for one in verdicts) for verdict in ("supported", "refuted"))
    if "unmeasured" in verdicts:
        return "unmeasured"
    if supported and refuted:
        return "mixed"
    if 2 * supported > len(verdicts):
        return "supported"
    return "refuted" if 2 * refuted > len(verdicts) else "inconclusive"
