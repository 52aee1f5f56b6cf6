"""What was asked of probes, answered first: who keeps signals and gradients, who does not, and how sure that is."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from initbench.render.text import counted, listed, span

# By how much a size may change between the first and the last layer, and how far theory may be off, in standard errors.
_FACTOR, _FAR = 10.0, 3.0
# More names than these are counted.
_MOST_NAMES = 7

# What becomes of a technique, the worst first, and the sentence that tells of it.
_LOST, _COPIES, _SHRINKS, _GROWS = "lost", "copies", "signal shrinks", "signal grows"
_VANISHES, _EXPLODES, _KEEPS = "gradient shrinks", "gradient grows", "keeps"
_SENTENCES = {
    _KEEPS: f"Signals and gradients keep their size, within a factor of {_FACTOR:g} from end to end, with {{}}.",
    _SHRINKS: "The signal shrinks with {}.",
    _GROWS: "The signal grows with {}.",
    _VANISHES: "Gradients shrink on their way back with {}.",
    _EXPLODES: "Gradients grow on their way back with {}.",
    _COPIES: "Units are copies of each other with {}.",
    _LOST: "Not finite, or not to be started: {}.",
}


@dataclass(frozen=True)
class Seen:
    """One technique in one setting, the median over its seeds.

    Attributes:
        technique: its name.
        forward: the size of what the last hidden layer hands on over that of the first; NaN where there is one.
        gradient: that of what comes back to the first layer over that at the output.
        distinct: the part of the worst layer's units whose weight gradient no other unit has.
        n_lost: how many networks have no such numbers; ``n`` how many there are.
        off: by how many standard errors the sizes of signals are off what theory says, at most; NaN where it says
            nothing.
    """

    technique: str
    forward: float
    gradient: float
    distinct: float
    n_lost: int
    n: int
    off: float


def answer(seen: Sequence[Seen], n_settings: int) -> str:
    """Two to six sentences on all techniques in all settings."""
    kinds = {kind: Counter(one.technique for one in seen if _kind(one) == kind) for kind in _SENTENCES}
    sentences = [
        sentence.format(_names(kinds[kind], n_settings)) for kind, sentence in _SENTENCES.items() if kinds[kind]
    ]
    if sentences and not kinds[_KEEPS]:
        sentences.insert(0, f"None keeps signals and gradients within a factor of {_FACTOR:g}.")
    if not sentences:
        sentences = ["Networks of one hidden layer have no layers to compare."]
    sizes = [one.n for one in seen]
    sure = f"How sure: each is the median of {span(min(sizes), max(sizes))} networks"
    told = [abs(one.off) <= _FAR for one in seen if not math.isnan(one.off)]
    if told:
        near = f"within {_FAR:g} standard errors of it in {sum(told)} of {counted(len(told), 'case')}"
        sure += f"; where the theory of wide networks speaks, the sizes of signals are {near}"
    return " ".join(
        [*sentences, f"{sure}. Whether that matters, training tells: initbench run with the same settings."]
    )


def _kind(one: Seen) -> str:
    if one.n_lost:
        return _LOST
    if one.distinct < 0.5:
        return _COPIES
    for value, less, more in ((one.forward, _SHRINKS, _GROWS), (one.gradient, _VANISHES, _EXPLODES)):
        if value < 1 / _FACTOR:
            return less
        if value > _FACTOR:
            return more
    return "" if math.isnan(one.forward) else _KEEPS


def _names(found: Counter[str], n_settings: int) -> str:
    shown = [
        name if times == n_settings else f"{name} (in {times} of {n_settings} settings)"
        for name, times in found.most_common(_MOST_NAMES)
    ]
    return listed([*shown, f"{len(found) - len(shown)} more"] if len(found) > len(shown) else shown)
