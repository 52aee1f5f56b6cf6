"""How much may be asked for at once: counted before there is any of it, so that a slip fills no memory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from initbench.errors import InputError
from initbench.settings.schema import SEARCH
from initbench.values import MOST

# Of one request: cells, points of a search, and layers of all networks. Trials are at most MOST.
_CELLS, _POINTS, _LAYERS = 100_000, 10_000, 20_000_000


def check_cells(axes: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a product of axes that is too large to be planned.

    Raises:
        InputError: it is.
    """
    n = math.prod(map(len, axes.values()))
    if n > _CELLS:
        longest = sorted(axes, key=lambda key: -len(axes[key]))[:3]
        product = " x ".join(f"{len(axes[key]):,} of {key}" for key in longest if len(axes[key]) > 1)
        raise InputError(f"a sweep may have at most {_CELLS:,} cells; {product} make {n:,}")


def check_trials(cells: Sequence[Mapping[str, Any]], n_seeds: int) -> None:
    """Refuse more trials than can be planned, of searches too, and networks of too many layers in all.

    Args:
        cells: composed, not checked yet.
        n_seeds: seeds of each.

    Raises:
        InputError: there are too many.
    """
    n_trials = n_layers = 0
    for cell in cells:
        protocol = cell["protocol"] if isinstance(cell["protocol"], Mapping) else {}
        lists = [values for key, values in protocol.items() if str(key).startswith(SEARCH) and isinstance(values, list)]
        n_points = math.prod(map(len, lists))
        if n_points > _POINTS:
            raise InputError(f"a search may have at most {_POINTS:,} points; protocol.search has {n_points:,}")
        n = n_seeds + n_points * _count(protocol.get("seeds")) * bool(lists)
        n_trials += n
        n_layers += n * _count(cell["depth"])
    for what, number, most in (("trials", n_trials, MOST), ("layers of all networks", n_layers, _LAYERS)):
        if number > most:
            raise InputError(f"at most {most:,} {what} can be asked for at once; these are {number:,}")


def _count(value: Any) -> int:
    """Whether it is one is said by whoever checks the setting."""
    return value if isinstance(value, int) and 0 < value <= MOST else 0
