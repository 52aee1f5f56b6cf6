"""A config may refer to another setting, as ``${depth}``, and to nothing else.

OmegaConf calls functions where there is a colon: ``oc.env`` reads the environment, ``now`` the clock. So it is never
asked to resolve anything, and no text is looked at twice.
"""

import re
from collections.abc import Mapping
from typing import Any

from initbench.errors import InputError

_REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}", re.ASCII)

# Characters that a text may have once its references are replaced.
_MOST = 10_000


def check(value: Any) -> bool:
    """Whether there is a reference in a value, or in any value or key within.

    Raises:
        InputError: a reference to something else than a setting, or in a key.
    """
    if isinstance(value, Mapping):
        return max((_in_key(key) or check(inner) for key, inner in value.items()), default=False)
    if isinstance(value, list | tuple):
        return max(map(check, value), default=False)
    if not isinstance(value, str) or "${" not in value:
        return False
    if "${" in _REFERENCE.sub(" ", value):
        raise InputError("a config may only refer to its own keys, as ${depth}")
    return True


def resolved(cell: Mapping[str, Any]) -> dict[str, Any]:
    """A composed cell with every reference replaced by what it names, a single value.

    Raises:
        InputError: there is no such setting, it is more than a value, or it leads back to itself.
    """
    known: dict[str, Any] = {}

    def named(path: str, through: tuple[str, ...]) -> Any:
        if path in through:
            raise InputError(f"${{{path}}} leads back to itself")
        if path not in known:
            value: Any = cell
            for part in path.split("."):
                if not isinstance(value, Mapping) or part not in value:
                    raise InputError(f"there is no setting '{path}' for ${{{path}}}")
                value = value[part]
            if isinstance(value, Mapping | list | tuple):
                raise InputError(f"${{{path}}} is no single value")
            known[path] = replaced(value, (*through, path))
        return known[path]

    def replaced(value: Any, through: tuple[str, ...] = ()) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(inner, through) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, through) for inner in value]
        if not isinstance(value, str):
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return named(whole[1], through)
        if "${" not in value:
            return value
        length, parts = 0, []
        for part in _parts(value):
            parts.append(part if isinstance(part, str) else str(named(part[1], through)))
            length += len(parts[-1])
            if length > _MOST:
                raise InputError(f"'{value[:40]}…' becomes longer than {_MOST:,} characters")
        return "".join(parts)

    return {key: replaced(value) for key, value in cell.items()}


def _parts(value: str) -> "list[str | re.Match[str]]":
    """The references of a text, and what stands between them."""
    parts: list[str | re.Match[str]] = []
    end = 0
    for found in _REFERENCE.finditer(value):
        parts += [value[end : found.start()], found]
        end = found.end()
    return [*parts, value[end:]]


def _in_key(key: Any) -> bool:
    if isinstance(key, str) and "${" in key:
        raise InputError("a config may refer to its own keys in values, not in keys")
    return False
