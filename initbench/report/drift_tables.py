"""Two result sets side by side, in words and tables."""

from collections.abc import Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.drift import CellDrift, DriftVerdict, SameTrials, drift, same_trials
from initbench.analysis.trials import Trials
from initbench.render.blocks import Block, Heading, Paragraph, Table
from initbench.render.text import counted, listed, points, probability, scored
from initbench.report.glance import told
from initbench.report.provenance import made_with
from initbench.tasks import TASKS, USUAL


def two_sets(first: Trials, second: Trials, names: tuple[str, str], by: str = "init") -> list[Block]:
    """What differs between two result sets.

    Args:
        first: the set held to be right.
        second: the set to check.
        names: what to call them.
        by: the setting whose values are the techniques.
    """
    comparison, found = drift(first, second, by)
    rows: dict[int, list[tuple[str, ...]]] = {}
    for one in found:
        rows.setdefault(one.setting, []).append(_row(comparison, one))
    score = comparison.score_of_all
    unit = score.points if score else "their unit"
    worst = "no correct answer" if score in (None, TASKS[USUAL].score) else "no better than chance"
    header = (comparison.what, "n", "n'", "failed", "failed'", "mean", "mean'", "difference", "p (Holm)", "verdict")
    caption = (
        f"{told(comparison, 'Test')} in {names[0]} and, with a prime, in {names[1]}: runs, failed runs, the mean of "
        f"those that did not fail, over the seeds that both have if there are any, and the difference in {unit}. "
        "Same: every seed that both have gives the same count. Changed: some counts differ. Drift: Holm-adjusted p "
        "< 0.05, of the exact sign-flip test over common seeds, of Welch's t test where there are none; a failed run "
        f"counts as {worst}."
    )
    same = same_trials(first, second)
    return [
        Heading("The answer", anchor="answer"),
        Paragraph(f"{_in_words(comparison, found)} {_how_sure(same, found)}"),
        Heading(f"{names[0]} and {names[1]}"),
        _trials(same, names),
        *(
            Table(header, tuple(cells), title=comparison.titles[setting], caption=caption)
            for setting, cells in rows.items()
        ),
        Paragraph(f"{names[0]}: {made_with(first)}"),
        Paragraph(f"{names[1]}: {made_with(second)}"),
    ]


def _trials(same: SameTrials, names: tuple[str, str]) -> Table:
    cells = (
        ("in both", same.both),
        ("of these with the same counts", same.same_counts),
        ("of these with the same final weights, bit for bit", same.same_weights),
        (f"only in {names[0]}", same.first_only),
        (f"only in {names[1]}", same.second_only),
    )
    return Table(("trials", "n"), tuple((name, f"{n:,}") for name, n in cells), title="The same trials")


def _row(comparison: Comparison, one: CellDrift) -> tuple[str, ...]:
    score = comparison.score(one.setting)
    return (
        comparison.techniques[one.technique],
        *map(str, one.n),
        *map(str, one.failed),
        *(scored(mean, score) for mean in one.means),
        points(one.difference, score),
        probability(one.adjusted_p),
        one.verdict.value,
    )


def _in_words(comparison: Comparison, found: Sequence[CellDrift]) -> str:
    named: dict[DriftVerdict, list[str]] = {}
    for one in found:
        name = f"{comparison.techniques[one.technique]} ({comparison.titles[one.setting]})"
        named.setdefault(one.verdict, []).append(name)
    if not named.keys() - {DriftVerdict.FIRST_ONLY, DriftVerdict.SECOND_ONLY}:
        return "The two have no technique in a common setting."
    drifted = named.get(DriftVerdict.DRIFT)
    sentences = [f"Drift: {listed(drifted)}." if drifted else "No drift."]
    if DriftVerdict.CHANGED in named:
        sentences.append(f"Changed, by no more than chance explains: {listed(named[DriftVerdict.CHANGED])}.")
    if DriftVerdict.TOO_FEW_SEEDS in named:
        few = listed(named[DriftVerdict.TOO_FEW_SEEDS])
        needed = found[0].seeds_needed
        sentences.append(f"Changed, with too few seeds to tell whether by chance ({needed} would do): {few}.")
    return " ".join(sentences)


def _how_sure(same: SameTrials, found: Sequence[CellDrift]) -> str:
    if not same.both:
        return "How sure: no trial is in both."
    alike = f"{same.same_counts:,} have the same counts and {same.same_weights:,} the same final weights, bit for bit"
    tested = f"the tests of {counted(len(found), 'technique')} are adjusted together (Holm)"
    return f"How sure: of {counted(same.both, 'trial')} that both have, {alike}; {tested}."
