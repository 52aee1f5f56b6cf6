"""The tuned protocol: an equal search for the learning rate of every cell, then fresh seeds with the best one.

Search trials are trials like any other, kept in the records; what to do next follows from the records alone. So a
search that was interrupted resumes, and one that is complete costs nothing.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from initbench.trial import Cell

# Where the seeds of the search begin: far from those that anyone lists, since the final seeds must be fresh.
FIRST_SEARCH_SEED = 2**32

# A cell and a seed to the validation accuracy of that trial, 0 where it did not finish; None where it is not trained.
Score = Callable[[Cell, int], float | None]


@dataclass(frozen=True)
class Tuning:
    """How far the search for one cell has come.

    Attributes:
        trials: cells and seeds: all of the search so far and, once a learning rate is chosen, the final ones.
        lr: the learning rate that was chosen, None while the search goes on.
        at_edge: whether no smaller, or no larger, learning rate was tried.
    """

    trials: tuple[tuple[Cell, int], ...]
    lr: float | None = None
    at_edge: bool = False


def tune(cell: Cell, seeds: Sequence[int], score: Score) -> Tuning:
    """What to train of a cell under the tuned protocol, given what is trained.

    All learning rates of the grid are tried with the same seeds. The best mean validation accuracy wins, of equal ones
    the smallest learning rate. Where that is the first or the last of the grid and better than its neighbour, the grid
    is extended by its own ratio, ``extend`` times at most.

    With ``halving`` the search has the rounds of :func:`rounds`, the better half of each goes on to the next, and the
    grid is not extended.

    Args:
        cell: a cell of the tuned protocol; its own learning rate says nothing.
        seeds: the final seeds.
        score: what the records say.
    """
    params = dict(cell.protocol.params)
    trials: list[tuple[Cell, int]] = []

    def scores(lrs: Sequence[float], epochs: int) -> dict[float, float] | None:
        """The mean validation accuracy of each learning rate; None unless all are trained."""
        result: dict[float, float] | None = {}
        for lr in lrs:
            tried = [(replace(cell, lr=lr, epochs=epochs, stage="search"), seed) for seed in search_seeds(cell)]
            trials.extend(tried)
            found = [score(*trial) for trial in tried]
            known = [value for value in found if value is not None]
            if len(known) < len(found):
                result = None
            elif result is not None:
                result[lr] = sum(known) / len(known)
        return result

    lrs = sorted(params["lrs"])
    for (_, epochs), (n_kept, _) in itertools.pairwise(rounds(len(lrs), cell.epochs, params["halving"])):
        early = scores(lrs, epochs)
        if early is None:
            return Tuning(tuple(trials))
        lrs = sorted(sorted(lrs, key=lambda lr: (-early[lr], lr))[:n_kept])
    found = scores(lrs, cell.epochs)
    if found is None:
        return Tuning(tuple(trials))
    for _ in range(0 if params["halving"] else params["extend"]):
        beyond = _beyond(found)
        if beyond is None:
            break
        more = scores([beyond], cell.epochs)
        if more is None:
            return Tuning(tuple(trials))
        found |= more
    best = _best(found)
    final = replace(cell, lr=best, stage="final", chosen=(("lr", best),))
    return Tuning((*trials, *((final, seed) for seed in seeds)), best, _beyond(found) is not None)


def search_seeds(cell: Cell) -> range:
    """The seeds of the search for a cell of the tuned protocol; no final trial may have one of them."""
    return range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + dict(cell.protocol.params)["seeds"])


def rounds(n_lrs: int, epochs: int, halving: bool) -> list[tuple[int, int]]:
    """The rounds of a search: how many learning rates, for how many epochs each. One round of all, but for halving.

    Halving trains all for a part of the epochs, the better half for twice as many, and so on, until the last two train
    for all (successive halving: Jamieson & Talwalkar 2016, arXiv:1502.07943). No part is less than one epoch.
    """
    halvings = max(0, math.ceil(math.log2(n_lrs)) - 1) if halving else 0
    largest: dict[int, int] = {}
    for k in range(halvings + 1):
        # A second round of as many epochs would tell nothing new.
        largest.setdefault(max(1, epochs // 2 ** (halvings - k)), math.ceil(n_lrs / 2**k))
    return [(n, part) for part, n in largest.items()]


def _best(found: dict[float, float]) -> float:
    return min(found, key=lambda lr: (-found[lr], lr))


def _beyond(found: dict[float, float]) -> float | None:
    """The next learning rate to try, if the best one is at an edge of those tried and better than its neighbour."""
    lrs, best = sorted(found), _best(found)
    if len(lrs) < 2:
        return None
    for edge, neighbour in ((lrs[0], lrs[1]), (lrs[-1], lrs[-2])):
        if best == edge and found[edge] > found[neighbour]:
            return float(f"{edge * edge / neighbour:.3g}")
    return None
