"""Two result sets side by side: what became of the same trials, and whether any technique has drifted."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis import statistics
from initbench.analysis.compare import compare
from initbench.analysis.trials import Trials, finals, to_trials
from initbench.records.columns import concatenate
from initbench.render.blocks import Block, Heading, Paragraph, Table
from initbench.render.text import listed, percent, points, probability
from initbench.report.provenance import made_with

# The version of the training code is what may differ between two sets of results.
_APART = ("recipe", "precision")


@dataclass(frozen=True)
class _Cell:
    """One technique in one setting: test counts by seed of either set, NaN where a trial failed."""

    title: str
    technique: str
    total: int
    first: pd.Series
    second: pd.Series

    @property
    def common(self) -> pd.Index:
        """The seeds that both sets have."""
        return self.first.index.intersection(self.second.index)


def drift(first: Trials, second: Trials, names: tuple[str, str], by: str = "init") -> list[Block]:
    """What differs between two result sets.

    Args:
        first: the set held to be right.
        second: the set to check.
        names: what to call them.
        by: the setting whose values are the techniques.
    """
    cells = _cells(finals(first), finals(second), by)
    p = [_p(cell) for cell in cells]
    tested = [i for i, value in enumerate(p) if not math.isnan(value)]
    adjusted = np.full(len(p), np.nan)
    adjusted[tested] = statistics.holm([p[i] for i in tested])
    needed = statistics.least_pairs(len(tested)) if tested else 0
    verdicts = [_verdict(cell, float(value), needed) for cell, value in zip(cells, adjusted, strict=True)]
    rows: dict[str, list[tuple[str, ...]]] = {}
    for cell, value, verdict in zip(cells, adjusted, verdicts, strict=True):
        rows.setdefault(cell.title, []).append(_row(cell, float(value), verdict))
    what = by if by != "init" else "technique"
    header = (what, "n", "n'", "failed", "failed'", "mean", "mean'", "difference", "p (Holm)", "verdict")
    caption = (
        f"Test accuracy in % in {names[0]} and, with a prime, in {names[1]}: runs, failed runs, the mean of those that "
        "did not fail, over the seeds that both have if there are any, and the difference in percentage points. Same: "
        "every seed that both have gives the same count. Changed: some counts differ. Drift: Holm-adjusted p < 0.05, "
        "of the exact sign-flip test over common seeds, of Welch's t test where there are none; a failed run counts as "
        "no correct answer."
    )
    return [
        Heading(f"{names[0]} and {names[1]}"),
        _trials(first, second, names),
        *(Table(header, tuple(found), title=title, caption=caption) for title, found in rows.items()),
        Paragraph(_in_words(verdicts, cells, needed)),
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


def _cells(first: Trials, second: Trials, by: str) -> list[_Cell]:
    """The techniques of both sets, named as one: what tells two of them apart does so in either set."""
    together = to_trials(concatenate([first.columns, second.columns]), first.target)
    of_second = together.columns.numbers["chunk"] >= len(first.columns.chunks)
    comparison = compare(together, by, apart=_APART)
    found = []
    for setting, title in enumerate(comparison.titles):
        section = comparison.section(setting)
        # A failed trial may not know how large its data set is.
        total = max(1, int(section["test_total"].max()))
        for technique in comparison.present(setting):
            mine = section[section["technique"] == technique]
            sets = [mine[of_second[mine.index] == which].drop_duplicates("seed") for which in (False, True)]
            counts = [one.set_index("seed")["test_correct"].astype(float) for one in sets]
            found.append(_Cell(title, comparison.techniques[technique], total, *counts))
    return found


def _p(cell: _Cell) -> float:
    """How likely so large a difference is if nothing has changed; NaN where it cannot be told."""
    first, second = cell.first.fillna(0), cell.second.fillna(0)
    if len(cell.common):
        return statistics.sign_flip_p((second[cell.common] - first[cell.common]).to_numpy().astype(np.int64))
    return statistics.welch_p(first.to_numpy() / cell.total, second.to_numpy() / cell.total)


def _verdict(cell: _Cell, adjusted: float, needed: int) -> str:
    if not len(cell.first) or not len(cell.second):
        return "first only" if len(cell.first) else "second only"
    if adjusted < statistics.ALPHA:
        return "drift"
    if not len(cell.common):
        return "other seeds"
    first, second = cell.first[cell.common].to_numpy(), cell.second[cell.common].to_numpy()
    if np.array_equal(first, second, equal_nan=True):
        return "same"
    return "changed" if len(cell.common) >= needed else "too few seeds"


def _row(cell: _Cell, adjusted: float, verdict: str) -> tuple[str, ...]:
    both = cell.common
    one, other = (_mean(counts[both] if len(both) else counts, cell.total) for counts in (cell.first, cell.second))
    return (
        *(cell.technique, str(len(cell.first)), str(len(cell.second))),
        *(str(int(counts.isna().sum())) for counts in (cell.first, cell.second)),
        *(percent(one), percent(other), points(other - one), probability(adjusted), verdict),
    )


def _mean(counts: pd.Series, total: int) -> float:
    return float(counts.mean()) / total


def _in_words(verdicts: list[str], cells: list[_Cell], needed: int) -> str:
    named: dict[str, list[str]] = {}
    for cell, verdict in zip(cells, verdicts, strict=True):
        named.setdefault(verdict, []).append(f"{cell.technique} ({cell.title})")
    if not named.keys() - {"first only", "second only"}:
        return "The two have no technique in a common setting."
    told = [f"Drift: {listed(named['drift'])}." if "drift" in named else "No drift."]
    if "changed" in named:
        told.append(f"Changed, by no more than chance explains: {listed(named['changed'])}.")
    if "too few seeds" in named:
        few = listed(named["too few seeds"])
        told.append(f"Changed, with too few seeds to tell whether by chance ({needed} would do): {few}.")
    return " ".join(told)
