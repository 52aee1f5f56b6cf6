"""What a protocol searches: every value in ``protocol.search`` checked as if it were set, and those that may join."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from initbench.errors import InputError
from initbench.search import next_value, search_of
from initbench.settings.schema import SEARCH
from initbench.trial import Cell, Named
from initbench.values import number, shown

PREFIX = f"protocol.{SEARCH}"

# Makes a cell of composed settings.
Make = Callable[[Mapping[str, Any]], Cell]


def searching(cell: Cell, plain: Mapping[str, Any], make: Make) -> Cell:
    """The cell with what its protocol searches, in the values that the settings of trials will have.

    Args:
        cell: without it.
        plain: what it was made of.
        make: makes a cell of the like, checked, whose protocol searches nothing.

    Raises:
        InputError: a setting that there is not, a value that it cannot have, or one from which other settings follow.
    """
    node, base = plain["protocol"], make(plain)
    wanted = {key.removeprefix(SEARCH): values for key, values in sorted(node.items()) if key.startswith(SEARCH)}
    grid = {path: _values(base, plain, path, values, make) for path, values in wanted.items() if values is not None}
    if not grid:
        raise InputError(f"protocol '{node['name']}' searches nothing; write {PREFIX}lr=[0.01,0.1]")
    params = dict(cell.protocol.params)
    if params["halving"] and "epochs" in grid:
        raise InputError("protocol.halving=true trains for a part of the epochs; they cannot be searched with it")
    geometric = _geometric(params["geometric"], grid)
    for path in geometric:
        for value in () if params["halving"] else _beyond(grid[path], params["extend"]):
            _one(base, plain, {path: value}, make)
    if len(grid) > 1:
        for point in itertools.product(*grid.values()):
            _one(base, plain, dict(zip(grid, point, strict=True)), make)
    params |= {f"search.{path}": values for path, values in grid.items()} | {"geometric": geometric}
    return replace(cell, protocol=Named(cell.protocol.name, tuple(sorted(params.items()))))


def check_searches(cells: Iterable[Cell]) -> None:
    """Refuse a sweep over what is searched.

    Raises:
        InputError: two cells differ in nothing else.
    """
    seen: dict[Cell, Cell] = {}
    for cell in cells:
        search = search_of(cell.protocol)
        if search is None:
            continue
        alike = cell.with_values({path: values[0] for path, values in search.grid})
        other = seen.setdefault(replace(alike, settings=()), cell)
        for path in search.paths:
            if other.value(path) != cell.value(path):
                what = "the learning rate" if path == "lr" else path
                raise InputError(
                    f"protocol={cell.protocol.name} chooses {what}; list the values to try as {PREFIX}{path}=[...]"
                )


def _values(base: Cell, plain: Mapping[str, Any], path: str, values: Any, make: Make) -> tuple[Any, ...]:
    """The values of a setting as its trials will have them, numbers by size."""
    listed = values if isinstance(values, list) else [values]
    found = list(dict.fromkeys(_one(base, plain, {path: value}, make).value(path) for value in listed))
    if not found:
        raise InputError(f"{PREFIX}{path} is an empty list; write {PREFIX}{path}=[0.01,0.1]")
    return tuple(sorted(found) if all(isinstance(value, int | float) for value in found) else found)


def _one(base: Cell, plain: Mapping[str, Any], values: Mapping[str, Any], make: Make) -> Cell:
    """The cell with other values of some settings, checked."""
    where, changed = " and ".join(PREFIX + path for path in values), dict(plain)
    for path, value in values.items():
        name, dot, inner = path.partition(".")
        node = changed.get(name)
        if name not in changed or (dot and not (isinstance(node, Mapping) and inner in node)):
            owner = f"{name} '{node['name']}'" if dot and isinstance(node, Mapping) else "an experiment"
            raise InputError(f"{PREFIX}{path}: {owner} has no setting '{inner or name}'")
        changed[name] = {**node, inner: value} if isinstance(node, Mapping) and dot else value
    try:
        one = make(changed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    compare = f"write {' '.join(f'{path}=A,B' for path in values)} to compare"
    try:
        found = {path: one.value(path) for path in values}
    except KeyError as error:
        raise InputError(f"{where}: only single values can be searched; {compare}") from error
    if one != base.with_values(found):
        raise InputError(f"{where}: other settings follow from {', '.join(values)}; {compare}")
    return one


def _geometric(asked: tuple[str, ...], grid: Mapping[str, tuple[Any, ...]]) -> tuple[str, ...]:
    """The settings that are searched on a geometric grid; lr need not be searched."""
    for path in asked:
        if path not in grid and path != "lr":
            raise InputError(f"protocol.geometric: {shown(path)} is not searched; {PREFIX}{path}=[…] would")
        for value in grid.get(path, ()):
            number(f"{PREFIX}{path}, which is in protocol.geometric,", value, above=0)
    return tuple(path for path in sorted(set(asked)) if path in grid)


def _beyond(values: tuple[Any, ...], times: int) -> list[float]:
    """What may be added at both ends."""
    found: list[float] = []
    if len(values) > 1:
        for edge, neighbour in ((values[0], values[1]), (values[-1], values[-2])):
            for _ in range(times):
                edge, neighbour = next_value(edge, neighbour), edge
                found.append(edge)
    return found
