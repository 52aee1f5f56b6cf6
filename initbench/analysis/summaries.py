"""The techniques of one setting, each by itself: what became of its runs, how good they are, which rank that is.

What describes runs describes those that finished, with the number of the others beside it. What orders techniques or
tests one against another counts every run: one that failed (diverged, or could not start) scores as always naming the
most frequent class, which is what one is left with (where there are no classes, as the best constant prediction), or
as the worst run that finished where that is lower: a network that learned nothing may fall short of that class by a few
samples. So no technique gains by failing.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.analysis.scores import OUTCOMES

OK, SLOW, POOR, STUCK, DIVERGED, FAILED = range(len(OUTCOMES))


@dataclass(frozen=True)
class Summary:
    """One technique in one setting. Scores are those of the task on the test set, NaN where there is no number.

    Attributes:
        technique: its code in the comparison.
        counts: how many runs ended in each of ``OUTCOMES``.
        one_answer: how many of those that finished name one class whatever the sample; None where that is not known.
        flat: how many of them have a training loss no lower than that of the best constant prediction; None likewise.
        mean: of the runs that finished, as are ``sd`` (n − 1), the 95 % t interval from ``low`` to ``high``,
            ``median``, ``least`` and ``greatest``.
        score: the mean over all runs, a failed one scoring as :func:`failed_count` says.
        rank: by ``score``; 1 is best, and means that look equal share a rank.
        lost: the 95 % Wilson interval of the rate of runs that failed or stayed at chance.
        epochs: the median of the epochs to the target, infinite where at least half of the runs miss it.
        area: the mean area under the curve of validation scores.
    """

    technique: int
    counts: tuple[int, ...]
    one_answer: int | None
    flat: int | None
    mean: float
    sd: float
    low: float
    high: float
    median: float
    least: float
    greatest: float
    score: float
    rank: float
    lost: tuple[float, float]
    epochs: float
    area: float

    @property
    def n(self) -> int:
        """All runs."""
        return sum(self.counts)

    @property
    def failed(self) -> int:
        """The runs that diverged or could not start."""
        return self.counts[DIVERGED] + self.counts[FAILED]

    @property
    def stuck(self) -> int:
        """The runs that stayed at chance."""
        return self.counts[STUCK]

    @property
    def finished(self) -> int:
        """The runs that have a score."""
        return self.n - self.failed


def summaries(comparison: Comparison, setting: int) -> list[Summary]:
    """The techniques that have runs in a setting, in the order of the comparison."""
    measured = grid(comparison, setting, "test_score")
    outcome, one_answer, flat = (grid(comparison, setting, name) for name in ("outcome", "one_answer", "flat"))
    score = scores(comparison, setting)
    rank = ranks(score)
    codes = comparison.column(setting, "technique")
    epochs, area = (comparison.column(setting, name).astype(float) for name in ("epochs_to_target", "auc"))
    epochs = np.where(np.isnan(epochs), np.inf, epochs)
    found = []
    for technique in comparison.present(setting):
        values = measured[technique].dropna().to_numpy(float)
        ends = outcome[technique].dropna().to_numpy(int)
        finished = outcome.index[outcome[technique] < DIVERGED]
        low, high = statistics.t_interval(values)
        counts = np.bincount(ends, minlength=len(OUTCOMES))
        own = codes == technique
        some = len(values) > 0
        found.append(
            Summary(
                technique=technique,
                counts=tuple(map(int, counts)),
                one_answer=_count(one_answer.loc[finished, technique]),
                flat=_count(flat.loc[finished, technique]),
                mean=float(np.mean(values)) if some else math.nan,
                sd=float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
                low=low,
                high=high,
                median=float(np.median(values)) if some else math.nan,
                least=float(values.min()) if some else math.nan,
                greatest=float(values.max()) if some else math.nan,
                score=float(score[technique]),
                rank=float(rank[technique]),
                lost=statistics.wilson(int(counts[STUCK:].sum()), int(counts.sum())),
                epochs=_median(epochs[own]),
                area=float(pd.Series(area[own]).mean()),
            )
        )
    return found


def _count(signs: pd.Series) -> int | None:
    """How many there are, None if of one nobody knows."""
    return None if signs.isna().any() else int(signs.sum())


def _median(values: statistics.Floats) -> float:
    """The median; that of two infinite middles is infinite."""
    return float(pd.Series(values).median())


def grid(comparison: Comparison, setting: int, name: str) -> pd.DataFrame:
    """One value per trial, ``[seeds, techniques]``; NaN where there is no such trial or it has no such number."""
    present = comparison.present(setting)
    seeds, row = np.unique(comparison.column(setting, "seed"), return_inverse=True)
    column = np.searchsorted(present, comparison.column(setting, "technique"))
    values = np.full((len(seeds), len(present)), np.nan)
    # Of several trials of a technique and seed, the first: written last.
    values[row[::-1], column[::-1]] = comparison.column(setting, name).astype(float)[::-1]
    return pd.DataFrame(values, index=seeds, columns=present)


# Where nothing is counted, a score is compared in so many parts: more than any table shows.
_PARTS = 100_000


def parts(comparison: Comparison, setting: int) -> int:
    """Into how many equal parts a score of a setting is divided: the test samples, where they are counted."""
    counted = comparison.task(setting).of_loss is None
    return int(comparison.about(setting)["test_total"]) if counted else _PARTS


def scored_counts(comparison: Comparison, setting: int) -> pd.DataFrame:
    """Test scores ``[seeds, techniques]`` in whole :func:`parts`, a failed run giving :func:`failed_count`.

    Correct answers, where they are counted. NaN where there is no such trial, or a failed one of which nobody knows how
    many answers there were.
    """
    outcome = grid(comparison, setting, "outcome")
    return _counts(comparison, setting).mask(outcome >= DIVERGED, failed_count(comparison, setting))


def _counts(comparison: Comparison, setting: int) -> pd.DataFrame:
    if comparison.task(setting).of_loss is None:
        return grid(comparison, setting, "test_correct")
    return (grid(comparison, setting, "test_score") * _PARTS).round()


def scores(comparison: Comparison, setting: int) -> pd.Series:
    """Mean test score of each technique over all its runs, a failed one giving :func:`failed_count`."""
    score, outcome = (grid(comparison, setting, name) for name in ("test_score", "outcome"))
    total = float(parts(comparison, setting)) or math.nan
    return score.mask(outcome >= DIVERGED, failed_count(comparison, setting) / total).mean()


def failed_count(comparison: Comparison, setting: int) -> float:
    """How many :func:`parts` of the score a failed run of a setting has.

    As many as always naming the most frequent class or the best constant prediction, or as the worst run that finished,
    if those are fewer; NaN where no trial knows how many samples.
    """
    about = comparison.about(setting)
    outcome = grid(comparison, setting, "outcome")
    finished = _counts(comparison, setting).mask(outcome >= DIVERGED).min().min()
    counted = comparison.task(setting).of_loss is None
    at_chance = about["test_majority"] if counted else np.floor(about["chance"] * _PARTS)
    return float(np.fmin(at_chance, finished)) if about["test_total"] else math.nan


def chance(comparison: Comparison, setting: int) -> float:
    """The test score of the best constant prediction; NaN where no trial knows how many samples."""
    about = comparison.about(setting)
    return float(about["chance"]) if about["test_total"] else math.nan


def looks(values: pd.Series) -> pd.Series:
    """Scores to the fourth digit, as every table shows them: what looks equal is equal."""
    return (100 * values).map(lambda value: round(float(value), 2))


def ranks(values: pd.Series) -> pd.Series:
    """1 is the largest; values that look equal share a rank."""
    return looks(values).rank(ascending=False, method="min")
