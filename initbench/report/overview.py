"""All settings at a glance: a row each, a column for every technique."""

import math
from dataclasses import replace

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import STUCK
from initbench.render.blocks import Block, Figure, Heading, Table
from initbench.render.plots import HeatMap, Strip, Strips
from initbench.render.text import scored, span
from initbench.report.glance import apart, told

# More rows and columns than a map of all settings can be read with.
MOST_ROWS, MOST_COLUMNS = 40, 16
# More sections than anyone reads; the overview and the views across settings remain.
MOST_SECTIONS = 24


def overview_table(comparison: Comparison) -> Table:
    """All settings at a glance: a row each, with the mean of every technique and the runs that are in no mean."""
    groups = comparison.frame.assign(lost=comparison.frame["outcome"] >= STUCK).groupby(["setting", "technique"])
    averages, counts = groups["test_score"].mean().to_dict(), groups["lost"].sum().to_dict()
    rows = []
    own = apart(comparison.titles)[1]
    for setting, title in enumerate(own):
        cells = [title]
        for technique in range(len(comparison.techniques)):
            there, lost = (setting, technique) in comparison.cells, counts.get((setting, technique), 0)
            value = scored(averages[setting, technique], comparison.score(setting)) if there else ""
            cells.append(f"{value} ({lost})" if lost else value)
        rows.append(tuple(cells))
    sizes, score = groups.size(), comparison.score_of_all
    runs = span(int(sizes.min()), int(sizes.max()))
    caption = (
        f"Mean {told(comparison, 'test')}, over those that did not fail of {runs} runs each; in brackets, where there "
        "are any, the number that failed or stayed at chance."
    )
    if len(comparison.titles) > MOST_SECTIONS:
        caption += " Choose fewer settings to see the runs of each, e.g. with depth=2."
    return Table(
        ("setting", *comparison.techniques),
        tuple(rows),
        title=f"Mean test {score.name if score else 'score'}",
        caption=caption,
    )


def overview(comparison: Comparison) -> list[Block]:
    """The table of all settings with a map of it, or with a dot for each where they are too many for a map."""
    table, names = overview_table(comparison), tuple(comparison.techniques)
    score = comparison.score_of_all
    if len(names) > MOST_COLUMNS or score is None:
        return [Heading("All settings"), table]
    means = comparison.frame.groupby(["setting", "technique"])["test_score"].mean().to_dict()
    values = tuple(
        tuple(score.times * means.get((setting, technique), math.nan) for technique in range(len(names)))
        for setting in range(len(table.rows))
    )
    if len(table.rows) > MOST_ROWS:
        strips = []
        for name, column in zip(names, zip(*values, strict=True), strict=True):
            known = [value for value in column if not math.isnan(value)]
            mean = sum(known) / len(known) if known else math.nan
            strips.append(Strip(name, tuple(known), mean, math.nan, math.nan, 0))
        dots = Strips(f"mean {score.axis('test')}; a dot is a setting", tuple(strips), dot="setting")
        return [Heading("All settings"), Figure("overview", f"Mean test {score.name}", dots, replace(table, title=""))]
    settings = tuple(row[0] for row in table.rows)
    plot = HeatMap(comparison.what, "setting", f"mean {score.axis('test')}", names, settings, values)
    return [Heading("All settings"), Figure("overview", f"Mean test {score.name}", plot, replace(table, title=""))]
