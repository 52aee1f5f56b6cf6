"""The figures that article D4 prints, beside the measured ones."""

import itertools

import pandas as pd

from initbench.analysis.articles import D4
from initbench.analysis.compare import Comparison
from initbench.render.blocks import Block, Heading, Table
from initbench.render.text import percent, points, whole
from initbench.report import tables


def beside(comparison: Comparison, setting: int) -> list[Block]:
    """The article's figures beside the measured ones, and its order beside the measured order."""
    present = [t for t in comparison.present(setting) if comparison.techniques[t] in D4]
    if not present:
        return []
    accuracy = tables.grid(comparison, setting, "test_accuracy")[present]
    outcome = tables.grid(comparison, setting, "outcome")[present]
    accuracy.columns = outcome.columns = names = [comparison.techniques[t] for t in present]
    measured, sd = accuracy.mean(), accuracy.std(ddof=1)
    article = pd.Series({name: pd.Series(D4[name]).mean() for name in names})
    rank, article_rank = tables.ranks(measured), article.rank(ascending=False, method="min")
    rows = tuple(
        (
            name,
            f"{percent(measured[name])} ± {percent(sd[name])}",
            f"{(outcome[name] >= tables.DIVERGED).sum()}/{outcome[name].notna().sum()}",
            whole(rank[name]),
            f"{article[name]:.2f} ± {pd.Series(D4[name]).std():.2f}",
            whole(article_rank[name]),
            points(measured[name] - article[name] / 100),
        )
        for name in names
    )
    caption = (
        "Test accuracy in %, mean ± sd (n − 1) of the runs that did not fail, beside the figures of article D4. "
        f"Diff. is in percentage points. {_order(tables.as_shown(measured), article)}"
    )
    correlation = tables.as_shown(measured).rank().corr(article[measured.notna()].rank())
    if not pd.isna(correlation) and len(names) > 2:
        rows += (("Spearman", "", "", "", "", "", f"{correlation:.2f}"),)
        caption += " Spearman is the rank correlation of the two orders."
    header = ("technique", "measured", "failed", "rank", "article D4", "rank", "diff.")
    return [Table(header, rows, n_summary=len(rows) - len(names), title="Beside article D4", caption=caption.strip())]


def _order(measured: pd.Series, article: pd.Series) -> str:
    """The techniques by their means; two cannot be said to agree or disagree on an order."""

    def shown(means: pd.Series) -> str:
        means = means.sort_values(ascending=False, kind="stable")
        signs = ["", *(" = " if one == other else " > " for one, other in itertools.pairwise(means))]
        return "".join(sign + str(name) for sign, name in zip(signs, means.index, strict=False))

    if len(article) < 3:
        return ""
    return f"Order of the means, measured: {shown(measured.dropna())}. In D4: {shown(article)}."


def article(comparison: Comparison) -> list[Block]:
    """The article's own table of runs, of the techniques that were measured."""
    names = [name for name in comparison.techniques if name in D4]
    if not names:
        return []
    runs = pd.DataFrame({name: D4[name] for name in names}) / 100
    rows = [(str(run + 1), *map(percent, values)) for run, values in zip(runs.index, runs.to_numpy(), strict=True)]
    rows.append(("mean", *map(percent, runs.mean())))
    rows.append(("sd", *map(percent, runs.std(ddof=1))))
    caption = (
        "Accuracy in % as article D4 prints it, with no data set, model or learning rate named. Mean and sd (n − 1) "
        "are not the article's."
    )
    table = Table(("run", *names), tuple(rows), n_summary=2, title="Runs in article D4", caption=caption)
    return [Heading("Article D4"), table]
