"""Two result sets side by side: what became of the same trials, and whether any technique has drifted."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.report import statistics, tables
from initbench.report.blocks import Block, Heading, Paragraph, Table
from initbench.report.compare import Comparison, compare
from initbench.report.frame import Trials
from initbench.report.provenance import made_with
from initbench.report.text import NONE, counted, listed, percent, points, probability

# The version of the training code is what may differ between two sets of results.
_APART = ("recipe", "precision")


@dataclass(frozen=True)
class _Cell:
    """One technique in one setting, in one of the sets: test counts by seed, NaN where a trial failed."""

    title: str
    technique: str
    correct: pd.Series
    total: int


def drift(first: Trials, second: Trials, names: tuple[str, str], by: str = "init") -> list[Block]:
    """What differs between two result sets.

    Args:
        first: the set held to be right.
        second: the set to check.
        names: what to call them.
        by: the setting whose values are the techniques.
    """
    a, b = _cells(compare(first, by, apart=_APART)), _cells(compare(second, by, apart=_APART))
    both = [key for key in a if key in b]
    p = [_p(a[key], b[key]) for key in both]
    tested = [i for i, value in enumerate(p) if not math.isnan(value)]
    adjusted = np.full(len(p), np.nan)
    adjusted[tested] = statistics.holm([p[i] for i in tested])
    verdicts = [_verdict(a[key], b[key], float(value)) for key, value in zip(both, adjusted, strict=True)]
    rows: dict[str, list[tuple[str, ...]]] = {}
    for key, value, verdict in zip(both, adjusted, verdicts, strict=True):
        rows.setdefault(a[key].title, []).append(_row(a[key], b[key], float(value), verdict))
    for place, cells, others in (("first", a, b), ("second", b, a)):
        for key in cells:
            if key not in others:
                alone = _alone(cells[key], f"{place} only", place == "first")
                rows.setdefault(cells[key].title, []).append(alone)
    header = (by if by != "init" else "technique", "n", "n'", "mean", "mean'", "difference", "p (Holm)", "verdict")
    caption = (
        f"Test accuracy in % in {names[0]} and, with a prime, in {names[1]}; the difference in percentage points. "
        "Same: every seed that both have gives the same count. Changed: some counts differ, the mean by no more than "
        "chance explains. Drift: Holm-adjusted p < 0.05, of the exact sign-flip test over common seeds, of Welch's t "
        "test where there are none."
    )
    return [
        Heading(f"{names[0]} and {names[1]}"),
        _trials(first, second, names),
        *(Table(header, tuple(found), title=title, caption=caption) for title, found in rows.items()),
        Paragraph(_in_words(verdicts, [a[key] for key in both])),
        Paragraph(f"{names[0]}: {made_with(first)}"),
        Paragraph(f"{names[1]}: {made_with(second)}"),
    ]


def _trials(first: Trials, second: Trials, names: tuple[str, str]) -> Table:
    """The trials that are in both sets, told by their keys, and whether their numbers are the same."""
    keys, rows, other = np.intersect1d(first.columns.keys, second.columns.keys, return_indices=True)
    a, b = first.columns.take(rows), second.columns.take(other)
    counts = np.logical_and.reduce(
        [a.numbers[name] == b.numbers[name] for name in ("outcome", "train_correct", "val_correct", "test_correct")]
    )
    cells = (
        ("in both", len(keys)),
        ("of these with the same counts", int(np.sum(counts))),
        ("of these with the same final weights, bit for bit", int(np.sum(a.final == b.final))),
        (f"only in {names[0]}", len(first) - len(keys)),
        (f"only in {names[1]}", len(second) - len(keys)),
    )
    return Table(("trials", "n"), tuple((name, f"{n:,}") for name, n in cells), title="The same trials")


def _cells(comparison: Comparison) -> dict[tuple[str, str], _Cell]:
    found = {}
    for setting, title in enumerate(comparison.titles):
        correct = tables.grid(comparison, setting, "test_correct")
        there = tables.grid(comparison, setting, "outcome").notna()
        total = int(comparison.about(setting)["test_total"])
        shared = json.dumps(comparison.settings[setting], sort_keys=True)
        for technique in comparison.present(setting):
            name = comparison.techniques[technique]
            found[shared, name] = _Cell(title, name, correct[technique][there[technique]], total)
    return found


def _p(a: _Cell, b: _Cell) -> float:
    """How likely so large a difference is if nothing has changed; NaN where it cannot be told."""
    common = pd.concat([a.correct, b.correct], axis=1, join="inner").dropna().to_numpy()
    if len(common):
        return statistics.sign_flip_p((common[:, 1] - common[:, 0]).astype(np.int64))
    one, other = a.correct.dropna().to_numpy(float) / a.total, b.correct.dropna().to_numpy(float) / b.total
    return statistics.welch_p(one, other)


def _verdict(a: _Cell, b: _Cell, adjusted: float) -> str:
    common = pd.concat([a.correct, b.correct], axis=1, join="inner").to_numpy()
    if adjusted < statistics.ALPHA:
        return "drift"
    same = (common[:, 0] == common[:, 1]) | (np.isnan(common).all(axis=1))
    if not len(common):
        return "other seeds"
    return "same" if same.all() else "changed"


def _row(a: _Cell, b: _Cell, adjusted: float, verdict: str) -> tuple[str, ...]:
    one, other = _mean(a), _mean(b)
    return (
        *(a.technique, str(len(a.correct)), str(len(b.correct)), percent(one), percent(other)),
        *(points(other - one), probability(adjusted), verdict),
    )


def _alone(cell: _Cell, verdict: str, first: bool) -> tuple[str, ...]:
    n, mean = str(len(cell.correct)), percent(_mean(cell))
    numbers = (n, "0", mean, NONE) if first else ("0", n, NONE, mean)
    return (cell.technique, *numbers, NONE, NONE, verdict)


def _mean(cell: _Cell) -> float:
    values = cell.correct.dropna()
    return float(values.mean()) / cell.total if len(values) else math.nan


def _in_words(verdicts: list[str], cells: list[_Cell]) -> str:
    if not cells:
        return "The two have no technique in a common setting."
    drifted = [
        f"{cell.technique} ({cell.title})" for cell, verdict in zip(cells, verdicts, strict=True) if verdict == "drift"
    ]
    if drifted:
        return f"Drift: {listed(drifted)}."
    changed = verdicts.count("changed")
    if changed:
        return f"No drift; {counted(changed, 'technique')} of {len(cells)} changed, by no more than chance explains."
    return "No drift."
