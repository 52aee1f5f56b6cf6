"""Two result sets side by side, as numbers: what became of the same trials, and whether any technique has drifted.

Whether two sets of results are the same is another question than which technique is better: here a failed run counts as
no correct answer, so that one that fails where it stayed at chance before has changed; where no answers are counted it
counts as chance or the worst run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pandas as pd

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison, compare
from initbench.analysis.summaries import chance, parts
from initbench.analysis.trials import Trials, finals, n_trained, to_trials
from initbench.records.columns import concatenate

# The version of the training code is what may differ between two sets of results.
_APART = ("recipe", "precision")


class DriftVerdict(Enum):
    """What the second set says of a cell of the first."""

    # Every seed that both have gives the same count.
    SAME = "same"
    # Some counts differ, by no more than chance explains.
    CHANGED = "changed"
    DRIFT = "drift"
    # Without a common seed, and no drift by Welch's test.
    OTHER_SEEDS = "other seeds"
    # Some counts differ, and so few pairs could show nothing.
    TOO_FEW_SEEDS = "too few seeds"
    FIRST_ONLY = "first only"
    SECOND_ONLY = "second only"


@dataclass(frozen=True)
class CellDrift:
    """One technique in one setting, in two result sets. Of a pair of numbers the first is of the first set.

    Attributes:
        setting: the code of the setting in the comparison of both sets.
        technique: the code of the technique there.
        n: the number of trials.
        failed: how many of them failed.
        common: the number of seeds that both sets have.
        means: mean test scores of those that did not fail, over the common seeds if there are any.
        p: how likely so large a difference is if nothing has changed; NaN where it cannot be told.
        adjusted_p: after Holm, over all cells that could be tested.
        equal: whether every common seed has the same count.
        seeds_needed: the least number of common seeds that could show a drift among so many cells.
    """

    setting: int
    technique: int
    n: tuple[int, int]
    failed: tuple[int, int]
    common: int
    means: tuple[float, float]
    p: float
    adjusted_p: float
    equal: bool
    seeds_needed: int

    @property
    def difference(self) -> float:
        """The second mean minus the first."""
        return self.means[1] - self.means[0]

    @property
    def verdict(self) -> DriftVerdict:
        """What the second set says of this cell of the first."""
        if not all(self.n):
            return DriftVerdict.FIRST_ONLY if self.n[0] else DriftVerdict.SECOND_ONLY
        if self.adjusted_p < statistics.ALPHA:
            return DriftVerdict.DRIFT
        if not self.common:
            return DriftVerdict.OTHER_SEEDS
        if self.equal:
            return DriftVerdict.SAME
        return DriftVerdict.CHANGED if self.common >= self.seeds_needed else DriftVerdict.TOO_FEW_SEEDS


@dataclass(frozen=True)
class SameTrials:
    """The trials that are in both sets, known by their keys.

    Attributes:
        both: how many.
        same_counts: of how many of them outcome and counts are the same.
        same_weights: of how many the final weights are the same, bit for bit.
        first_only: trials of the first set alone.
        second_only: trials of the second set alone.
    """

    both: int
    same_counts: int
    same_weights: int
    first_only: int
    second_only: int


def same_trials(first: Trials, second: Trials) -> SameTrials:
    """Which trials two result sets share, and whether their numbers are the same."""
    keys, rows, other = np.intersect1d(first.columns.keys, second.columns.keys, return_indices=True)
    a, b = first.columns.take(rows), second.columns.take(other)
    counts = np.logical_and.reduce(
        [a.numbers[name] == b.numbers[name] for name in ("outcome", "train_correct", "val_correct", "test_correct")]
    )
    n = len(keys)
    only = (n_trained(first.columns) - n, n_trained(second.columns) - n)
    return SameTrials(n, int(np.sum(counts)), int(np.sum(a.final == b.final)), *only)


def drift(first: Trials, second: Trials, by: str = "init") -> tuple[Comparison, list[CellDrift]]:
    """What differs between two result sets.

    Args:
        first: the set held to be right.
        second: the set to check.
        by: the setting whose values are the techniques.

    Returns:
        the comparison of both sets as one, and every cell of it.
    """
    first, second = finals(first), finals(second)
    # Named as one: what tells two techniques apart does so in either set.
    together = to_trials(concatenate([first.columns, second.columns]), first.target, once=False)
    of_second = together.columns.numbers["chunk"] >= len(first.columns.chunks)
    comparison = compare(together, by, apart=_APART, once=False)
    found = []
    for setting in range(len(comparison.settings)):
        section = comparison.section(setting)
        counted = comparison.task(setting).of_loss is None
        # A failed trial may not know how large its data set is.
        total = max(1, int(section["test_total"].max())) if counted else parts(comparison, setting)
        scored = section["test_correct"].astype(float) if counted else (section["test_score"] * total).round()
        section = section.assign(scored=scored)
        worst = 0.0 if counted else float(np.fmin(math.floor(chance(comparison, setting) * total), scored.min()))
        for technique in comparison.present(setting):
            own = section[section["technique"] == technique]
            sets = [own[of_second[own.index] == which].drop_duplicates("seed") for which in (False, True)]
            counts = [one.set_index("seed")["scored"] for one in sets]
            found.append(_cell(setting, technique, total, counts[0], counts[1], worst))
    return comparison, _adjusted(found)


def _cell(setting: int, technique: int, total: int, first: pd.Series, second: pd.Series, worst: float) -> CellDrift:
    """From test scores in whole parts by seed, NaN where a trial failed, which is tested as ``worst``; not adjusted."""
    common = first.index.intersection(second.index)
    sets = (first, second)
    means = tuple(float((counts[common] if len(common) else counts).mean()) / total for counts in sets)
    return CellDrift(
        setting=setting,
        technique=technique,
        n=(len(first), len(second)),
        failed=(int(first.isna().sum()), int(second.isna().sum())),
        common=len(common),
        means=(means[0], means[1]),
        p=_p(first.fillna(worst), second.fillna(worst), common, total),
        adjusted_p=math.nan,
        equal=np.array_equal(first[common].to_numpy(), second[common].to_numpy(), equal_nan=True),
        seeds_needed=0,
    )


def _p(first: pd.Series, second: pd.Series, common: pd.Index, total: int) -> float:
    if len(common):
        return statistics.sign_flip_p((second[common] - first[common]).to_numpy().astype(np.int64))
    return statistics.welch_p(first.to_numpy() / total, second.to_numpy() / total)


def _adjusted(found: Sequence[CellDrift]) -> list[CellDrift]:
    tested = [place for place, one in enumerate(found) if not math.isnan(one.p)]
    needed = statistics.least_pairs(len(tested)) if tested else 0
    result = [replace(one, seeds_needed=needed) for one in found]
    for place, p in zip(tested, statistics.holm([found[place].p for place in tested]), strict=True):
        result[place] = replace(result[place], adjusted_p=float(p))
    return result


def to_frame(comparison: Comparison, found: Sequence[CellDrift]) -> pd.DataFrame:
    """The cells as a tidy table: a row each, with the heading of its setting, its label and all its numbers."""
    rows = []
    for one in found:
        row: dict[str, object] = {
            "setting": comparison.titles[one.setting],
            "technique": comparison.techniques[one.technique],
        }
        for name in ("n", "failed", "means"):
            values = getattr(one, name)
            row |= {f"{name.removesuffix('s')}_{which}": value for which, value in zip(_SETS, values, strict=True)}
        row |= {name: getattr(one, name) for name in ("common", "difference", "p", "adjusted_p")}
        rows.append(row | {"verdict": one.verdict.value, "seeds_needed": one.seeds_needed})
    return pd.DataFrame(rows)


_SETS = ("first", "second")
