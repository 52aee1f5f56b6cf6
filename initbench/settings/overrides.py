"""The override texts of a command line, read by Hydra's grammar: settings and axes of a run, filters of a report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from initbench.errors import InputError
from initbench.initializers.names import canonical

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Glob

# Settings of the whole command; a sweep over them has no meaning.
_SINGLE = ("device", "results", "experiment")

# Settings that name an option of the group init.
INIT_GROUPS = ("init", "init_first", "init_output")


def parse_filters(overrides: Sequence[str]) -> "dict[str, list[Any] | Glob]":
    """``init=he,xavier depth=10`` as the values wanted of each key, or the pattern their names must match.

    Raises:
        InputError: an override that cannot be read.
    """
    if not overrides:
        return {}
    from hydra.core.override_parser.types import Glob

    filters: dict[str, list[Any] | Glob] = {}
    for text in overrides:
        override = _read(text)
        key, value = override.key_or_group, override.value()
        if isinstance(value, Glob):
            filters[key] = value
            continue
        if override.is_sweep_override():
            values = [getattr(item, "text", item) for item in override.sweep_iterator()]
        elif key == "seeds":
            # As in a run: seeds=10 is 0 to 9, seeds=[3] is that one.
            values = list(range(value)) if isinstance(value, int) else value if isinstance(value, list) else [value]
        else:
            values = [value]
        if key == "width":
            # One size for all layers goes by that size.
            values = [item[0] if isinstance(item, list) and len(set(map(str, item))) == 1 else item for item in values]
        filters[key] = _canonical(key, values)
    return filters


def _read(text: str) -> Any:
    """One override, parsed by Hydra; only setting a value is allowed, on a key that is not Hydra's own."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    # Python reads no whole number of more than 4,300 digits.
    except (HydraException, ValueError) as error:
        raise InputError(
            f"cannot read '{text}'; write KEY=VALUE, e.g. init=he or depth=2,10, and a value with spaces, brackets or "
            "accents in quotes of its own: \"dataset.path='my data.csv'\""
        ) from error
    if override.is_delete() or override.package is not None or override.key_or_group.split(".")[0] == "hydra":
        raise InputError(f"'{text}' is not a setting of an experiment; write KEY=VALUE, e.g. depth=2,10")
    if override.is_sweep_override() and not override.is_discrete_sweep():
        raise InputError(f"'{text}' is an interval; list values, or use range() or choice()")
    value = override.value()
    if isinstance(value, Glob) and not all(isinstance(pattern, str) for pattern in (*value.include, *value.exclude)):
        raise InputError(f"'{text}' has a pattern that is no text; write e.g. init=glob(he*)")
    return override


def parse(overrides: Iterable[str], groups: Mapping[str, list[str]]) -> dict[str, list[Any]]:
    """Key to list of values, one value where it is no sweep, in the order in which the keys first appear."""
    from hydra.core.override_parser.types import Glob

    axes: dict[str, list[Any]] = {}
    for text in overrides:
        override = _read(text)
        key, value = override.key_or_group, override.value()
        if isinstance(value, Glob):
            values: list[Any] = value.filter(groups.get(key, []))
        elif override.is_sweep_override():
            values = [getattr(item, "text", item) for item in override.sweep_iterator()]
            # Seeds are runs of one cell: seeds=3,7 lists them, as seeds=[3,7] does.
            values = [values] if key == "seeds" else values
        else:
            values = [value]
        if not values:
            raise InputError(f"'{text}' matches nothing" + _choices(key, groups))
        values = _canonical(key, values)
        if len(values) > 1 and key in _SINGLE:
            raise InputError(f"'{key}' takes one value, got {len(values)}")
        axes[key] = values
    return axes


def _canonical(key: str, values: list[Any]) -> list[Any]:
    """An initializer may be named by an alias."""
    return [canonical(name) if key in INIT_GROUPS and isinstance(name, str) else name for name in values]


def _choices(key: str, groups: Mapping[str, list[str]]) -> str:
    return f"; choose from: {', '.join(sorted(groups[key]))}" if key in groups else ""


def is_pattern(key: str, texts: Iterable[str]) -> bool:
    """Whether the last override of a key names its options by a pattern: it then means those that can serve."""
    from hydra.core.override_parser.types import Glob

    values = [override.value() for override in map(_read, texts) if override.key_or_group == key]
    return bool(values) and isinstance(values[-1], Glob)
