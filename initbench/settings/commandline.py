"""From a composed cell back to the command line: the overrides that compose it again."""

import math
import re
from collections.abc import Mapping
from typing import Any

from initbench.models import MODELS
from initbench.settings.overrides import quoted
from initbench.settings.schema import SEARCH, SETTINGS, own_value
from initbench.values import exact

# What Hydra reads as a text without quotes, and no other word for a value.
_BARE = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_/][A-Za-z0-9_/.:@+-]*", re.IGNORECASE)

# Where a data set is looked for is another machine's business.
_ELSEWHERE = {("dataset", "root")}


def overrides(cell: Mapping[str, Any]) -> dict[str, str]:
    """Key to value, as a command line has them: every option by its name, and then only what differs from it.

    Values are as the user wrote them, ``gain=auto`` and no number; those of no option are always there, so that the
    command means the same when a default has changed. Seeds, device and folder are left to the caller.

    Args:
        cell: one of :func:`initbench.settings.compose.compose`.
    """
    result: dict[str, str] = {}
    for name, setting in SETTINGS.items():
        if setting.single or name == "seeds" or _means_nothing(name, cell):
            continue
        if setting.group:
            result |= _option(name, cell)
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


def _option(name: str, cell: Mapping[str, Any]) -> dict[str, str]:
    """An option's name, and what of it was set."""
    option, brought = cell["options"][name]
    own = {
        key: value
        for key, value in cell[name].items()
        if not _same(brought.get(key, math.nan), value) and (name, key) not in _ELSEWHERE
    }
    return {name: written(option)} | {f"{name}.{key}": written(value) for key, value in own.items()}


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def written(value: Any) -> str:
    """A value as Hydra's grammar has it, every digit of a number."""
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    return "null" if value is None else exact(value)
