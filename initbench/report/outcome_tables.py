"""What became of the runs of each technique of one setting, and how accurate they are."""

from collections.abc import Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import OK, SLOW, STUCK, Summary
from initbench.render.blocks import Table
from initbench.render.text import interval, percent, whole

# How every order and every test counts a run without an accuracy.
FAILED_SCORE = (
    "a failed run scoring as always naming the most frequent class, or as the worst finished run where that is lower"
)


def outcomes(comparison: Comparison, found: Sequence[Summary]) -> Table:
    """What became of the trials of each technique, and how soon they were at the target."""
    rows = tuple(
        (
            comparison.techniques[one.technique],
            str(one.n),
            *(str(one.counts[outcome]) for outcome in (OK, SLOW, STUCK)),
            str(one.failed),
            f"{100 * one.lost[0]:.0f}–{100 * one.lost[1]:.0f}",
            whole(one.epochs),
            percent(one.area),
        )
        for one in found
    )
    header = (comparison.what, "n", "ok", "slow", "chance", "failed", "lost, %", "epochs", "area")
    caption = (
        "The n runs end ok, slow (never at the target on the validation split), at chance, or failed (diverged or not "
        "started). Lost are the last two: 95 % Wilson interval of their rate. Epochs: until the target, median over "
        "all runs, ∞ if half of them miss it. Area: the validation accuracy in % averaged over the epochs."
    )
    return Table(header, rows, title="What became of the runs", caption=caption)


def accuracies(comparison: Comparison, found: Sequence[Summary]) -> Table:
    """The distribution of the test accuracies of each technique.

    Where runs failed it has two more columns: how many, and the mean that the ranks go by.
    """
    some_failed = any(one.failed for one in found)
    rows = tuple(
        (
            comparison.techniques[one.technique],
            str(one.finished),
            *([str(one.failed)] if some_failed else []),
            percent(one.mean),
            percent(one.sd),
            interval(one.low, one.high),
            percent(one.median),
            interval(one.least, one.greatest),
            *([percent(one.score)] if some_failed else []),
            whole(one.rank),
        )
        for one in found
    )
    failed, score = (["failed"], ["all runs"]) if some_failed else ([], [])
    header = (comparison.what, "n", *failed, "mean", "sd", "95 % interval", "median", "range", *score, "rank")
    caption = (
        "Test accuracy in % of the n runs that did not fail: mean, sd (n − 1), 95 % t interval of the mean, median, "
        "range. "
    )
    if some_failed:
        caption += f"All runs: the mean over all of them, {FAILED_SCORE}; the rank goes by it. "
    return Table(header, rows, title="Test accuracy", caption=f"{caption}Equal means share a rank.")
