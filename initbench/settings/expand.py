"""From one composition to the cells of a sweep: the product of its axes."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initbench.errors import unknown
from initbench.settings import habits, references, sizes
from initbench.settings.schema import GROUPS, SEARCH

Plain = dict[str, Any]

_SEARCHED = f"protocol.{SEARCH}"


@dataclass(frozen=True)
class Composition:
    """What the cells of a sweep are made of.

    Attributes:
        plain: the value of every setting.
        swept: of every setting whose options are an axis, what each of them sets; None sets nothing.
        options: the names of the options in ``plain``.
    """

    plain: Plain
    swept: Mapping[str, Mapping[str | None, Any]]
    options: Mapping[str, str | None]


def expand(composition: Composition, axes: Mapping[str, Sequence[Any]]) -> list[Plain]:
    """The product of the axes. A parameter of a swept option is set in those options that have it.

    Raises:
        InputError: a key that there is not, a reference to something else than the cell's own keys, or too many cells.
    """
    paths = {key: _path(key) for key in axes if key not in GROUPS}
    _check_keys(composition, paths, axes)
    refers = references.check([composition.plain, composition.swept, axes])
    sizes.check_cells(axes)
    cells = []
    for values in itertools.product(*axes.values()):
        cell, options = dict(composition.plain), dict(composition.options)
        point = dict(zip(axes, values, strict=True))
        for key, nodes in composition.swept.items():
            cell[key], options[key] = nodes[point[key]], point[key]
        for key, path in paths.items():
            _set(cell, path, point[key])
        cells.append({**(references.resolved(cell) if refers else cell), "options": options})
    return cells


def _path(key: str) -> list[str]:
    """What is searched is one name, with points in it."""
    return ["protocol", key.removeprefix("protocol.")] if key.startswith(_SEARCHED) else key.split(".")


def _check_keys(composition: Composition, keys: Mapping[str, Any], values: Mapping[str, Sequence[Any]]) -> None:
    known = _dotted(composition.plain)
    for setting, nodes in composition.swept.items():
        known |= {f"{setting}.{key}" for node in nodes.values() if isinstance(node, dict) for key in _dotted(node)}
    searches = any(key.startswith(_SEARCHED) for key in known)
    for key in keys:
        if key not in known and not (searches and key.startswith(_SEARCHED)):
            parent, dot, last = key.rpartition(".")
            near = {k for k in known | GROUPS.keys() if k.rpartition(".")[0] == parent and dot in k}
            # optimizer.lr and model.depth are settings of their own here.
            whole = {k for k in known | GROUPS.keys() if "." not in k}
            allowed = {last} if dot and last in whole else near or whole
            raise unknown("setting", key, allowed, habits.setting(key, values.get(key, ())))


def _set(cell: Plain, path: Sequence[str], value: Any) -> None:
    """Set a value where the path exists, copying the nodes on the way: they are shared between cells."""
    *parents, last = path
    for parent in parents:
        if cell.get(parent) is None:
            return
        cell[parent] = dict(cell[parent])
        cell = cell[parent]
    # What is searched may be any setting, where anything is searched.
    if last in cell or (last.startswith(SEARCH) and any(key.startswith(SEARCH) for key in cell)):
        cell[last] = value


def _dotted(node: Mapping[str, Any]) -> set[str]:
    """Every leaf of a nested dictionary as ``a.b.c``."""
    leaves: set[str] = set()
    for key, value in node.items():
        leaves |= {f"{key}.{leaf}" for leaf in _dotted(value)} if isinstance(value, dict) else {key}
    return leaves
