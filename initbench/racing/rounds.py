"""Who leaves a race after a round, with the error under control, and what became of all of them. Needs no torch.

The race is that of Maron & Moore 1994 (Hoeffding races) with paired tests as in Birattari et al. 2002 (F-race): all who
are left run the same seeds, and who is significantly worse than another leaves. Every test of the whole race (all
ordered pairs, after every round) has an equal part of the error (Bonferroni), so that with probability 1 − alpha nobody
leaves who is as good as the one that he was held against. The tests are Student's on the differences.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

# How many seeds there are after each round.
ROUNDS = (5, 10, 20)
# Differences are never taken to vary less than scores can be told apart.
RESOLUTION = 1e-3


@dataclass(frozen=True)
class Exit:
    """Why a candidate is no longer in the race.

    Attributes:
        seeds: how many both had run.
        against: the candidate that is better.
        p: of the one-sided paired test.
    """

    seeds: int
    against: str
    p: float


@dataclass(frozen=True)
class Runner:
    """One candidate and how it did.

    Attributes:
        name: as the command line has it.
        lr: the learning rate that its search chose; None where none was.
        scores: on validation data, by seed; 0 where training failed.
        failed: of how many seeds training failed.
        exit: None while it is in the race.
        refused: why it cannot start at all; empty where it can.
    """

    name: str
    lr: float | None = None
    scores: tuple[float, ...] = ()
    failed: int = 0
    exit: Exit | None = None
    refused: str = ""

    @property
    def mean(self) -> float:
        """Of its scores; NaN without any."""
        return float(np.mean(self.scores)) if self.scores else math.nan


def better_p(a: Sequence[float], b: Sequence[float], resolution: float = RESOLUTION) -> float:
    """The one-sided p of the paired t test that ``a`` scores higher than ``b``.

    Args:
        a: scores by seed.
        b: likewise, of the same seeds.
        resolution: what scores can be told apart by.
    """
    differences = np.subtract(a, b)
    n = len(differences)
    if n < 2:
        return 1.0
    spread = math.hypot(float(differences.std(ddof=1)), resolution)
    return float(stats.t.sf(differences.mean() / (spread / math.sqrt(n)), n - 1))


def leaving(
    scores: Mapping[str, Sequence[float]], alpha: float, n_candidates: int, n_rounds: int = len(ROUNDS)
) -> dict[str, Exit]:
    """Who leaves after a round, held against whom.

    Args:
        scores: of everyone who is left, by seed.
        alpha: the error of the whole race.
        n_candidates: how many began.
        n_rounds: how many rounds there may be.
    """
    level = alpha / (max(1, n_candidates * (n_candidates - 1)) * n_rounds)
    found = {}
    for name, own in scores.items():
        others = {other: better_p(theirs, own) for other, theirs in scores.items() if other != name}
        if others and min(others.values()) < level:
            against = min(others, key=lambda other: (others[other], other))
            found[name] = Exit(len(own), against, others[against])
    return found


def seeds_needed(a: Sequence[float], b: Sequence[float], level: float = 0.05) -> int | None:
    """How many seeds would tell two candidates apart with a power of 80 %, if they go on to differ as they did.

    None where they do not differ.
    """
    differences = np.subtract(a, b)
    size = abs(float(differences.mean()))
    if len(differences) < 2 or size == 0:
        return None
    spread = math.hypot(float(differences.std(ddof=1)), RESOLUTION)
    wanted = float(stats.norm.isf(level / 2) + stats.norm.isf(0.2)) * spread / size
    return max(2, math.ceil(wanted**2))
