"""What became of the runs of each technique of one setting, and how good they are."""

from collections.abc import Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import OK, POOR, SLOW, STUCK, Summary
from initbench.render.blocks import Table
from initbench.render.text import interval, scored, spread, whole
from initbench.tasks import Score


def failed_score(score: Score) -> str:
    """How every order and every test counts a run without a score."""
    return f"a failed run scoring as {score.chance}, or as the worst finished run where that is {score.lower}"


def outcomes(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Table:
    """What became of the trials of each technique, and how soon they were at the target."""
    score = comparison.score(setting)
    # Old records do not say it, and regression has no classes to name.
    signs = {
        "one answer": [one.one_answer for one in found],
        "flat": [one.flat for one in found],
    }
    signs = {name: counts for name, counts in signs.items() if any(count is not None for count in counts)}
    rows = tuple(
        (
            comparison.techniques[one.technique],
            str(one.n),
            *(str(one.counts[outcome]) for outcome in (OK, SLOW, POOR, STUCK)),
            str(one.failed),
            *("–" if counts[row] is None else str(counts[row]) for counts in signs.values()),
            f"{100 * one.lost[0]:.0f}–{100 * one.lost[1]:.0f}",
            whole(one.epochs),
            scored(one.area, score),
        )
        for row, one in enumerate(found)
    )
    header = (comparison.what, "n", "ok", "slow", "poor", "chance", "failed", *signs, "lost, %", "epochs", "area")
    told = {
        "one answer": "One answer: of those that finished the ones that name one class whatever the sample. ",
        "flat": f"Flat: those whose {comparison.task(setting).loss} over the training samples is no lower than that of "
        "the best constant prediction. ",
    }
    caption = (
        "The n runs end ok, slow (never at the target on the validation split), poor (never half the way to it), at "
        "chance, or failed (diverged or not started). Lost are the last two: 95 % Wilson interval of their rate. "
        f"{''.join(told[name] for name in signs)}"
        "Epochs: until the target, median over "
        f"all runs, ∞ if half of them miss it. Area: the {score.of('validation')} averaged over the epochs"
        f"{'' if comparison.task(setting).of_loss is None else ', each at least as good as chance'}."
    )
    return Table(header, rows, title="What became of the runs", caption=caption)


def accuracies(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Table:
    """The distribution of the test scores of each technique.

    Where runs failed it has two more columns: how many, and the mean that the ranks go by.
    """
    score = comparison.score(setting)
    some_failed = any(one.failed for one in found)
    rows = tuple(
        (
            comparison.techniques[one.technique],
            str(one.finished),
            *([str(one.failed)] if some_failed else []),
            scored(one.mean, score),
            spread(one.sd, score),
            interval(one.low, one.high, score),
            scored(one.median, score),
            interval(one.least, one.greatest, score),
            *([scored(one.score, score)] if some_failed else []),
            whole(one.rank),
        )
        for one in found
    )
    failed, of_all = (["failed"], ["all runs"]) if some_failed else ([], [])
    header = (comparison.what, "n", *failed, "mean", "sd", "95 % interval", "median", "range", *of_all, "rank")
    caption = (
        f"{score.of('Test')}{score.less} of the n runs that did not fail: mean, sd (n − 1), 95 % t interval of the "
        "mean, median, range. "
    )
    if some_failed:
        caption += f"All runs: the mean over all of them, {failed_score(score)}; the rank goes by it. "
    return Table(header, rows, title=f"Test {score.name}", caption=f"{caption}Equal means share a rank.")
