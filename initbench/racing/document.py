"""A race as a document: who is recommended and how sure, everyone's place, a figure, the code to paste."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from initbench.racing.rounds import Runner, seeds_needed
from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table
from initbench.render.formats import to_format
from initbench.render.plots import Strip, Strips
from initbench.tasks import Score

NONE = "–"
_WIDTH = 120


@dataclass(frozen=True)
class Confirmation:
    """The recommended candidate against the model's own start, on seeds that nobody had run.

    Attributes:
        seeds: how many.
        mean: of the differences of test scores, ``low`` to ``high`` its 95 % interval.
        verdict: ``higher``, ``lower``, ``inseparable`` or ``untestable``.
    """

    seeds: int
    mean: float
    low: float
    high: float
    verdict: str


def answer(runners: Sequence[Runner], own: str, confirmation: Confirmation | None, score: Score) -> str:
    """What to use, and how sure that is, in some sentences."""
    left = in_race(runners)
    if not left:
        return "No candidate could be trained."
    best = left[0]
    others = [one.name for one in left[1:]]
    name = recommended(runners, own, confirmation)
    lr = next(one.lr for one in runners if one.name == name)
    told = f"{'Keep the start that the model has' if name == own else f'Use {name}'}"
    told += (f" at lr={lr:g}" if lr is not None else "") + ". "
    if name != best.name:
        told += f"Best on validation data is {best.name}. "
    if others:
        needed = [seeds_needed(best.scores, one.scores) for one in left[1:]]
        known = [n for n in needed if n is not None]
        cost = f" (about {min(known)} seeds would tell the nearest apart)" if known else ""
        told += f"Too close to call: {', '.join(others)}{cost}. "
    out = [one for one in runners if one.exit is not None]
    if out:
        told += f"Worse, each by a test of its own: {', '.join(one.name for one in out)}. "
    failed = [one for one in runners if one.failed]
    if failed:
        told += "Failed: " + ", ".join(f"{one.name} in {one.failed} of {len(one.scores)} runs" for one in failed) + ". "
    if confirmation is None:
        return told + ("It is best on validation data: there is nothing to change." if best.name == own else "")
    low, high = sorted((confirmation.low * score.times, confirmation.high * score.times))
    gain = f"{confirmation.mean * score.times:+.{score.places}f} {score.points or score.name}"
    gain += f"{score.less} ({low:+.{score.places}f} to {high:+.{score.places}f})"
    sure = {
        "higher": "which holds",
        "lower": "which is worse",
        "inseparable": "which is no difference that these seeds show",
        "untestable": "too few to test",
    }[confirmation.verdict]
    return told + f"On {confirmation.seeds} fresh seeds and the test set {best.name} is {gain} against {own}, {sure}."


def document(
    runners: Sequence[Runner],
    own: str,
    confirmation: Confirmation | None,
    score: Score,
    lines: Sequence[str],
    told: Sequence[str],
) -> list[Block]:
    """The whole of it.

    Args:
        runners: everyone.
        own: the name of the model's own start.
        confirmation: None where the own start is recommended.
        score: what the task is told by.
        lines: the code to paste.
        told: what was left out for time, and the like.
    """
    return [
        Paragraph(answer(runners, own, confirmation, score)),
        *(Paragraph(one) for one in told),
        table(runners, score),
        _figure(runners, score),
        Heading("To paste", "paste"),
        Code(tuple(lines)),
    ]


def recommended(runners: Sequence[Runner], own: str, confirmation: Confirmation | None) -> str:
    """The name of the initializer to use: the model's own start unless another one is shown to be better."""
    left = in_race(runners)
    if not left or (confirmation is not None and confirmation.verdict != "higher"):
        return own
    if confirmation is None and any(one.name == own and one.exit is None for one in runners):
        return own
    return left[0].name


def in_race(runners: Sequence[Runner]) -> list[Runner]:
    """Those who are left, the best first."""
    left = [one for one in runners if one.exit is None and not one.refused and one.scores]
    return sorted(left, key=lambda one: -one.mean)


def table(runners: Sequence[Runner], score: Score) -> Table:
    """A row for each candidate: those who are left share the first place."""
    left = in_race(runners)
    gone = sorted((one for one in runners if one.exit is not None), key=lambda one: -one.mean)
    never = [one for one in runners if one.refused or (one.exit is None and not one.scores)]
    rows = []
    for place, one in [*((1, one) for one in left), *((len(left) + i, one) for i, one in enumerate(gone, 1))]:
        why = "" if one.exit is None else f"{one.exit.against} is better (p = {one.exit.p:.1g}, {one.exit.seeds} seeds)"
        spread = _shown(_sd(one.scores), abs(score.times), score.places)
        rate = f"{one.lr:g}" if one.lr is not None else NONE
        mean = _shown(one.mean, score.times, score.places)
        rows.append((one.name, str(place), rate, mean, spread, str(len(one.scores)), str(one.failed or ""), why))
    rows += [(one.name, NONE, NONE, NONE, NONE, "0", "", one.refused or "not trained") for one in never]
    header = ("initializer", "place", "lr", "validation", "sd", "runs", "failed", "why")
    name = score.of("validation")
    caption = (
        f"{name[0].upper()}{name[1:]}{score.less}; a run that failed counts as the worst. Who shares a place could not "
        "be told apart."
    )
    return Table(header, tuple(rows), left=(0, 7), title="The race", caption=caption)


def text(blocks: Sequence[Block], form: str, model: str) -> str:
    """The document in one format: ``rich`` (as on a terminal), ``markdown`` or ``html``."""
    lead = blocks[0].text if isinstance(blocks[0], Paragraph) else ""
    # A page has its first block above all others.
    return to_format(form, blocks[form == "html" :], (f"A race of initializers on {model}", lead), _WIDTH)


def _figure(runners: Sequence[Runner], told: Score) -> Figure:
    strips = tuple(
        Strip(one.name, tuple(told.times * score for score in one.scores), told.times * one.mean, math.nan, math.nan, 0)
        for one in [*in_race(runners), *(one for one in runners if one.exit is not None)]
    )
    return Figure("race", "Every run", Strips(told.axis("validation"), strips), table(runners, told), extra=True)


def _shown(value: float, times: float, places: int) -> str:
    return NONE if math.isnan(value) else f"{times * value:.{places}f}"


def _sd(scores: Sequence[float]) -> float:
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan
