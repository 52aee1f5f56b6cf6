"""A report that fits a screen: the answer, a row for each technique, and where to look for more."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from initbench.analysis.articles import D4_TITLE
from initbench.analysis.compare import Comparison, compare
from initbench.analysis.summaries import summaries
from initbench.analysis.trials import Trials, finals
from initbench.render.blocks import Block, Code, Heading, Paragraph, Table
from initbench.render.text import counted
from initbench.report.answer import answer
from initbench.report.article_tables import beside
from initbench.report.glance import glance
from initbench.report.overview import overview_table

# With the answer and what comes below them they fit a window of 24 to 40 lines.
_MOST_ROWS = 12


def brief(trials: Trials, where: str, words: Sequence[str]) -> list[Block]:
    """The screen.

    Args:
        trials: what to report on.
        where: the folders of their records.
        words: of the command line that reports on them, after ``initbench report``.
    """
    comparison = compare(finals(trials))
    command = ["initbench", "report", *words]
    return [
        Heading("The answer"),
        Paragraph(answer(comparison)),
        _table(comparison),
        Paragraph(f"Records: {where}. Every run, the tests and the laws, and all of it with figures in one page:"),
        Code((shlex.join([*command, "--full"]), shlex.join([*command, "--out", "report.html", "--open"]))),
    ]


def _table(comparison: Comparison) -> Table:
    """Settings by techniques where there are several settings; of one the techniques, beside an article's if it can."""
    if len(comparison.settings) > 1:
        whole = overview_table(comparison)
        left = len(whole.rows) - _MOST_ROWS
        more = f" {counted(left, 'more setting')}: --full has them." if left > 0 else ""
        return replace(whole, rows=whole.rows[:_MOST_ROWS], caption=whole.caption + more)
    found = beside(comparison, 0, summaries(comparison, 0))
    if found and isinstance(found[0], Table) and len(found[0].rows) >= len(comparison.techniques):
        return replace(found[0], caption=f'Test accuracy in %, mean ± sd, beside article D4, "{D4_TITLE}".')
    return glance(comparison, _MOST_ROWS, "--full has them.")
