"""The figures that article D4 prints, beside the measured ones."""

import itertools
import math
from collections.abc import Callable, Sequence

import pandas as pd

from initbench.analysis.articles import D4, D4_TITLE
from initbench.analysis.compare import Comparison
from initbench.analysis.replication import ArticleRow, comparable, replication
from initbench.analysis.summaries import Summary
from initbench.render.blocks import Block, Heading, Table
from initbench.render.text import percent, points, whole
from initbench.report.outcome_tables import failed_score
from initbench.tasks import TASKS, USUAL


def beside(comparison: Comparison, setting: int, measured: Sequence[Summary]) -> list[Block]:
    """The article's figures beside the measured ones, and its order beside the measured order."""
    found = replication(comparison, setting, measured)
    if found is None:
        return []
    rows = tuple(
        (
            row.name,
            f"{percent(row.measured.mean)} ± {percent(row.measured.sd)}",
            f"{row.measured.failed}/{row.measured.n}",
            whole(row.rank),
            f"{percent(row.article_mean)} ± {percent(row.article_sd)}",
            whole(row.article_rank),
            points(row.difference),
        )
        for row in found.rows
    )
    ranked = f"ranks and order are of the means over all runs, {failed_score(TASKS[USUAL].score)}"
    caption = (
        "Test accuracy in %, mean ± sd (n − 1) of the runs that did not fail, beside the figures of article D4, "
        f'"{D4_TITLE}", which names no data set, model or learning rate. Diff. is in percentage points; {ranked}. '
        f"Order of the means, measured: {_order(found.rows, lambda row: round(100 * row.measured.score, 2))}. "
        f"In D4: {_order(found.rows, lambda row: row.article_mean)}."
    )
    summary = 0
    if not math.isnan(found.spearman):
        rows, summary = (*rows, ("Spearman", "", "", "", "", "", f"{found.spearman:.2f}")), 1
        caption += " Spearman is the rank correlation of the two orders."
    header = ("technique", "measured", "failed", "rank", "article D4", "rank", "diff.")
    return [Table(header, rows, n_summary=summary, title="Beside article D4", caption=caption)]


def _order(rows: tuple[ArticleRow, ...], mean: Callable[[ArticleRow], float]) -> str:
    """The techniques by their means, such as ``he > xavier = zero``."""
    known = sorted((row for row in rows if not math.isnan(mean(row))), key=mean, reverse=True)
    signs = ["", *(" = " if mean(one) == mean(other) else " > " for one, other in itertools.pairwise(known))]
    return "".join(sign + row.name for sign, row in zip(signs, known, strict=True))


def article(comparison: Comparison) -> list[Block]:
    """The article's own table of runs, of the techniques that were measured where its figures are comparable."""
    names = [name for name in comparison.techniques if name in D4]
    if not names or not any(comparable(comparison, setting) for setting in range(len(comparison.settings))):
        return []
    runs = pd.DataFrame({name: D4[name] for name in names}) / 100
    rows = [(str(run + 1), *map(percent, values)) for run, values in zip(runs.index, runs.to_numpy(), strict=True)]
    rows.append(("mean", *map(percent, runs.mean())))
    rows.append(("sd", *map(percent, runs.std(ddof=1))))
    caption = (
        f'Accuracy in % as article D4, "{D4_TITLE}", prints it, with no data set, model or learning rate named. Mean '
        "and sd (n − 1) are not the article's."
    )
    table = Table(("run", *names), tuple(rows), n_summary=2, title="Runs in article D4", caption=caption)
    return [Heading("Article D4"), table]
