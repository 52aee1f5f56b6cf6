"""What a function says of its own parameters: the one place where they and their defaults stand."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any

from initbench.values import Parameter


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that have a default value, with it."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@lru_cache(maxsize=512)
def declared(function: Callable[..., Any], all_of_them: bool = False) -> tuple[Parameter, ...]:
    """The parameters that a user may set: those that have a default value, or all.

    The kind is the annotation, or else what the default is; None stands for nothing where the annotation has it.
    """
    found = []
    for p in inspect.signature(function).parameters.values():
        required = p.default is p.empty
        if required and not all_of_them:
            continue
        default = None if required else p.default
        kinds = [p.annotation] if p.annotation in (bool, int, float, str) else _kinds(p.annotation, default)
        kind = kinds[0] if len(kinds) == 1 else str | int
        optional = NoneType in getattr(p.annotation, "__args__", ())
        found.append(Parameter(p.name, default, kind, optional=optional, required=required and not optional))
    return tuple(found)


def _kinds(annotation: Any, default: Any) -> list[Any]:
    if isinstance(annotation, UnionType):
        return [kind for kind in annotation.__args__ if kind is not NoneType]
    return [str if default is None else type(default)]


def refined(parameters: tuple[Parameter, ...], about: Mapping[str, Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """The same parameters, with what a signature cannot say of some of them: ranges, choices, help."""
    return tuple(replace(parameter, **about.get(parameter.name, {})) for parameter in parameters)
