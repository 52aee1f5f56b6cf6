"""The tables of one setting: its runs, their summary, the techniques against a baseline, and every pair."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis import statistics
from initbench.analysis.compare import Comparison
from initbench.analysis.scores import OUTCOMES
from initbench.render.blocks import Block, Paragraph, Table
from initbench.render.text import (
    NONE,
    counted,
    interval,
    listed,
    number,
    percent,
    points,
    points_interval,
    probability,
    whole,
)

OK, SLOW, STUCK, DIVERGED, FAILED = range(len(OUTCOMES))
_MOST_RUNS = 100


def grid(comparison: Comparison, setting: int, name: str) -> pd.DataFrame:
    """One value per trial, ``[seeds, techniques]``; NaN where there is no such trial or it has no such number."""
    trials, present = comparison.section(setting), comparison.present(setting)
    seeds, row = np.unique(trials["seed"].to_numpy(), return_inverse=True)
    column = np.searchsorted(present, trials["technique"].to_numpy())
    values = np.full((len(seeds), len(present)), np.nan)
    # Of several trials of a technique and seed, the first: written last.
    values[row[::-1], column[::-1]] = trials[name].to_numpy(float)[::-1]
    return pd.DataFrame(values, index=seeds, columns=present)


def means(comparison: Comparison, setting: int) -> pd.Series:
    """Mean test accuracy of each technique's finished trials."""
    return grid(comparison, setting, "test_accuracy").mean()


def as_shown(values: pd.Series) -> pd.Series:
    """Fractions in percent as :func:`percent` prints them: what looks equal is equal."""
    return values.map(lambda value: math.nan if math.isnan(value) else float(percent(value)))


def ranks(values: pd.Series) -> pd.Series:
    """1 is the largest; values that look equal share a rank."""
    return as_shown(values).rank(ascending=False, method="min")


def runs(comparison: Comparison, setting: int) -> list[Block]:
    """One column per technique, one row per run, then mean, sd and the counts, as the articles print it."""
    accuracy = grid(comparison, setting, "test_accuracy")
    outcome = grid(comparison, setting, "outcome")
    present, names = list(accuracy.columns), [comparison.techniques[t] for t in accuracy.columns]
    rows = []
    for run, seed in enumerate(accuracy.index[:_MOST_RUNS], start=1):
        cells = [_run(accuracy.at[seed, t], outcome.at[seed, t]) for t in present]
        rows.append((str(run), *cells))
    n = outcome.notna().sum()
    failed, stuck = (outcome >= DIVERGED).sum(), (outcome == STUCK).sum()
    rows.append(("mean", *(percent(accuracy[t].mean()) for t in present)))
    rows.append(("sd", *(percent(accuracy[t].std(ddof=1)) for t in present)))
    rows.append(("failed", *(f"{failed[t]}/{n[t]}" for t in present)))
    rows.append(("at chance", *(f"{stuck[t]}/{n[t]}" for t in present)))
    hidden = len(accuracy) - _MOST_RUNS
    cut = f" {counted(hidden, 'more run')} are in the CSV and in the rows below the line." if hidden > 0 else ""
    caption = (
        f"Accuracy in % on the test set, read once, with the weights of the last epoch. Run k is seed "
        f"{_seeds([int(seed) for seed in accuracy.index])}.{cut} sd is the sample standard deviation (n − 1). A "
        "failed run diverged (NaN or infinite loss) or could not start: it is counted, and no mean contains it. A "
        "run is at chance if it is within three binomial standard errors of always naming the most frequent class."
    )
    return [Table(("run", *names), tuple(rows), n_summary=4, title="Runs", caption=caption)]


def errors(comparison: Comparison, setting: int) -> list[Block]:
    """Why trials could not start: the distinct lines they left, with the techniques that left them."""
    trials = comparison.section(setting)
    codes = comparison.trials.columns.numbers["error"][trials.index]
    told = dict.fromkeys(zip(trials["technique"][codes >= 0], codes[codes >= 0], strict=True))
    lines = [f"{comparison.techniques[t]}: {comparison.trials.columns.errors[code]}" for t, code in told]
    more = [f"and {len(lines) - 5} more"] if len(lines) > 5 else []
    return [Paragraph(f"Failed: {'; '.join([*lines[:5], *more])}.")] if lines else []


def _run(accuracy: float, outcome: float) -> str:
    if math.isnan(outcome):
        return ""
    return {DIVERGED: "div", FAILED: "fail"}.get(int(outcome), percent(accuracy))


def _seeds(seeds: Sequence[int]) -> str:
    if seeds == list(range(len(seeds))):
        return "k − 1"
    return ", ".join(map(str, seeds[:_MOST_RUNS])) + " in this order"


def laws(comparison: Comparison, setting: int) -> Table:
    """What each technique draws its weights and biases from, what that cost, and the learning rate it was tuned to."""
    present, cells = comparison.present(setting), comparison.trials.cells
    about = {technique: cells.iloc[comparison.cells[setting, technique]] for technique in present}
    rows = {technique: [comparison.techniques[technique], *_law(row)] for technique, row in about.items()}
    header = [comparison.what, "law of the weights", "parameters", "biases"]
    if any(row["protocol"] != "fixed" for row in about.values()) and comparison.by != "lr":
        header.append("lr")
        for technique, row in about.items():
            rows[technique].append(f"{row['lr']:g}")
    trials = comparison.section(setting)
    if trials["init_samples"].notna().any():
        header.append("cost before training, per run")
        costs = trials.groupby("technique")[["init_samples", "init_steps", "init_seconds"]].mean()
        for technique in present:
            rows[technique].append(_cost(costs.loc[technique]))
    left = tuple(range(len(header)))
    return Table(tuple(header), tuple(tuple(row) for row in rows.values()), left=left, title="Laws")


def all_laws(comparison: Comparison) -> Table:
    """The law of each technique, where there are too many settings for a table each."""
    rows = []
    for technique, name in enumerate(comparison.techniques):
        cells = sorted({cell for (_, which), cell in comparison.cells.items() if which == technique})
        told = dict.fromkeys(_law(row) for _, row in comparison.trials.cells.iloc[cells].iterrows())
        rows += [(name, *law) for law in told]
    header = (comparison.what, "law of the weights", "parameters", "biases")
    return Table(header, tuple(rows), left=(0, 1, 2, 3), title="Laws")


def _law(row: pd.Series) -> tuple[str, str, str]:
    parameters = row["init_params"] or NONE
    parameters += "".join(
        f"; {layer} layer {row[f'init_{layer}']}" for layer in ("first", "output") if row[f"init_{layer}"]
    )
    return row["init_formula"] or NONE, parameters, row["bias"]


def _cost(mean: pd.Series) -> str:
    if mean.isna().all():
        return "none"
    samples, steps, seconds = (float(mean[f"init_{what}"]) for what in ("samples", "steps", "seconds"))
    return f"{samples:,.0f} samples, {steps:,.0f} steps, {seconds:.2g} s"


def outcomes(comparison: Comparison, setting: int) -> Table:
    """What became of the trials of each technique, and how soon they were at the target."""
    trials = comparison.section(setting)
    rows = []
    for technique in comparison.present(setting):
        mine = trials[trials["technique"] == technique]
        counts = np.bincount(mine["outcome"], minlength=len(OUTCOMES))
        low, high = statistics.wilson(int(counts[STUCK:].sum()), len(mine))
        rows.append(
            (
                comparison.techniques[technique],
                str(len(mine)),
                *(str(counts[outcome]) for outcome in (OK, SLOW, STUCK)),
                str(counts[DIVERGED] + counts[FAILED]),
                f"{100 * low:.0f}–{100 * high:.0f}",
                whole(float(mine["epochs_to_target"].fillna(np.inf).median())),
                percent(float(mine["auc"].mean())),
            )
        )
    header = (comparison.what, "n", "ok", "slow", "chance", "failed", "lost, %", "epochs", "area")
    caption = (
        "The n runs end ok, slow (never at the target on the validation split), at chance, or failed (diverged or not "
        "started). Lost are the last two: 95 % Wilson interval of their rate. Epochs: until the target, median over "
        "all runs, ∞ if half of them miss it. Area: the validation accuracy in % averaged over the epochs."
    )
    return Table(header, tuple(rows), title="What became of the runs", caption=caption)


def summary(comparison: Comparison, setting: int) -> Table:
    """The distribution of the test accuracies of each technique."""
    accuracy = grid(comparison, setting, "test_accuracy")
    rank = ranks(accuracy.mean())
    rows = []
    for technique in comparison.present(setting):
        values = accuracy[technique].dropna().to_numpy(float)
        some = len(values) > 0
        rows.append(
            (
                comparison.techniques[technique],
                str(len(values)),
                percent(float(np.mean(values)) if some else math.nan),
                percent(float(np.std(values, ddof=1)) if len(values) > 1 else math.nan),
                interval(*statistics.t_interval(values)),
                percent(float(np.median(values)) if some else math.nan),
                interval(values.min(), values.max()) if some else NONE,
                whole(float(rank[technique])),
            )
        )
    header = (comparison.what, "n", "mean", "sd", "95 % interval", "median", "range", "rank")
    caption = (
        "Test accuracy in % of the n runs that did not fail: mean, sd (n − 1), 95 % t interval of the mean, median, "
        "range. Equal means share a rank."
    )
    return Table(header, tuple(rows), title="Test accuracy", caption=caption)


@dataclass(frozen=True)
class Difference:
    """One technique against another, over the seeds that both have.

    ``mean``, ``low`` and ``high`` are fractions, ``effect`` is d_z (mean over sd of the differences), ``superior`` is
    P(A > B) + ½ P(A = B) over all trials, failed ones being worst, with its interval; ``p`` is exact, NaN where it was
    not asked for.
    """

    n: int
    mean: float
    low: float
    high: float
    sd: float
    effect: float
    superior: tuple[float, float, float]
    p: float


def difference(correct: pd.DataFrame, total: int, a: int, b: int, with_p: bool) -> Difference:
    """Technique ``a`` against ``b`` from test counts ``[seeds, techniques]``, NaN where it failed or is missing."""
    counts = (correct[a] - correct[b]).dropna().to_numpy(float).astype(np.int64)
    # Whole numbers: where all are the same, their deviation is exactly 0.
    mean = float(counts.mean()) / total if len(counts) else math.nan
    sd = float(counts.std(ddof=1)) / total if len(counts) > 1 else math.nan
    low, high = (bound / total for bound in statistics.t_interval(counts.astype(float)))
    p = statistics.sign_flip_p(counts) if with_p and len(counts) else math.nan
    return Difference(len(counts), mean, low, high, sd, mean / sd if sd > 0 else math.nan, (math.nan,) * 3, p)


def differences(
    comparison: Comparison, setting: int, pairs: Sequence[tuple[int, int]]
) -> tuple[list[Difference], NDArray[np.float64]]:
    """Some pairs of techniques, and their Holm-adjusted p; NaN where the number of pairs can make none significant."""
    correct = grid(comparison, setting, "test_correct")
    outcome = grid(comparison, setting, "outcome")
    total = int(comparison.about(setting)["test_total"])
    needed = statistics.least_pairs(len(pairs)) if pairs else 0
    found = []
    for a, b in pairs:
        usable = int((correct[a].notna() & correct[b].notna()).sum())
        one = difference(correct, total, a, b, with_p=usable >= needed)
        a_all, b_all = (correct[t][outcome[t].notna()].to_numpy(float) for t in (a, b))
        found.append(Difference(**{**one.__dict__, "superior": statistics.superiority(a_all, b_all)}))
    adjusted = np.full(len(found), np.nan)
    tested = [i for i, one in enumerate(found) if not math.isnan(one.p)]
    # All pairs asked for count as comparisons, whether or not their trials failed.
    p = [found[i].p for i in tested] + [1.0] * (len(found) - len(tested))
    adjusted[tested] = statistics.holm(p)[: len(tested)]
    return found, adjusted


_DIFFERENCE = ("pairs", "difference", "95 % interval", "p", "p (Holm)", "d_z", "P(A>B)", "detectable")


def _difference_cells(one: Difference, adjusted: float, comparisons: int) -> tuple[str, ...]:
    return (
        str(one.n),
        points(one.mean),
        points_interval(one.low, one.high),
        probability(one.p),
        probability(adjusted),
        number(one.effect),
        _with_interval(*one.superior),
        percent(math.nan if math.isnan(one.p) else statistics.detectable(one.sd, one.n, comparisons)),
    )


def _with_interval(value: float, low: float, high: float) -> str:
    return number(value) + ("" if math.isnan(low) else f" ({number(low)}–{number(high)})")


def _difference_caption(comparisons: int) -> str:
    return (
        "Paired by seed, over the seeds for which neither run failed: mean difference of test accuracy in percentage "
        "points with its 95 % t interval (not adjusted), two-sided p of the exact sign-flip permutation test (for "
        "hundreds of runs, of its Edgeworth series), and the same adjusted by Holm for "
        f"{counted(comparisons, 'comparison')}. d_z is the mean difference over the sd of the differences. P(A>B) is "
        "the chance that a run of A beats a run of B, ties counting half and a failed run losing, with its 95 % "
        "bootstrap interval, which has no width where the runs do not overlap. Detectable is the difference that a "
        "paired t test at this n and corrected level would find in 80 % of repetitions."
    )


def against(comparison: Comparison, setting: int, baseline: int) -> list[Block]:
    """Every technique against the baseline, and in words which are higher and which lower."""
    present = comparison.present(setting)
    others = [technique for technique in present if technique != baseline]
    name = comparison.techniques[baseline]
    if baseline not in present:
        return [Paragraph(f"No trials of the baseline {name} in this setting.")]
    if not others:
        return []
    found, adjusted = differences(comparison, setting, [(technique, baseline) for technique in others])
    rows = tuple(
        (comparison.techniques[technique], *_difference_cells(one, p, len(others)))
        for technique, one, p in zip(others, found, adjusted, strict=True)
    )
    caption = f"A against the baseline B = {name}. {_difference_caption(len(others))}"
    table = Table((comparison.what, *_DIFFERENCE), rows, title=f"Against {name}", caption=caption)
    return [table, Paragraph(_verdict([comparison.techniques[t] for t in others], name, found, adjusted))]


def _verdict(names: Sequence[str], baseline: str, found: Sequence[Difference], adjusted: NDArray[np.float64]) -> str:
    if np.isnan(adjusted).all():
        return _refusal(len(names), max(one.n for one in found))
    kinds: dict[str, list[str]] = {"higher": [], "lower": [], "not separable": [], "not tested": []}
    for name, one, p in zip(names, found, adjusted, strict=True):
        separable = p < statistics.ALPHA
        kind = (
            "not tested"
            if math.isnan(p)
            else "not separable"
            if not separable
            else "higher"
            if one.mean > 0
            else "lower"
        )
        kinds[kind].append(name)
    parts = [f"{kind}: {listed(which)}" for kind, which in kinds.items() if which]
    return f"Against {baseline}, at a family-wise error of 5 %: {'; '.join(parts)}."


def _refusal(comparisons: int, n: int) -> str:
    least = statistics.least_pairs(comparisons)
    return (
        f"No test is made: with {counted(n, 'pair')} and {counted(comparisons, 'comparison')} no difference whatever "
        f"could be significant at a family-wise error of 5 %; {least} seeds would do."
    )


def all_pairs(comparison: Comparison, setting: int) -> list[Block]:
    """Every pair of techniques, and the groups that cannot be told apart."""
    present = comparison.present(setting)
    average = means(comparison, setting)
    order = sorted(present, key=lambda technique: (-np.nan_to_num(average[technique], nan=-1.0), technique))
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    if not pairs:
        return []
    found, adjusted = differences(comparison, setting, pairs)
    if np.isnan(adjusted).all():
        return [Paragraph(f"All pairs. {_refusal(len(pairs), max(one.n for one in found))}")]
    rows = tuple(
        (f"{comparison.techniques[a]} − {comparison.techniques[b]}", *_difference_cells(one, p, len(pairs)))
        for (a, b), one, p in zip(pairs, found, adjusted, strict=True)
    )
    table = Table(("A − B", *_DIFFERENCE), rows, title="All pairs", caption=_difference_caption(len(pairs)))
    p_of = np.ones((len(order), len(order)))
    for (a, b), p in zip(pairs, adjusted, strict=True):
        i, j = order.index(a), order.index(b)
        p_of[i, j] = p_of[j, i] = 1.0 if math.isnan(p) else p
    groups = statistics.letters(p_of, range(len(order)))
    shown = tuple(
        (comparison.techniques[technique], percent(average[technique]), group)
        for technique, group in zip(order, groups, strict=True)
    )
    caption = (
        "Techniques that share a letter are not separable, or have too few common runs for a test (Holm-adjusted p of "
        "all pairs, family-wise error 5 %)."
    )
    return [table, Table((comparison.what, "mean", "group"), shown, left=(0, 2), title="Groups", caption=caption)]
