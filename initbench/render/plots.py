"""What a figure shows, as plain numbers: drawn by :mod:`initbench.render.figures`, tested without drawing."""

from dataclasses import dataclass

# The x and the y of a line; NaN in y is a gap.
Line = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Panel:
    """One technique: a thin line per seed, a thick one that sums them up, perhaps a ringed point."""

    name: str
    seeds: tuple[Line, ...]
    middle: Line
    ring: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panels:
    """A panel per technique on common axes, the others' thick lines behind it in grey.

    ``level`` is a horizontal line, such as chance; ``log`` spaces x by its logarithm; ``steps`` draws stairs.
    """

    x: str
    y: str
    panels: tuple[Panel, ...]
    level: float | None = None
    log: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Strip:
    """One technique: a dot per run, its mean with an interval (NaN: none), and how many runs have no number."""

    name: str
    values: tuple[float, ...]
    mean: float
    low: float
    high: float
    failed: int


@dataclass(frozen=True)
class Strips:
    """A row of dots per technique."""

    x: str
    strips: tuple[Strip, ...]
    level: float | None = None


@dataclass(frozen=True)
class HeatMap:
    """``values`` is ``[rows][columns]``; NaN is a cell without a number."""

    x: str
    y: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Ranking:
    """Mean ranks, a bar over every group that is not separable, and the critical difference."""

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    groups: tuple[tuple[int, ...], ...]
    difference: float


Plot = Panels | Strips | HeatMap | Ranking
