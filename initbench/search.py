"""Protocols that search: an equal search of every cell for the values of some settings, then fresh seeds with the best.

Search trials are trials like any other, kept in the records; what to do next follows from the records alone. So a
search that was interrupted resumes, and one that is complete costs nothing.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from initbench.trial import Cell, Named, Params

# Where the seeds of the search begin: far from those that anyone lists, since the final seeds must be fresh.
FIRST_SEARCH_SEED = 2**32

# A cell and a seed to the validation score of that trial, the worst there is where it did not finish, 0 of accuracies;
# None where it is not trained.
Score = Callable[[Cell, int], float | None]
# A value of each setting that is searched, in their order.
Point = tuple[Any, ...]


@dataclass(frozen=True)
class Search:
    """What a protocol searches, and what it may spend.

    Attributes:
        grid: the settings that are searched, each with its values in order; what is tried is their product.
        seeds: how many of them every point gets.
        extend: how many values may be added to a setting of ``geometric``, where the best is its first or last.
        geometric: settings whose values go on beyond an edge by the ratio of the last two.
        halving: whether all points train for a part of the epochs, the better half for twice as many, and so on.
    """

    grid: tuple[tuple[str, tuple[Any, ...]], ...]
    seeds: int
    extend: int
    geometric: tuple[str, ...]
    halving: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """The settings that are searched."""
        return tuple(path for path, _ in self.grid)

    @property
    def n_points(self) -> int:
        """How many combinations of values the grid has."""
        return math.prod(len(values) for _, values in self.grid)

    @property
    def extended(self) -> tuple[str, ...]:
        """The settings to which values may be added; one value has no edge."""
        growing = not self.halving and self.extend > 0
        return tuple(path for path, values in self.grid if growing and path in self.geometric and len(values) > 1)


def search_of(protocol: Named) -> Search | None:
    """What a protocol searches; None where it holds everything equal. Searched is what ``search.SETTING`` lists."""
    params = dict(protocol.params)
    grid = tuple((key.removeprefix("search."), params.pop(key)) for key in list(params) if key.startswith("search."))
    return Search(grid, **params) if grid else None


@dataclass(frozen=True)
class Tuning:
    """How far the search for one cell has come.

    Attributes:
        trials: cells and seeds: all of the search so far and, once values are chosen, the final ones.
        chosen: the settings that were searched with the values that were chosen, None while the search goes on.
        at_edge: those whose best value is the first or the last that was tried, and better than its neighbour.
    """

    trials: tuple[tuple[Cell, int], ...]
    chosen: Params | None = None
    at_edge: tuple[str, ...] = ()


def tune(cell: Cell, seeds: Sequence[int], score: Score) -> Tuning:
    """What to train of a cell whose protocol searches, given what is trained.

    All points of the grid are tried with the same seeds. The best mean validation score wins, of equal ones the one
    with the first values. Where the value of a geometric setting is the first or the last and better than its
    neighbour, all else equal, the grid is extended by its own ratio, ``extend`` times at most for each setting.

    With ``halving`` the search has the rounds of :func:`rounds`, the better half of each goes on to the next, and the
    grid is not extended.

    Args:
        cell: a cell whose protocol searches; its own values of what is searched say nothing.
        seeds: the final seeds.
        score: what the records say.
    """
    search = search_of(cell.protocol)
    assert search is not None
    grid = _Grid({path: list(values) for path, values in search.grid}, search)
    trials: list[tuple[Cell, int]] = []

    def scores(points: Sequence[Point], epochs: int | None = None) -> dict[Point, float] | None:
        """The mean validation score of each point; None unless all are trained."""
        result: dict[Point, float] | None = {}
        for point in points:
            one = replace(cell.with_values(dict(zip(search.paths, point, strict=True))), stage="search")
            one = one if epochs is None else replace(one, epochs=epochs)
            tried = [(one, seed) for seed in search_seeds(cell)]
            trials.extend(tried)
            found = [score(*trial) for trial in tried]
            known = [value for value in found if value is not None]
            if len(known) < len(found):
                result = None
            elif result is not None:
                result[point] = sum(known) / len(known)
        return result

    points = list(grid.points())
    if search.halving:
        for (_, epochs), (n_kept, _) in itertools.pairwise(rounds(len(points), cell.epochs, halving=True)):
            early = scores(points, epochs)
            if early is None:
                return Tuning(tuple(trials))
            better = sorted(points, key=lambda point: (-early[point], grid.place(point)))[:n_kept]
            points = sorted(better, key=grid.place)
    found = scores(points)
    while found is not None:
        step = next((step for step in grid.beyond(found) if grid.may_grow(step[0])), None)
        if step is None:
            break
        more = scores(list(grid.grow(*step)))
        found = None if more is None else found | more
    if found is None:
        return Tuning(tuple(trials))
    chosen = tuple(zip(search.paths, grid.best(found), strict=True))
    final = replace(cell.with_values(dict(chosen)), stage="final", chosen=chosen)
    edges = tuple(path for path, _ in grid.beyond(found))
    return Tuning((*trials, *((final, seed) for seed in seeds)), chosen, edges)


@dataclass(frozen=True)
class _Grid:
    """The values tried of each setting so far, in order; they grow."""

    values: dict[str, list[Any]]
    search: Search

    def points(self) -> Iterator[Point]:
        return itertools.product(*self.values.values())

    def place(self, point: Point) -> tuple[int, ...]:
        return tuple(values.index(value) for values, value in zip(self.values.values(), point, strict=True))

    def best(self, found: dict[Point, float]) -> Point:
        return min(found, key=lambda point: (-found[point], self.place(point)))

    def beyond(self, found: dict[Point, float]) -> Iterator[tuple[str, float]]:
        """Geometric settings with the best value at an edge and better than its neighbour, and what lies beyond."""
        best = self.best(found)
        for number, (path, values) in enumerate(self.values.items()):
            if path not in self.search.geometric or len(values) < 2:
                continue
            for edge, neighbour in ((values[0], values[1]), (values[-1], values[-2])):
                beside = (*best[:number], neighbour, *best[number + 1 :])
                # Halving has not trained every neighbour to the end.
                if best[number] == edge and beside in found and found[best] > found[beside]:
                    yield path, next_value(edge, neighbour)

    def may_grow(self, path: str) -> bool:
        n_before = len(dict(self.search.grid)[path])
        return path in self.search.extended and len(self.values[path]) < n_before + self.search.extend

    def grow(self, path: str, value: float) -> Iterator[Point]:
        """Add a value at its end; the points that it makes."""
        values = self.values[path]
        values.insert(0 if value < values[0] else len(values), value)
        return itertools.product(*([value] if key == path else there for key, there in self.values.items()))


def next_value(edge: float, neighbour: float) -> float:
    """Where a geometric grid goes on, to three digits."""
    return float(f"{edge * edge / neighbour:.3g}")


def search_seeds(cell: Cell) -> range:
    """The seeds of the search for a cell whose protocol searches; no final trial may have one of them."""
    search = search_of(cell.protocol)
    return range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + (search.seeds if search else 0))


def rounds(n_points: int, epochs: int, halving: bool) -> list[tuple[int, int]]:
    """The rounds of a search: how many points, for how many epochs each. One round of all, but for halving.

    Halving trains all for a part of the epochs, the better half for twice as many, and so on, until the last two train
    for all (successive halving: Jamieson & Talwalkar 2016, arXiv:1502.07943). No part is less than one epoch.
    """
    halvings = max(0, math.ceil(math.log2(n_points)) - 1) if halving else 0
    largest: dict[int, int] = {}
    for k in range(halvings + 1):
        # A second round of as many epochs would tell nothing new.
        largest.setdefault(max(1, epochs // 2 ** (halvings - k)), math.ceil(n_points / 2**k))
    return [(n, part) for part, n in largest.items()]
