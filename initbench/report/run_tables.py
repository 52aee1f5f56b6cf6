"""The runs of one setting as the articles print them, and why some could not start."""

import math
from collections.abc import Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import DIVERGED, FAILED, Summary, grid
from initbench.render.blocks import Block, Paragraph, Table
from initbench.render.text import counted, scored, spread
from initbench.tasks import Score

_MOST_RUNS = 100
_MOST_ERRORS = 5


def runs(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Table:
    """One column per technique, one row per run, then mean, sd and the counts."""
    score = comparison.score(setting)
    measured, outcome = (grid(comparison, setting, name) for name in ("test_score", "outcome"))
    names = [comparison.techniques[one.technique] for one in found]
    rows = []
    by_seed = zip(measured.to_numpy()[:_MOST_RUNS], outcome.to_numpy()[:_MOST_RUNS], strict=True)
    for run, pairs in enumerate(by_seed, start=1):
        rows.append((str(run), *(_run(*pair, score) for pair in zip(*pairs, strict=True))))
    rows.append(("mean", *(scored(one.mean, score) for one in found)))
    rows.append(("sd", *(spread(one.sd, score) for one in found)))
    rows.append(("failed", *(f"{one.failed}/{one.n}" for one in found)))
    rows.append(("at chance", *(f"{one.stuck}/{one.n}" for one in found)))
    hidden = len(measured) - _MOST_RUNS
    cut = f" {counted(hidden, 'more run')} are in the CSV and in the rows below the line." if hidden > 0 else ""
    caption = (
        f"{score.of('').strip().capitalize()}{score.less} on the test set, read once, with the weights of the last "
        f"epoch. Run k is seed {_seeds([int(seed) for seed in measured.index])}.{cut} sd is the sample standard "
        "deviation (n − 1). A failed run diverged (NaN or infinite loss) or could not start: it is counted, and no "
        "mean here contains it. "
        f"{_at_chance(comparison, setting)}"
    )
    return Table(("run", *names), tuple(rows), n_summary=4, title="Runs", caption=caption)


def errors(comparison: Comparison, setting: int) -> list[Block]:
    """Why trials could not start: the distinct lines they left, with the techniques that left them."""
    trials = comparison.section(setting)
    codes = comparison.trials.columns.numbers["error"][trials.index]
    distinct = dict.fromkeys(zip(trials["technique"][codes >= 0], codes[codes >= 0], strict=True))
    lines = [f"{comparison.techniques[t]}: {comparison.trials.columns.errors[code]}" for t, code in distinct]
    more = [f"and {len(lines) - _MOST_ERRORS} more"] if len(lines) > _MOST_ERRORS else []
    return [Paragraph(f"Failed: {'; '.join([*lines[:_MOST_ERRORS], *more])}.")] if lines else []


def _at_chance(comparison: Comparison, setting: int) -> str:
    chance = comparison.score(setting).chance
    if comparison.task(setting).of_loss is None:
        return f"A run is at chance if it is within three binomial standard errors of {chance}."
    return f"A run is at chance if it is no better than {chance}, but for luck."


def _run(value: float, outcome: float, score: Score) -> str:
    if math.isnan(outcome):
        return ""
    return {DIVERGED: "div", FAILED: "fail"}.get(int(outcome), scored(value, score))


def _seeds(seeds: Sequence[int]) -> str:
    if seeds == list(range(len(seeds))):
        return "k − 1"
    return ", ".join(map(str, seeds[:_MOST_RUNS])) + " in this order"
