"""Records as a table: one row per trial. Needs no torch; anyone's records with the same fields will do."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from initbench.errors import InputError, unknown

Record = dict[str, Any]


class Pattern(Protocol):
    """Names by pattern, as Hydra's ``glob()`` gives them."""

    def filter(self, names: list[str]) -> list[str]:
        """Those of the names that match."""
        ...


# What a filter wants: one of some values, or a name that matches.
Wanted = Sequence[Any] | Pattern


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row per trial, sorted by setting, technique and seed.

    Accuracies are fractions in 0..1, missing where the trial diverged; ``setting`` is everything that the trials of one
    table share, i.e. the identity without initializer and seed.
    """
    frame = pd.DataFrame([_row(record) for record in records])
    order = ["dataset", "model", "activation", "depth", "width", "lr", "setting", "init", "init_params", "seed"]
    return frame if frame.empty else frame.sort_values(order, ignore_index=True)


def _row(record: Record) -> dict[str, Any]:
    trial = record["trial"]
    init = trial["init"]
    correct, total, loss = record["n_correct"] or {}, record["n_total"], record["loss"] or {}
    val_curve = [count for count in record["history"]["val_correct"] if count is not None]
    row = {
        "dataset": trial["dataset"]["name"],
        "model": trial["model"],
        "depth": trial["depth"],
        "width": " ".join(map(str, trial["width"])),
        "activation": _named(trial["activation"]),
        "init": init["name"],
        "init_law": init["law"],
        "init_params": " ".join(
            f"{key}={_number(value)}" for key, value in sorted(init.items()) if key not in ("name", "law", "bias")
        ),
        "init_formula": record["formula"],
        "init_bias": trial["bias"]["name"] if "bias" in trial else init["bias"],
        "optimizer": _named(trial["optimizer"]),
        "lr": trial["lr"],
        "schedule": trial["schedule"],
        "warmup": trial["warmup"],
        "epochs": trial["epochs"],
        "batch_size": trial["batch_size"],
        "seed": trial["seed"],
        "outcome": record["outcome"],
        "diverged_at": record["diverged_at"],
    }
    for split in ("test", "val", "train"):
        row[f"{split}_correct"] = correct.get(split)
        row[f"{split}_total"] = total[split]
        row[f"{split}_accuracy"] = correct[split] / total[split] if correct else None
        row[f"{split}_loss"] = loss.get(split)
    row["best_val_epoch"] = val_curve.index(max(val_curve)) if val_curve else None
    row["test_majority"] = record["n_majority"]
    row["device"] = record["header"]["environment"]["device"]
    row["key"] = record["key"]
    not_setting = ("init", "init_first", "init_output", "bias", "seed")
    row["setting"] = json.dumps({key: value for key, value in trial.items() if key not in not_setting})
    return row


def _named(node: Mapping[str, Any]) -> str:
    """A name with its parameters, e.g. ``sgd momentum=0.9``; those that are off are left out."""
    params = [f"{key}={_number(value)}" for key, value in sorted(node.items()) if key != "name" and value]
    return " ".join([node["name"], *params])


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def to_csv(records: Iterable[Record]) -> str:
    """One row per trial: every column of :func:`to_frame` but the long ``setting``."""
    text = io.StringIO()
    to_frame(records).drop(columns="setting").to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def select(records: Iterable[Record], filters: Mapping[str, Wanted]) -> list[Record]:
    """The records whose trial has, for every filter, one of the wanted values.

    Args:
        records: any records.
        filters: setting (``init``, ``depth``, ``init.std``, ``seeds`` …) to wanted values.

    Raises:
        InputError: a setting no trial has, or a selection that leaves nothing; the message says what is there.
    """
    kept = list(records)
    for key, wanted in filters.items():
        present = {record["key"]: _value(record["trial"], key) for record in kept}
        values = {json.dumps(value): value for value in present.values() if value is not None}
        if not values:
            raise unknown("setting", key, {name for record in kept for name in _settings(record["trial"])})
        found = wanted if isinstance(wanted, Sequence) else wanted.filter([str(value) for value in values.values()])
        kept = [record for record in kept if _matches(present[record["key"]], found)]
        if not kept:
            shown = ", ".join(sorted((str(value) for value in values.values()), key=_natural))
            asked = ",".join(map(str, found)) or "that pattern"
            raise InputError(f"no records with {key}={asked}; there are records with {key}: {shown}")
    return kept


def _value(trial: Mapping[str, Any], key: str) -> Any:
    """A setting of a trial by its command-line name; a group's value is its name."""
    node: Any = trial
    for part in ("seed" if key == "seeds" else key).split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if isinstance(node, Mapping):
        return node["name"]
    if key == "width" and node and len(set(node)) == 1:
        return node[0]
    return node


def _matches(value: Any, wanted: Sequence[Any]) -> bool:
    return any(value == item or str(value) == str(item) for item in wanted)


def _settings(trial: Mapping[str, Any]) -> set[str]:
    names = set(trial) - {"recipe", "precision", "seed"} | {"seeds"}
    return names | {f"{group}.{key}" for group, node in trial.items() if isinstance(node, Mapping) for key in node}


def _natural(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
