"""The first of two steps from a composed cell to a typed one: every value by itself is what the table says it may be.

What follows from what, a gain from the activation, is the second step: :mod:`initbench.settings.resolve`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from initbench.data_driven import DataLaw
from initbench.errors import InputError, unknown
from initbench.initializers import Law
from initbench.settings.schema import COMMON, GROUPS, KIND, SEARCH, SETTINGS, kinds, own_value, parameters
from initbench.values import choice, shown

Laws = Mapping[str, Law | DataLaw]


@dataclass(frozen=True)
class Option:
    """An option of a group.

    Attributes:
        setting: that names it, as ``init_first``.
        kind: what decides which parameters it has: its law, its source, or else its name.
        common: what every option of its group has, of those that this one has; its ``name`` above all.
        params: its own parameters, by name: as they are given, else their defaults; names for numbers stay names.
    """

    setting: str
    kind: str
    common: Mapping[str, Any]
    params: Mapping[str, Any]


def checked(cell: Mapping[str, Any], laws: Laws) -> dict[str, Any]:
    """Every setting that makes a cell: values, options as :class:`Option`, None for what is left to others.

    Args:
        cell: composed, see :func:`initbench.settings.compose.compose`.
        laws: those there are.

    Raises:
        InputError: a value of the wrong type or outside its range, or a name that is not in its table.
    """
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if setting.single or name == "seeds":
            continue
        value = own_value(name, cell) if cell[name] is None else cell[name]
        if name == "bias":
            found[name] = bias(value, found["init"])
        elif setting.group:
            found[name] = None if value is None and setting.parameter.optional else option(name, value, laws)
        else:
            allowed = replace(setting.parameter, optional=False)
            # Each layer may have its own.
            each = name == "width" and isinstance(value, list)
            found[name] = [allowed.check(item, name) for item in value] if each else allowed.check(value, name)
    return found


def bias(node: Any, init: Option) -> Option:
    """The bias policy; None asks for the one that the initializer brings with it.

    Raises:
        InputError: as :func:`option`.
    """
    return option("bias", {"name": init.common.get("bias") or "zeros"} if node is None else node, {})


def option(setting: str, node: Any, laws: Laws) -> Option:
    """One option, checked.

    Args:
        setting: that names it.
        node: its name, and parameters; what is missing has its default.
        laws: those there are.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    group = GROUPS[setting]
    if not isinstance(node, Mapping):
        raise InputError(f"{setting} must hold settings, one KEY: VALUE per line; got {shown(node)}")
    key = KIND.get(group, "name")
    kind = node.get(key)
    known = kind is not None and choice(setting if key == "name" else f"{setting}.{key}", kind, kinds(group, laws))
    own = parameters(group, str(kind), laws) or () if known else ()
    for parameter in (*COMMON[group], *own):
        if parameter.required and parameter.name not in node:
            raise InputError(f"{setting} {shown(node.get('name'))} lacks '{parameter.name}'")
    names = [parameter.name for parameter in (*COMMON[group], *own)]
    # What a protocol searches is checked as what it stands for.
    unlisted = [name for name in node if name not in names and not (group == "protocol" and name.startswith(SEARCH))]
    if unlisted:
        raise unknown("setting", f"{setting}.{unlisted[0]}", [f"{setting}.{name}" for name in names])
    common = {p.name: p.check(node[p.name], f"{setting}.{p.name}") for p in COMMON[group] if p.name in node}
    params = {p.name: p.check(node.get(p.name, p.default), f"{setting}.{p.name}") for p in own}
    return Option(setting, str(kind), common, params)
