"""Settings as Python values, written as the command line has them: there is one grammar, and Hydra reads it."""

import itertools
from collections.abc import Iterable, KeysView, Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

import numpy as np

from initbench.analysis.trials import Wanted
from initbench.errors import InputError
from initbench.settings.commandline import written
from initbench.settings.overrides import parse_filters
from initbench.settings.searching import PREFIX

# Settings whose list is a value and no axis of a sweep; so is that of everything that is searched.
_LISTS = ("seeds", "protocol.geometric")


def command_lines(*settings: Mapping[str, Any]) -> list[list[str]]:
    """The overrides of the command lines that together are a sweep: one, but where a list holds mappings.

    A list is an axis, a tuple one value that is a list. A mapping is an option's name and parameters; in a list each
    is a sweep of its own, and the names beside it are another.

    Raises:
        InputError: a value that has no form on a command line.
    """
    return [list(itertools.chain(*parts)) for parts in itertools.product(*_all_texts(*settings))]


def filters_of(texts: Iterable[str], settings: Mapping[str, Any]) -> Mapping[str, Wanted]:
    """The filters of a report: as the command line has them, and in Python, where a list is what a setting may be.

    Raises:
        InputError: a text that is no filter, a value that has no form on a command line, or a list of mappings.
    """
    texts = list(texts)
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"a filter must be a text such as 'init=he,xavier'; got {type(text).__name__}")
    line, *others = command_lines(settings)
    if others:
        raise InputError("a list of mappings filters nothing; select each of them alone")
    return parse_filters([*texts, *line])


def _all_texts(*settings: Mapping[str, Any]) -> list[list[list[str]]]:
    for given in settings:
        if not isinstance(given, Mapping):
            raise InputError(f"settings must be a mapping of names to values; got {type(given).__name__}")
    return [_alternatives(name, value) for given in settings for name, value in given.items()]


def _alternatives(name: str, value: Any) -> list[list[str]]:
    """One setting, in each of the sweeps that its value stands for."""
    items = _value(name, value)
    if not isinstance(items, list) or not any(isinstance(item, Mapping) for item in items):
        return [_texts(name, items)]
    names = [item for item in items if not isinstance(item, Mapping)]
    sweeps = [_texts(name, item) for item in items if isinstance(item, Mapping)]
    return [_texts(name, names), *sweeps] if names else sweeps


def _texts(name: str, value: Any) -> list[str]:
    """One setting as overrides: of an option its name, then its parameters."""
    value = _value(name, value)
    if isinstance(value, Mapping):
        own = _texts(name, value["name"]) if "name" in value else []
        inner = {f"{name}.{key}": part for key, part in value.items() if key != "name"}
        return own + [text for key, part in inner.items() for text in _texts(key, part)]
    if isinstance(value, list) and not _is_list(name):
        if not value:
            raise InputError(f"{name} is an empty list; give one value or several")
        return [f"{name}={','.join(_written(name, item) for item in value)}"]
    return [f"{name}={_written(name, value)}"]


def _is_list(name: str) -> bool:
    return name in _LISTS or name.startswith(PREFIX)


def _written(name: str, value: Any) -> str:
    value = _value(name, value)
    if isinstance(value, Mapping):
        raise InputError(f"{name}: a mapping cannot stand inside of this; write the setting in it by its dotted name")
    if isinstance(value, list | tuple):
        return f"[{','.join(_written(name, item) for item in value)}]"
    return written(value)


def _value(name: str, value: Any) -> Any:
    """A value as Python's own: a mapping, a list, a tuple, a text, a number, a truth value or None."""
    if value is None or isinstance(value, str | Mapping | tuple | list):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, np.floating) and not isinstance(value, float):
        # The number that was written: 0.1, and not what is nearest to it in half the digits.
        return float(str(value))
    if hasattr(value, "tolist"):
        # Of NumPy, pandas or torch: a number, or a list in the first dimension.
        return list(value) if getattr(value, "ndim", 0) else value.tolist()
    if isinstance(value, bool | int | float):
        return value
    if callable(value):
        raise InputError(
            f"{name}: a function has no name that a record could keep; write it to a file, and give "
            f"plugins='FILE.py' and {name}='{getattr(value, '__name__', 'NAME')}'"
        )
    if isinstance(value, Set) and not isinstance(value, KeysView):
        raise InputError(f"{name}: a set has no order; give a list")
    if isinstance(value, Iterable):
        return list(value)
    raise InputError(
        f"{name} must be a text, a number, true or false, None, or a list of them; got {type(value).__name__}"
    )


def one_or_more(given: Any) -> Sequence[Any]:
    """What a caller gave alone or in a list; a text alone is no list of letters."""
    return [given] if isinstance(given, str | PurePath) else list(given)
