"""Numbers over all settings: mean ranks, interquartile means and performance profiles, with settings as blocks.

Seeds are repeats within a setting, not blocks. A run that failed scores as always naming the most frequent class, or
as the worst run of the setting that finished where that is lower, and
only techniques with trials in every setting take part. Techniques are codes of the comparison.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison


@dataclass(frozen=True)
class BlockDesign:
    """The trials of a comparison as a complete block design: every technique has trials in every setting.

    Attributes:
        comparison: of which this is.
        settings: in how many settings anything is known.
        techniques: those with trials in every one of these.
        left_out: those without.
        scored: a row per trial of ``techniques``, with its ``setting``, ``technique``, ``score`` and
            ``epochs_to_target``.
    """

    comparison: Comparison
    settings: int
    techniques: tuple[int, ...]
    left_out: tuple[int, ...]
    scored: pd.DataFrame

    @cached_property
    def means(self) -> statistics.Floats:
        """``[settings, techniques]`` mean score over the seeds."""
        groups = self.scored.groupby(["setting", "technique"])
        means = groups["score"].mean().unstack("technique")
        return np.asarray(means[list(self.techniques)], dtype=float)


def block_design(comparison: Comparison) -> BlockDesign:
    """The techniques of a comparison that can be ranked over its settings."""
    # A setting of which no trial could start has no score, and no chance level either.
    frame = comparison.frame[comparison.frame["test_total"] > 0]
    n = frame.groupby(["setting", "technique"]).size().unstack("technique")
    everywhere = n.notna().all()
    measured = frame["test_score"].astype(float)
    failed = np.fmin(frame["chance"], measured.groupby(frame["setting"]).transform("min"))
    scored = frame.assign(score=measured.fillna(failed))
    techniques = tuple(int(code) for code in n.columns if everywhere[code])
    left_out = tuple(int(code) for code in n.columns if not everywhere[code])
    return BlockDesign(comparison, len(n), techniques, left_out, scored[scored["technique"].isin(techniques)])


@dataclass(frozen=True)
class MeanRanks:
    """Friedman's and Nemenyi's tests over settings.

    Attributes:
        techniques: the best mean rank first.
        ranks: their mean ranks, 1 being best.
        settings: the number of blocks.
        friedman_p: that all rank alike; NaN where no test is made.
        critical_difference: Nemenyi's.
        groups: per technique the letters of the groups, of which no two members are separable; none without a test.
        settings_needed: how many settings would do for a test; 0 where there are enough.
    """

    techniques: tuple[int, ...]
    ranks: tuple[float, ...]
    settings: int
    friedman_p: float
    critical_difference: float
    groups: tuple[str, ...]
    settings_needed: int


def mean_ranks(design: BlockDesign) -> MeanRanks:
    """The techniques by their mean rank over settings; untested where no two mean ranks could differ significantly."""
    means = design.means.round(6)
    blocks, k = means.shape
    ranks = statistics.mean_ranks(means)
    order = sorted(range(k), key=lambda i: (ranks[i], design.comparison.techniques[design.techniques[i]]))
    difference = statistics.critical_difference(k, blocks)
    testable = difference < k - 1
    letters = statistics.letters(statistics.nemenyi(means), order) if testable else [""] * k
    needed = 0
    if not testable:
        needed = next(n for n in range(blocks, 100_000) if statistics.critical_difference(k, n) < k - 1)
    return MeanRanks(
        techniques=tuple(design.techniques[i] for i in order),
        ranks=tuple(float(ranks[i]) for i in order),
        settings=blocks,
        friedman_p=statistics.friedman_p(means) if testable else math.nan,
        critical_difference=difference,
        groups=tuple(letters[i] for i in order),
        settings_needed=needed,
    )


@dataclass(frozen=True)
class InterquartileMean:
    """The mean of the middle half of a technique's scores over all settings and seeds, with its 95 % interval."""

    technique: int
    mean: float
    low: float
    high: float


def interquartile_means(design: BlockDesign) -> list[InterquartileMean]:
    """One per technique, the best first."""
    found = []
    for technique in design.techniques:
        own = design.scored[design.scored["technique"] == technique]
        strata = [values.to_numpy(float) for _, values in own.groupby("setting")["score"]]
        found.append(InterquartileMean(technique, *statistics.bootstrap_interquartile_mean(strata)))
    return sorted(found, key=lambda one: (-one.mean, design.comparison.techniques[one.technique]))


@dataclass(frozen=True)
class Profile:
    """How often each technique reaches the target within a factor of the fastest (Dolan and Moré).

    Attributes:
        techniques: in the order of the comparison.
        factors: rising, from 1.
        shares: ``[techniques, factors]`` of the settings.
    """

    techniques: tuple[int, ...]
    factors: statistics.Floats
    shares: statistics.Floats

    def within(self, technique: int, factor: float) -> float:
        """The share of settings in which a technique needs at most so many times the epochs of the fastest."""
        return float(self.shares[self.techniques.index(technique), self.factors <= factor][-1])


def profile(design: BlockDesign) -> Profile:
    """The performance profile on the epochs to the target, the median over seeds."""
    epochs = design.scored.assign(epochs=design.scored["epochs_to_target"].fillna(np.inf))
    medians = epochs.groupby(["setting", "technique"])["epochs"].median().unstack("technique")
    # A net at its target before training is no better than one that gets there in the first epoch.
    costs = np.maximum(medians[list(design.techniques)].to_numpy(float), 1.0)
    return Profile(design.techniques, *statistics.performance_profile(costs))
