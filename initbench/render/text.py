"""How numbers are written, in every table and format."""

import math
from collections.abc import Sequence

from initbench.tasks import TASKS, USUAL, Score

NONE = "–"


_ACCURACY = TASKS[USUAL].score


def percent(fraction: float) -> str:
    """A fraction in percent, to the hundredth."""
    return NONE if math.isnan(fraction) else f"{100 * fraction:.2f}"


def scored(value: float, score: Score = _ACCURACY) -> str:
    """A score as its task tells it: an accuracy in percent."""
    if math.isnan(value):
        return NONE
    return f"{score.times * value:.{score.places}f}".replace("-inf", "−∞").replace("inf", "∞")


def spread(value: float, score: Score = _ACCURACY) -> str:
    """A standard deviation of scores."""
    return NONE if math.isnan(value) else f"{abs(score.times) * value:.{score.places}f}"


def points(value: float, score: Score = _ACCURACY) -> str:
    """A difference of scores, of accuracies in percentage points, with its sign."""
    zero = f"{0:.{score.places}f}"
    return NONE if math.isnan(value) else f"{score.times * value:+.{score.places}f}".replace(f"-{zero}", f"+{zero}")


def interval(low: float, high: float, score: Score = _ACCURACY) -> str:
    """Two scores, the lower first as it is shown."""
    if math.isnan(low):
        return NONE
    low, high = (low, high) if score.times > 0 else (high, low)
    # Beside a minus sign, which no accuracy has, a dash would be read as one.
    dash = "–" if score.times * low >= 0 or score == _ACCURACY else " to "
    return f"{scored(low, score)}{dash}{scored(high, score)}"


def points_interval(low: float, high: float, score: Score = _ACCURACY) -> str:
    """Two differences of scores, the lower first as it is shown."""
    low, high = (low, high) if score.times > 0 else (high, low)
    return NONE if math.isnan(low) else f"{points(low, score)} to {points(high, score)}"


def probability(p: float) -> str:
    """A p value to three places, small ones to their first digit."""
    if math.isnan(p):
        return NONE
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}".replace("e-0", "e-")


def number(value: float, places: int = 2) -> str:
    """A plain number."""
    return NONE if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.{places}f}"


def significant(value: float) -> str:
    """A number with three digits that count, for what goes over many powers of ten."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text else text


def whole(value: float) -> str:
    """A number that is whole, or half-way as a median may be."""
    return NONE if math.isnan(value) else "∞" if math.isinf(value) else f"{value:g}"


def counted(n: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def span(least: int, most: int) -> str:
    """``3``, or ``3 to 10``."""
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def listed(names: Sequence[str], joint: str = "and") -> str:
    """``a, b and c``."""
    return f"{', '.join(names[:-1])} {joint} {names[-1]}" if len(names) > 1 else "".join(names)
