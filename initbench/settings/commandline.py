"""From a composed cell back to the command line: the overrides that compose it again."""

import math
import re
from collections.abc import Mapping
from typing import Any

from initbench.errors import InputError
from initbench.models import MODELS
from initbench.settings.catalogue import Catalogue
from initbench.settings.overrides import quoted
from initbench.settings.schema import GROUPS, KIND, SEARCH, SETTINGS, own_value
from initbench.values import exact

# What Hydra reads as a text without quotes, and no other word for a value.
_BARE = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_/][A-Za-z0-9_/.:@+-]*", re.IGNORECASE)

# Where a data set is looked for is another machine's business.
_ELSEWHERE = {("dataset", "root")}


def overrides(cell: Mapping[str, Any], catalogue: Catalogue) -> dict[str, str]:
    """Key to value, as a command line has them: every option by its name, and then only what differs from it.

    Values are as the user wrote them, ``gain=auto`` and no number; those of no option are always there, so that the
    command means the same when a default has changed. Seeds, device and folder are left to the caller.

    Args:
        cell: one of :func:`initbench.settings.compose.compose`.
        catalogue: what it was composed with.
    """
    result: dict[str, str] = {}
    for name, setting in SETTINGS.items():
        if setting.single or name == "seeds" or _means_nothing(name, cell):
            continue
        if setting.group:
            result |= _option(name, cell, catalogue)
        else:
            value = own_value(name, cell) if cell[name] is None else cell[name]
            result[name] = written(_one_size(value) if name == "width" else value)
    return result


def _one_size(width: Any) -> Any:
    """One number for layers of one size."""
    return width[0] if isinstance(width, list) and len(set(width)) == 1 else width


def _means_nothing(name: str, cell: Mapping[str, Any]) -> bool:
    """Whether a setting has no say in this cell: it is left to init, or the model or protocol has no use for it."""
    model = cell["model"]["name"]
    searched = [key for key, values in cell["protocol"].items() if key.startswith(SEARCH) and values is not None]
    return (
        (cell[name] is None and SETTINGS[name].group != "")
        or (name == "width" and (not MODELS[model].width or cell["depth"] == 0))
        or (name == "depth" and model == "module")
        or f"{SEARCH}{name}" in searched
        or (name == "protocol" and not searched)
    )


def _option(name: str, cell: Mapping[str, Any], catalogue: Catalogue) -> dict[str, str]:
    """An option's name, and what of it was set."""
    group, node = GROUPS[name], cell[name]
    option = cell["options"].get(name) or _like(group, node, catalogue)
    brought = {"scheme": None} if group == "init" else {}
    brought |= catalogue.option(group, option)
    own = {
        key: value
        for key, value in node.items()
        if not _same(brought.get(key, math.nan), value) and (group, key) not in _ELSEWHERE
    }
    return {name: written(option)} | {f"{name}.{key}": written(value) for key, value in own.items()}


def _like(group: str, node: Mapping[str, Any], catalogue: Catalogue) -> str:
    """The option that has all the keys of one that a preset made without a file."""
    kind = KIND.get(group, "name")
    for name in (node["name"], *catalogue.groups()[group]):
        try:
            option = catalogue.option(group, name)
        except InputError:
            continue
        if option.get(kind) == node.get(kind) and option.keys() >= node.keys() - {"scheme"}:
            return str(name)
    raise InputError(f"no {group} could be named that has what '{node['name']}' has; write it to a file")


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def written(value: Any) -> str:
    """A value as Hydra's grammar has it, every digit of a number."""
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    return "null" if value is None else exact(value)
