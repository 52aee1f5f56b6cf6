"""Why trials of a plan have no record yet: in what their cell differs from the nearest one that has."""

from collections.abc import Mapping, Sequence
from typing import Any

from initbench.errors import short
from initbench.experiment.plan import Plan
from initbench.printable import printable
from initbench.records.columns import Setting
from initbench.trial import Cell
from initbench.values import plain

# What differs in more settings is another experiment; more comparisons would take longer than the plan.
_MOST, _COMPARISONS = 3, 200_000

_NONE = object()


def reasons(planned: Plan, recorded: Sequence[Setting]) -> dict[Cell, str]:
    """Of cells without any record, what is new about them; nothing where a plan or a folder is too large to compare.

    Args:
        planned: what is asked for.
        recorded: the settings that have records in the results folder.
    """
    todo = {trial.key for trial in planned.todo}
    begun = {trial.cell for trial in planned.trials if trial.key not in todo}
    new = {trial.cell: trial.identity for trial in planned.trials if trial.cell not in begun}
    if not recorded or len(recorded) * len(new) > _COMPARISONS:
        return {}
    known = [_flat(setting.trial) for setting in recorded]
    found = {}
    for cell, identity in new.items():
        wanted = _flat({key: value for key, value in identity.items() if key != "seed"})
        differences = [_differences(old, wanted) for old in known]
        best = min(range(len(known)), key=lambda i: len(differences[i]))
        if len(differences[best]) > _MOST:
            found[cell] = "nothing like it is recorded"
        else:
            names = (recorded[best].asked.dataset, cell.dataset.name)
            found[cell] = ", ".join(_told(key, *values, names) for key, values in differences[best].items())
    return found


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names; a group that is null is one value."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings with what they are there and here; of another law, source or optimizer only that it is another."""
    differ = [key for key in dict.fromkeys([*old, *new]) if old.get(key, _NONE) != new.get(key, _NONE)]
    groups = {key.partition(".")[0] for key in differ if key.partition(".")[2] in ("law", "name")}
    kept = [key for key in differ if key.partition(".")[0] not in groups or key.partition(".")[2] in ("law", "name")]
    return {key: (old.get(key), new.get(key)) for key in kept if key != "width" or "depth" not in differ}


def _told(key: str, old: Any, new: Any, datasets: tuple[str, str]) -> str:
    if key == "dataset.sha256":
        was, now = map(_shown, datasets)
        return f"the data of {now} have changed" if was == now else f"dataset {was} -> {now}"
    if key.endswith(".code"):
        return f"the code of {_shown(key.removesuffix('.code'))} has changed"
    name = _shown(key).removesuffix(".law").removesuffix(".name")
    return f"{name} {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    """Short, and harmless in a terminal: a record may hold anything."""
    return printable(short(plain(value)))
