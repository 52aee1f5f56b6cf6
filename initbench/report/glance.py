"""All of some results at a glance: a row for every technique of every setting, in one table that fits a screen."""

import math

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import Summary, summaries
from initbench.render.blocks import Table
from initbench.render.text import counted, listed, scored, spread
from initbench.tasks import Score

# More rows than anyone reads without scrolling.
MOST_ROWS = 40


def glance(
    comparison: Comparison, most: int = MOST_ROWS, rest: str = "choose fewer with select(), or take frame()."
) -> Table:
    """What a notebook and a prompt show of results. No technique is marked: nothing is tested here.

    Args:
        comparison: the results.
        most: more rows are left out.
        rest: how to see these.
    """
    same, own = apart(comparison.titles)
    several = len(own) > 1
    rows: list[tuple[str, ...]] = []
    for setting, title in enumerate(own):
        if len(rows) > most:
            break
        for place, one in enumerate(summaries(comparison, setting)):
            # The setting stands at its first technique, as a heading of those below it.
            head = (title if not place else "",) if several else ()
            rows.append((*head, comparison.techniques[one.technique], *_numbers(one, comparison.score(setting))))
    left = len(comparison.cells) - most
    more = f" {counted(left, 'more row')}: {rest}" if left > 0 else ""
    score = comparison.score_of_all
    caption = f"{told(comparison, 'Test')}: mean ± sd of the runs that did not fail."
    name = score.name if score else "score"
    header = (*(("setting",) if several else ()), comparison.what, "runs", name, "failed", "at chance")
    text = (0, 1) if several else (0,)
    return Table(header, tuple(rows[:most]), left=text, title=" · ".join(same), caption=caption + more)


def apart(titles: list[str]) -> tuple[list[str], list[str]]:
    """What all titles of settings say, and of each what it alone says."""
    parts = [title.split(" · ") for title in titles]
    same = [part for part in parts[0] if all(part in others for others in parts)]
    return same, [" · ".join(part for part in shown if part not in same) for shown in parts]


def told(comparison: Comparison, split: str) -> str:
    """What the results of all settings are told by; where that differs, all of it."""
    scores = dict.fromkeys(comparison.score(setting) for setting in range(len(comparison.settings)))
    names = [score.of("").strip() + score.less for score in scores]
    return f"{split} {listed(names, 'or')}"


def _numbers(one: Summary, score: Score) -> tuple[str, ...]:
    sd = "" if math.isnan(one.sd) else f" ± {spread(one.sd, score)}"
    return str(one.n), f"{scored(one.mean, score)}{sd}", str(one.failed or ""), str(one.stuck or "")
