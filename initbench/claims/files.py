"""Claims and presets of the ledger, as their YAML files say them: ``configs/claim/`` and ``configs/ledger/``.

A claim needs no Python. What it measures is a quantity of :mod:`initbench.claims.values`, and how it is decided is in
:mod:`initbench.claims.verdicts`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from initbench.claims.values import is_ratio
from initbench.errors import InputError, unknown
from initbench.settings import options, references
from initbench.settings.commandline import written

# ``higher``, ``lower``: than the other or than a bound. ``at_least``, ``at_most``: not worse by the margin. ``equal``:
# within the margin. ``different``: not within it.
Expect = Literal["higher", "lower", "at_least", "at_most", "equal", "different"]
Verdict = Literal["supported", "refuted", "mixed", "inconclusive", "unmeasured"]

# A value of a setting, or an axis of several.
Settings = dict[str, Any]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim.

    Attributes:
        id: the name of its file.
        statement: what is claimed, in a sentence of our own.
        sources: articles (D0 to D4) and papers that claim it.
        refuted_by: what would show that it is wrong.
        settings: where its author would expect it: settings of ``initbench run``, a list being an axis.
        arms: what is compared: names of initializers, or a name for each with settings of its own.
        quantity: what is measured of every network; see :mod:`initbench.claims.values`.
        expect: how ``compare`` should stand to ``against`` or to ``bound``.
        compare: an arm or several; all arms if it is left out. Each pair is a hypothesis of its own.
        against: an arm or several.
        bound: a number instead.
        order: arms, each of which should stand so to the next, instead of all three.
        change: a setting with two values: the contrast is how the difference at the second exceeds that at the first.
        margin: the smallest difference of interest, in the quantity's unit, a factor for quantities that are compared
            as ratios; where it is given, higher and lower mean by this much. None: the binomial standard error of the
            test set for accuracies, no margin for others.
        reading: what a verdict means, by verdict; said only where it is this one.
    """

    id: str = ""
    statement: str
    sources: list[str]
    refuted_by: str
    settings: Settings = {}
    arms: list[str] | dict[str, Settings]
    quantity: str
    expect: Expect
    compare: str | list[str] | None = None
    against: str | list[str] | None = None
    bound: float | None = None
    order: list[str] | None = None
    change: dict[str, list[Any]] | None = None
    margin: float | None = None
    reading: dict[Verdict, str] = {}

    def __post_init__(self) -> None:
        for name, text in (("statement", self.statement), ("refuted_by", self.refuted_by)):
            if not text.strip():
                raise ValueError(f"{name} is empty")
        given = (self.against is not None) + (self.bound is not None) + (self.order is not None)
        if given > 1 or (not given and not self.change):
            raise ValueError("one of against, bound and order is needed; with change it may be none")
        if not self.arms or [] in (self.compare, self.against) or (self.order is not None and len(self.order) < 2):
            raise ValueError("arms, compare and against need at least one name, order two")
        named = {*_names(self.compare), *_names(self.against), *(self.order or [])}
        for name in named - set(self.arms):
            raise ValueError(f"'{name}' is none of its arms: {', '.join(self.arms)}")
        if self.change is not None and [len(values) for values in self.change.values()] != [2]:
            raise ValueError("change takes one setting with two values")
        if any(one == other for one, other in self.pairs):
            raise ValueError("an arm is compared with itself")
        if self.bound is not None and not math.isfinite(self.bound):
            raise ValueError("bound must be a finite number")
        least = 1.0 if is_ratio(self.quantity) else 0.0
        if self.margin is not None and not least < self.margin < math.inf:
            raise ValueError(f"margin must be above {least:g} for this quantity")

    @property
    def arm_settings(self) -> dict[str, Settings]:
        """Every arm with its settings."""
        return self.arms if isinstance(self.arms, dict) else {name: {"init": name} for name in self.arms}

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """What is compared with what; with nothing where there is a bound."""
        if self.order:
            return list(zip(self.order, self.order[1:], strict=False))
        firsts = _names(self.compare) or [name for name in self.arms if name not in _names(self.against)]
        others: list[str | None] = [*_names(self.against)] or [None]
        return [(one, other) for one in firsts for other in others]

    @property
    def changed(self) -> tuple[str, tuple[str, str]] | None:
        """The setting of ``change`` and its two values, as cells have them."""
        for key, (before, after) in (self.change or {}).items():
            return key, (written(before), written(after))
        return None


def _names(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def claims(config_dir: str | Path | None = None) -> list[Claim]:
    """Every claim there is, ours and those of a user's folder, by id.

    Raises:
        InputError: a file that is no claim.
    """
    return [_claim(name, file) for name, file in sorted(options.option_files("claim", config_dir).items())]


def chosen(known: Sequence[Claim], ids: Sequence[str]) -> list[Claim]:
    """Those of some ids, all where none is named.

    Raises:
        InputError: there is no such claim.
    """
    by_id = {claim.id: claim for claim in known}
    for name in ids:
        if name not in by_id:
            raise unknown("claim", name, by_id)
    return [by_id[name] for name in dict.fromkeys(ids)] or list(known)


def _read(file: Path) -> Any:
    node = options.read(file)
    try:
        references.check([node])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return node


def _claim(name: str, file: Path) -> Claim:
    node = _read(file)
    try:
        return msgspec.convert({**node, "id": name} if isinstance(node, dict) else node, Claim, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"{file}: {error}") from error


def preset(name: str, config_dir: str | Path | None = None) -> Settings:
    """The settings that all claims share, of a file in ``configs/ledger/``.

    Raises:
        InputError: there is none of this name, or it is no mapping.
    """
    files = options.option_files("ledger", config_dir)
    if name not in files:
        raise unknown("preset", name, files)
    node = _read(files[name])
    if not isinstance(node, dict):
        raise InputError(f"{files[name]} must be KEY: VALUE, one per line")
    return node


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``initbench run`` takes them, a list being an axis; but the seeds are a list that is no axis."""

    def value(key: str, given: Any) -> str:
        if isinstance(given, list) and key != "seeds":
            return ",".join(map(written, given))
        return written(given)

    return [f"{key}={value(key, given)}" for key, given in settings.items()]
