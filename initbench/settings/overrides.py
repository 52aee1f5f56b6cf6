"""The override texts of a command line, read by Hydra's grammar: settings and axes of a run, filters of a report."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from initbench.errors import InputError, folded, short
from initbench.initializers.names import VIEWS, canonical, in_any_case
from initbench.settings import habits
from initbench.settings.options import unprintable
from initbench.settings.schema import INIT_GROUPS, SETTINGS
from initbench.values import MOST, whole

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Glob, RangeSweep

NO_GROUPS: Mapping[str, Collection[str]] = {}

# Characters of all settings, and of those with lists, which take the parser longer.
_MOST, _MOST_LISTED = 100_000, 20_000


class Axis(NamedTuple):
    """The values of one key, one where it is no sweep; ``by_pattern`` where they are the names that match one."""

    values: list[Any]
    by_pattern: bool = False


def parse(overrides: Iterable[str], groups: Mapping[str, list[str]]) -> dict[str, Axis]:
    """The axes of a run, in the order in which their keys first appear; the last override of a key wins.

    Args:
        overrides: texts.
        groups: the names that a pattern can match, of every setting that names an option.

    Raises:
        InputError: an override that cannot be read, or that matches nothing.
    """
    from hydra.core.override_parser.types import Glob

    axes: dict[str, Axis] = {}
    texts = _bounded(overrides)
    for place, text in enumerate(texts):
        override = _read(text, texts[:place], texts[place + 1 :], groups)
        key, value = override.key_or_group, override.value()
        if isinstance(value, Glob):
            values: list[Any] = value.filter(groups.get(key, []))
        else:
            values = _values(override)
            # Seeds are runs of one cell: seeds=3,7 lists them, as seeds=[3,7] does.
            values = [values] if key == "seeds" and override.is_sweep_override() else values
        # Each option is composed once.
        values = list({repr(value): value for value in values}.values()) if key in groups else values
        if not values:
            raise InputError(f"'{short(text)}' matches nothing" + _choices(key, groups))
        of = key.partition(".")[0]
        if len(values) > 1 and of in SETTINGS and SETTINGS[of].single:
            raise InputError(f"'{key}' takes one value, got {len(values)}")
        axes[key] = Axis(_canonical(key, values, groups.get(key, ())), isinstance(value, Glob))
    return axes


def parse_filters(overrides: Sequence[str]) -> "dict[str, list[Any] | Glob]":
    """``init=he,xavier depth=10`` as the values wanted of each key, or the pattern their names must match.

    Raises:
        InputError: an override that cannot be read.
    """
    if not overrides:
        return {}
    from hydra.core.override_parser.types import Glob

    filters: dict[str, list[Any] | Glob] = {}
    for text in _bounded(overrides):
        override = _read(text)
        key, value = override.key_or_group, override.value()
        if isinstance(value, Glob):
            filters[key] = value
            continue
        values = _values(override)
        if key == "seeds" and not override.is_sweep_override():
            values = list(seeds_of(values))
        if key == "width":
            # One size for all layers goes by that size.
            values = [item[0] if isinstance(item, list) and len(set(map(str, item))) == 1 else item for item in values]
        filters[key] = _canonical(key, values)
    return filters


def seeds_of(values: Iterable[Any]) -> tuple[int, ...]:
    """What ``seeds`` means: ``10`` is 0..9, a list is those; 0 is a seed like any other.

    Raises:
        InputError: a value that is no seed, or none at all.
    """
    seeds: dict[int, None] = {}
    last = None
    for value in values:
        # Most cells of a sweep have the seeds of the one before.
        if last is not None and value is last:
            continue
        last = value
        if isinstance(value, list):
            seeds |= dict.fromkeys(whole("seeds", item, 0, 2**64 - 1) for item in value)
        else:
            seeds |= dict.fromkeys(range(whole("seeds", value, 1)))
    if not seeds:
        raise InputError("seeds is an empty list; write seeds=10 for 0..9, or seeds=[3,7]")
    return tuple(seeds)


def _bounded(overrides: Iterable[str]) -> list[str]:
    """Refuse what the parser, which takes the square of the time for a list, would need more than seconds for."""
    texts = list(overrides)
    for most, what in ((_MOST, texts), (_MOST_LISTED, [text for text in texts if "[" in text])):
        if sum(map(len, what)) > most:
            raise InputError(f"'{short(max(what, key=len))}' is longer than {most:,} characters; use e.g. range()")
    return texts


def _read(
    text: str, before: Sequence[str] = (), after: Sequence[str] = (), groups: Mapping[str, Collection[str]] = NO_GROUPS
) -> Any:
    """One override, parsed by Hydra; only setting a value is allowed, on a key that is not Hydra's own.

    Args:
        text: the override.
        before: the words before it, which tell what was meant where it cannot be read.
        after: the words after it, for the same.
        groups: the names of every setting that names an option, for the same.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    if unprintable(text):
        raise InputError(f"{ascii(text)[:60]} has a character that does not print; write KEY=VALUE on one line")
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    # Python reads no whole number of more than 4,300 digits, and the parser calls itself at every bracket.
    except (HydraException, ValueError, RecursionError) as error:
        meant = habits.word(text, before, after, groups)
        if meant:
            raise InputError(f"cannot read '{short(text)}'; write {short(meant)}") from error
        raise InputError(
            f"cannot read '{short(text)}'; write KEY=VALUE, e.g. init=he or depth=2,10, and a value with spaces, "
            "brackets or accents in quotes of its own: \"dataset.path='my data.csv'\""
        ) from error
    if override.is_delete() or override.package is not None or override.key_or_group.split(".")[0] == "hydra":
        raise InputError(f"'{short(text)}' is not a setting of an experiment; write KEY=VALUE, e.g. depth=2,10")
    if override.is_sweep_override() and not override.is_discrete_sweep():
        raise InputError(f"'{short(text)}' is an interval; list values, or use range() or choice()")
    value = override.value()
    if isinstance(value, Glob) and not all(isinstance(pattern, str) for pattern in (*value.include, *value.exclude)):
        raise InputError(f"'{short(text)}' has a pattern that is no text; write e.g. init=glob(he*)")
    return override


def _check_range(values: "RangeSweep", text: str) -> None:
    """Refuse a range that has no end, or too many values, before there is one of them."""
    try:
        found = values.range()
        n = len(found) if isinstance(found, range) else float((found.stop - found.start) / found.step)
    # Decimal has errors of its own, for a step of 0 too.
    except (OverflowError, ArithmeticError, ValueError) as error:
        raise InputError(f"'{short(text)}' is no range of at most {MOST:,} numbers") from error
    # Not a number is not at most anything.
    if not n <= MOST:
        raise InputError(f"'{short(text)}' has more than {MOST:,} values")


def _values(override: Any) -> list[Any]:
    from hydra.core.override_parser.types import RangeSweep

    if override.is_sweep_override():
        if isinstance(override.value(), RangeSweep):
            _check_range(override.value(), override.input_line)
        return [getattr(item, "text", item) for item in override.sweep_iterator()]
    return [override.value()]


def _canonical(key: str, values: list[Any], known: Collection[str] = ()) -> list[Any]:
    """An initializer may be named by an alias, and what is ``known`` in any case."""
    of_init = key in INIT_GROUPS
    names = {*known, *(VIEWS if known and of_init else ())}

    def one(name: str) -> str:
        name = canonical(name) if of_init else name
        if not names or name in names:
            return name
        alike = [other for other in names if folded(other) == folded(name)]
        return alike[0] if len(alike) == 1 else in_any_case(name) if of_init and not alike else name

    return [one(name) if isinstance(name, str) else name for name in values]


def _choices(key: str, groups: Mapping[str, list[str]]) -> str:
    return f"; choose from: {', '.join(sorted(groups[key]))}" if key in groups else ""


def quoted(text: str) -> str:
    """As Hydra reads it back: it would take a bare 2024 for a number."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return str(QuotedString(text, Quote.single).with_quotes())
