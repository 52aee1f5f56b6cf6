"""What a figure shows, as plain numbers: drawn by :mod:`initbench.render.figures`, tested without drawing."""

from dataclasses import dataclass

# The x and the y of a line; NaN in y is a gap.
Line = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Panel:
    """One technique: a thin line per seed, a thick one that sums them up, perhaps a ringed point.

    ``band`` are the lower and the upper edge of where most seeds are, ``theory`` is a dashed line.
    """

    name: str
    seeds: tuple[Line, ...]
    middle: Line
    ring: tuple[float, float] | None = None
    band: tuple[Line, Line] | None = None
    theory: Line | None = None


@dataclass(frozen=True)
class Panels:
    """A panel per technique on common axes, the others' thick lines behind it in grey.

    ``level`` is a horizontal line, such as chance; ``log`` spaces x by its logarithm and ``log_y`` y; ``steps`` draws
    stairs.
    """

    x: str
    y: str
    panels: tuple[Panel, ...]
    level: float | None = None
    log: bool = False
    steps: bool = False
    log_y: bool = False


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
    """A row of dots per technique, each of which is a ``dot``.

    ``level`` is a vertical line with a name; ``enlarge`` adds a panel with the best alone where these are close to
    each other.
    """

    x: str
    strips: tuple[Strip, ...]
    level: float | None = None
    level_name: str = "chance"
    enlarge: bool = True
    dot: str = "run"


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


@dataclass(frozen=True)
class Plane:
    """Named points over a plane with a quantity of which only the sign and the distance from 0 count.

    ``x`` are spaced by their logarithm, ``values`` is ``[y][x]``; the line where they are 0 is called ``edge``, where
    they are ``below`` and ``above`` 0 these words stand.
    """

    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    points: tuple[tuple[str, float, float], ...]
    edge: str
    below: str
    above: str


Plot = Panels | Strips | HeatMap | Ranking | Plane
