"""One swept setting, as numbers: scores at each of its values, and where a technique trains.

A technique trains where more than half of its runs end ok: neither failed, nor at chance, nor short of the target on
the validation split.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis.compare import Comparison, compare
from initbench.analysis.summaries import DIVERGED, OK, STUCK
from initbench.analysis.trials import Trials, searched, value_of


@dataclass(frozen=True)
class Sweep:
    """The trials of one section of a comparison that leaves a setting out, by the values of that setting.

    Every table is ``[techniques, values]``.

    Attributes:
        comparison: the comparison whose section this is.
        setting: the code of that section.
        values: the values of the setting swept, in order.
        techniques: the codes of the techniques with trials at more than one value.
        mean: mean score of the finished trials.
        score: the same over all trials, a failed one scoring as always naming the most frequent class, or as the worst
            that finished where that is lower.
        untrained: how many trials failed or stayed at chance; NaN where there are no trials.
        trains: whether more than half of the trials end ok; NaN where there are no trials.
        seeds: technique to ``[seeds, values]`` scores.
        n: the least and the greatest number of trials behind an entry.
        chance: score of the best constant prediction.
    """

    comparison: Comparison
    setting: int
    values: list[Any]
    techniques: list[int]
    mean: pd.DataFrame
    score: pd.DataFrame
    untrained: pd.DataFrame
    trains: pd.DataFrame
    seeds: dict[int, pd.DataFrame]
    n: tuple[int, int]
    chance: float

    def tried(self, technique: int) -> list[int]:
        """At which places of ``values`` a technique has trials."""
        return [place for place, count in enumerate(self.untrained.loc[technique]) if not pd.isna(count)]

    def trained(self, technique: int) -> list[int]:
        """At which places of ``values`` a technique trains."""
        return [place for place in self.tried(technique) if self.trains.loc[technique].iloc[place]]


def sweeps(trials: Trials, by: str, key: str, score: str) -> list[Sweep]:
    """The groups of trials that differ only in ``key``, technique and seed; those with several values of the key.

    Args:
        trials: the trials.
        by: what the techniques are.
        key: the setting swept.
        score: the column of scores, ``test_score`` or ``val_score``.
    """
    if not len(trials) or by == key:
        return []
    comparison = compare(trials, by, apart=(key, "stage"))
    return _sweeps(comparison, np.ones(len(comparison.trials), dtype=bool), key, score)


def _sweeps(comparison: Comparison, part: NDArray[np.bool_], key: str, score: str) -> list[Sweep]:
    """The sweeps over some of the trials of a comparison."""
    trials = comparison.trials
    # An activation with its parameters, where it has any.
    values_of = trials.cells[key] if key == "activation" else [value_of(one, key) for one in trials.identities]
    at = comparison.frame["cell"].map(dict(enumerate(values_of)))
    found = []
    for setting in range(len(comparison.settings)):
        section = comparison.section(setting)
        section = section[part[section.index]].assign(at=at)
        values = sorted(section["at"].unique(), key=lambda value: (isinstance(value, str), value))
        if len(values) > 1 and (section.groupby("technique")["at"].nunique() > 1).any():
            found.append(_sweep(comparison, setting, section, values, score))
    return found


def _sweep(comparison: Comparison, setting: int, section: pd.DataFrame, values: list[Any], score: str) -> Sweep:
    several = section.groupby("technique")["at"].nunique()
    techniques = [int(technique) for technique in sorted(several.index[several > 1])]
    chance = float(section["chance"].iloc[0])
    outcome, measured = section["outcome"], section[score].astype(float)
    section = section.assign(
        untrained=outcome >= STUCK,
        ok=outcome == OK,
        score=measured.mask(outcome >= DIVERGED, np.fmin(chance, measured.min())),
    )
    groups = section.groupby(["technique", "at"])

    def table(series: pd.Series) -> pd.DataFrame:
        return series.unstack("at").reindex(index=techniques, columns=values)

    return Sweep(
        comparison=comparison,
        setting=setting,
        values=values,
        techniques=techniques,
        mean=table(groups[score].mean()).astype(float),
        score=table(groups["score"].mean()).astype(float),
        untrained=table(groups["untrained"].sum()),
        trains=table(groups["ok"].mean() > 0.5),
        seeds={
            technique: section[section["technique"] == technique]
            .drop_duplicates(["seed", "at"])
            .pivot(index="seed", columns="at", values=score)
            .reindex(columns=values)
            .astype(float)
            for technique in techniques
        },
        n=(int(groups.size().min()), int(groups.size().max())),
        chance=chance,
    )


@dataclass(frozen=True)
class BestRate:
    """A learning rate, and whether no smaller or no larger one was tried; None where that cannot be said."""

    rate: float
    edge: bool | None


@dataclass(frozen=True)
class LearningRates:
    """A sweep over learning rates.

    Attributes:
        sweep: its validation scores; its values are the rates, as floats.
        best: technique to the rate that its search chose, else the one with the highest mean score; those that have
            neither are missing.
        searched: whether any of these was chosen by a search.
        halved: whether the search was one by halving, which tries the edges of its grid on few epochs only.
    """

    sweep: Sweep
    best: dict[int, BestRate]
    searched: bool
    halved: bool


def learning_rates(trials: Trials, by: str) -> list[LearningRates]:
    """Sweeps over the learning rate: of trials at rates given, and of the trials of searches."""
    if not len(trials) or by == "lr":
        return []
    # Learning rates are compared where all else is equal, whatever else was searched.
    others = {path for identity in trials.identities for path in searched(identity)} - {"lr"}
    comparison = compare(trials, by, apart=("lr", "stage"), held=others)
    trials = comparison.trials
    cells = trials.columns.numbers["cell"]
    search = (trials.cells["stage"] == "search").to_numpy()[cells]
    tuned = np.array(["lr" in searched(identity) for identity in trials.identities], dtype=bool)[cells]
    final = comparison.frame[tuned & ~search].drop_duplicates(["setting", "technique"])
    rates = trials.cells["lr"].to_numpy(float)[final["cell"]]
    chosen = dict(zip(zip(final["setting"], final["technique"], strict=True), map(float, rates), strict=True))
    return [_learning_rates(sweep, chosen) for sweep in _sweeps(comparison, search | ~tuned, "lr", "val_score")]


def _learning_rates(sweep: Sweep, chosen: dict[tuple[int, int], float]) -> LearningRates:
    protocol = sweep.comparison.settings[sweep.setting].get("protocol")
    halved = isinstance(protocol, dict) and bool(protocol.get("halving"))
    best = {}
    for technique in sweep.techniques:
        rate = chosen.get((sweep.setting, technique), highest(sweep, technique))
        if rate is not None:
            tried = [sweep.values[place] for place in sweep.tried(technique)]
            best[technique] = BestRate(rate, None if halved else rate in (tried[0], tried[-1]))
    by_search = any((sweep.setting, technique) in chosen for technique in sweep.techniques)
    return LearningRates(sweep, best, by_search, halved)


def highest(sweep: Sweep, technique: int) -> Any:
    """The value with the highest mean score, the first of equal ones; None where no trial finished."""
    finished = [place for place, mean in enumerate(sweep.mean.loc[technique]) if not math.isnan(mean)]
    score = sweep.score.loc[technique]
    return sweep.values[max(finished, key=lambda place: score.iloc[place])] if finished else None


@dataclass(frozen=True)
class Window:
    """The longest unbroken stretch of values at which a technique trains.

    Attributes:
        first: its least value.
        last: its greatest value.
        open: whether it reaches an end of what was tried, and may go on.
    """

    first: float
    last: float
    open: bool

    @property
    def decades(self) -> float:
        """Its width in powers of ten."""
        return math.log10(self.last / self.first)


def window(sweep: Sweep, technique: int) -> Window | None:
    """Where a technique trains; None where it does nowhere."""
    tried, trained = sweep.tried(technique), set(sweep.trained(technique))
    run = longest_run([place in trained for place in tried])
    if run is None:
        return None
    first, last = (float(sweep.values[tried[end]]) for end in run)
    return Window(first, last, run[0] == 0 or run[1] == len(tried) - 1)


def longest_run(trains: Sequence[bool]) -> tuple[int, int] | None:
    """First and last place of the longest unbroken run of true, the first of equal ones; None where all are false."""
    best: tuple[int, int] | None = None
    start = None
    for place, value in enumerate([*trains, False]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            if best is None or place - start > best[1] - best[0] + 1:
                best = (start, place - 1)
            start = None
    return best


def deepest(sweep: Sweep, technique: int) -> int | None:
    """The greatest value at which a technique trains; None where it does nowhere."""
    trained = sweep.trained(technique)
    return int(sweep.values[trained[-1]]) if trained else None
