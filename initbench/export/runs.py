"""What programs that keep experiments call a run: a trial with its settings, its results, and its curves by epoch."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from initbench.analysis.compare import compare
from initbench.analysis.trials import Trials, finals, rows_of_table, to_table
from initbench.records import Loaded
from initbench.records.schema import Curves, TrialRecord

# Epoch and value; 0 is before training.
Curve = list[tuple[int, float]]
# Columns of the table of trials that are neither set nor measured.
_NEITHER = ("outcome", "error", "key")


@dataclass(frozen=True)
class Run:
    """One trial.

    Attributes:
        setting: what it shares with all that it is compared with; empty if all runs do.
        technique: what is compared, as the tables call it.
        seed: its random streams.
        key: its hash, or that with a number where the trial was asked for under several names.
        outcome: ``ok``, ``slow``, ``poor``, ``stuck`` (at chance), ``diverged`` or ``failed``.
        settings: as the columns of ``report --format csv`` have them, without those that are empty.
        results: numbers of the columns that follow there; what it has not is left out.
        curves: ``train/loss``, ``val/accuracy`` … to their values; accuracies are fractions. What is not finite is
            left out.
        finished: when its chunk was, in seconds since 1970; 0 where that is not recorded.
    """

    setting: str
    technique: str
    seed: int
    key: str
    outcome: str
    settings: dict[str, str | int | float]
    results: dict[str, float]
    curves: dict[str, Curve]
    finished: float

    @property
    def ended(self) -> bool:
        """Whether it was trained to its end."""
        return self.outcome not in ("diverged", "failed")

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return " · ".join(filter(None, [self.setting, self.technique, f"seed {self.seed}"]))


def runs(trials: Trials, loaded: Loaded) -> Iterator[Run]:
    """A run for every trial, in the order of the tables; those of a search only where there are no others.

    Args:
        trials: which.
        loaded: their records, whole.
    """
    comparison = compare(finals(trials))
    table, several = to_table(comparison.trials), len(comparison.settings) > 1
    measured = list(table.columns)[list(table.columns).index("outcome") :]
    seen = Counter[str]()
    kept = comparison.frame[rows_of_table(comparison.trials)]
    places = zip(kept["setting"], kept["technique"], strict=True)
    for row, (setting, technique) in zip(table.to_dict("records"), places, strict=True):
        record, key = loaded.records[row["key"]], str(row["key"])
        seen[key] += 1
        yield Run(
            setting=comparison.titles[setting] if several else "",
            technique=comparison.techniques[technique],
            seed=int(row["seed"]),
            key=key if seen[key] == 1 else f"{key}-{seen[key]}",
            outcome=str(row["outcome"]),
            settings={name: value for name, value in row.items() if name not in (*measured, "seed") and value != ""},
            results={name: float(row[name]) for name in measured if name not in _NEITHER and _is_number(row[name])},
            curves=_curves(record),
            finished=_seconds(loaded.headers[row["key"]].finished),
        )


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) and not pd.isna(value)


def _curves(record: TrialRecord) -> dict[str, Curve]:
    history = record.history
    totals = {split: getattr(record.n_total, split, None) for split in ("train", "val")}
    found: dict[str, Curve] = {}
    for name in Curves.__struct_fields__:
        split, what = name.split("_")
        total = totals[split] if what == "correct" else 1
        # On the validation split before training too.
        values = enumerate(getattr(history, name), start=0 if split == "val" else 1)
        curve = [(epoch, value / total) for epoch, value in values if total and value is not None]
        if curve:
            found[f"{split}/{'accuracy' if what == 'correct' else what}"] = curve
    return found


def _seconds(finished: str) -> float:
    try:
        return datetime.fromisoformat(finished).timestamp()
    except ValueError:
        return 0.0


def over_runs(group: Sequence[Run], curve: str) -> Mapping[int, list[float]]:
    """What several runs have of one curve: every epoch to their values."""
    found: dict[int, list[float]] = {}
    for run in group:
        for epoch, value in run.curves.get(curve, []):
            if math.isfinite(value):
                found.setdefault(epoch, []).append(value)
    return found
