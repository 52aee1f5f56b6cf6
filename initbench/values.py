"""Checks of single values: each returns the value as what it should be, or raises InputError naming the setting."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initbench.errors import InputError, short, unknown

# More than anyone means, and still small enough to plan.
MOST = 1_000_000
_KINDS = {bool: "true or false", int: "a whole number", str: "a text"}


def whole(name: str, value: Any, least: int, most: int = MOST) -> int:
    """The value if it is a whole number in this range."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}; got {shown(value)}")
    if value > most:
        raise InputError(f"{name} must be at most {most:,}; got {short(f'{value:,}')}")
    return value


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    also: str = "",
) -> float:
    """The value if it is a finite number in this range; ``also`` names what else it may be, for the message."""
    bounds = [f"{sign} {bound}" for sign, bound in ((">", above), (">=", least), ("<", below)) if bound is not None]
    try:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        # A whole number that no float holds.
        ok, value = False, math.inf if value > 0 else -math.inf
    ok = ok and (above is None or value > above) and (least is None or value >= least)
    if not ok or (below is not None and value >= below):
        kind = " ".join(["a finite number", " and ".join(bounds)]).strip()
        raise InputError(f"{name} must be {kind}{f', {also}' if also else ''}; got {shown(value)}")
    # There is one zero.
    return float(value) + 0.0


def text(name: str, value: Any) -> str:
    """The value if it is a text that is not empty, and one that a record can hold."""
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} must be a text; got {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{name} must be a text in UTF-8; got {ascii(value)}") from error
    return value


def path(name: str, value: Any) -> Path:
    """The value as a path, ``~`` and ``~user`` replaced by the home folders they stand for."""
    try:
        return Path(text(name, value)).expanduser()
    except RuntimeError as error:
        raise InputError(f"{name}={value}: there is no such home folder") from error


def choice(name: str, value: Any, allowed: Mapping[str, Any] | Sequence[str]) -> str:
    """The value if it is one of those allowed."""
    if value not in list(allowed):
        raise unknown(name, str(value), allowed)
    return str(value)


def exactly(name: str, value: Any, kind: Any) -> Any:
    """The value if it is of the type bool, int, float or str, whatever its range: of a setting that is not ours."""
    if kind is float:
        return number(name, value)
    if type(value) is not kind:
        raise InputError(f"{name} must be {_KINDS[kind]}; got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A value as a user would write it."""
    return f"'{short(value)}'" if isinstance(value, str) else short(json.dumps(value, default=str))


def plain(value: Any) -> str:
    """A setting's value as the command line has it, to six digits."""
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def exact(value: Any) -> str:
    """As :func:`plain`, but every digit of a number."""
    if isinstance(value, float) and float(plain(value)) != value:
        return str(value)
    return f"[{','.join(map(exact, value))}]" if isinstance(value, list) else plain(value)


@dataclass(frozen=True)
class Parameter:
    """A value that a user may set: its name, what it is where nobody says, and what it may be.

    Attributes:
        name: as the settings, the records and the code spell it.
        default: its value where none is given, as a user would write it.
        kind: ``bool``, ``int``, ``float``, ``str``, ``Path``, or ``str | int``.
        least: the smallest value of a number.
        above: what a number must exceed.
        below: what a number must stay under.
        help: what it does, in a few words.
        choices: all that it may be, where that can be listed.
        words: names that may stand for a number, which follows from other settings.
        optional: whether it may be nothing: ``null``, or ``none`` where there are choices.
        required: whether it must be given, and has no default.
        many: whether it is a list of such values, sorted, each once; a single value is a list of one.
    """

    name: str
    default: Any = None
    kind: Any = float
    least: float | None = None
    above: float | None = None
    below: float | None = None
    help: str = ""
    choices: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    optional: bool = False
    required: bool = False
    many: bool = False

    def check(self, value: Any, where: str) -> Any:
        """The value if it is of the kind and in the range.

        Args:
            value: as it was read.
            where: the setting that names it, for the message: ``optimizer.momentum``.

        Raises:
            InputError: it is not.
        """
        if not self.many:
            return self._check(value, where)
        if value is None and self.optional:
            return None
        values = {self._check(item, where) for item in (value if isinstance(value, list | tuple) else [value])}
        if not values and not self.optional:
            raise InputError(f"{where} is an empty list; write {where}={exact(list(self.default[:2]))}")
        return tuple(sorted(values, key=lambda one: (isinstance(one, str), one)))

    def _check(self, value: Any, where: str) -> Any:
        if self.optional and (value is None or (value == "none" and self.choices)):
            return None
        if self.words and isinstance(value, str) and value in self.words:
            return value
        if self.choices:
            return self._choice(value, where)
        if self.kind is float:
            also = _listed(self.words)
            return number(where, value, above=self.above, least=self.least, below=self.below, also=also)
        if self.kind is int:
            bounds = [*([] if self.least is None else [self.least]), *([] if self.above is None else [self.above + 1])]
            most = MOST if self.below is None else int(self.below) - 1
            return whole(where, value, int(max(bounds)), most) if bounds else exactly(where, value, int)
        if self.kind is Path:
            path(where, value)
            return value
        if self.kind == str | int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if self.kind is bool or (value == "" and self.default == ""):
            return exactly(where, value, self.kind)
        return text(where, value)

    def _choice(self, value: Any, where: str) -> Any:
        allowed = [*self.choices, *(["none"] if self.optional else [])]
        if all(isinstance(item, str) for item in allowed):
            return choice(where, value, allowed)
        # True is no 1.
        if isinstance(value, bool) or value not in allowed:
            raise InputError(f"{where} must be one of {', '.join(map(str, allowed))}; got {shown(value)}")
        return value

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return ", ".join([*map(str, self.choices), *(["none"] if self.optional else [])])
        bounds = [(">", self.above), (">=", self.least), ("<", self.below)]
        limits = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        kind = {int: "whole number", float: "number", bool: "true, false", str: "text", Path: "path"}
        text = " ".join(filter(None, [kind.get(self.kind, "text or whole number"), limits]))
        listed = ["a list of them"] if self.many else []
        return ", ".join([text, *listed, *self.words, *(["null"] if self.optional else [])])


def _listed(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
