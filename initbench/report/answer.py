"""What was asked, answered first: who is best, what is tied, what fails and how sure that is, in a few sentences."""

from collections import Counter
from collections.abc import Iterable, Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.contrasts import Best, best
from initbench.analysis.summaries import Summary, summaries
from initbench.analysis.trials import searched
from initbench.render.text import counted, listed, scored, span
from initbench.report.glance import apart
from initbench.tasks import Score

# More names than these are counted.
_MOST_NAMES, _MOST_SETTINGS = 7, 3


def answer(comparison: Comparison) -> str:
    """Three to six sentences on all trials of a comparison."""
    found = {setting: summaries(comparison, setting) for setting in range(len(comparison.settings))}
    told = [best(comparison, setting) for setting in found]
    if len(comparison.techniques) == 1:
        sentences = [_alone(comparison, found)]
    elif len(found) == 1:
        sentences = _of_one(comparison, told[0], {one.technique: one for one in found[0]})
    else:
        sentences = _of_many(comparison, told, found)
    sentences += _lost(comparison, found)
    sentences += _sure(comparison, told, found)
    return " ".join([*sentences, *_favour(comparison)])


def _alone(comparison: Comparison, found: dict[int, list[Summary]]) -> str:
    means = {setting: one.mean for setting, (one,) in found.items()}
    name, ends = comparison.techniques[0], sorted((mean, setting) for setting, mean in means.items() if mean == mean)
    if not ends:
        return f"{name} has no run that finished, and nothing to be compared with."
    own = apart(comparison.titles)[1]
    if len(means) == 1:
        end = _shown(ends[0][0], comparison.score(ends[0][1]))
        return f"{name} ends at {end} on average; there is nothing to compare it with."
    (low, worst), (high, highest) = ends[0], ends[-1]
    return (
        f"{name} ends between {_shown(low, comparison.score(worst))} ({own[worst]}) and "
        f"{_shown(high, comparison.score(highest))} ({own[highest]}) on average."
    )


def _of_one(comparison: Comparison, told: Best, of: dict[int, Summary]) -> list[str]:
    name, score = comparison.techniques.__getitem__, comparison.score(told.setting)
    highest, second = told.order[:2]
    best_word = "highest" if score.times > 0 else "lowest"
    tested = [technique for technique in told.first if technique not in told.untested]
    scores = [of[technique].score for technique in tested if of[technique].score == of[technique].score]
    if not scores:
        return ["No run finished."]
    sentences = []
    if len(told.untested) == len(told.order) - 1:
        sentences.append(
            f"{name(highest)} has the {best_word} mean, {_shown(of[highest].score, score)}, {name(second)} the next, "
            f"{_shown(of[second].score, score)}, but no difference could be shown."
        )
    elif len(tested) == 1 and told.untested:
        sentences.append(
            f"{name(highest)} is ahead of all that are tested: {_shown(of[highest].score, score)} on average."
        )
    elif len(told.first) == 1:
        sentences.append(
            f"{name(highest)} is best: {_shown(of[highest].score, score)} on average, {_margin(told.margin, score)} "
            f"{name(second)}."
        )
    elif not told.below:
        sentences.append(
            f"No difference is certain: {_names(map(name, tested))} end between {scored(min(scores), score)} and "
            f"{_shown(max(scores), score)} on average."
        )
    else:
        sentences.append(
            f"{_names(map(name, tested))} share the first place: between {scored(min(scores), score)} and "
            f"{_shown(max(scores), score)} on average, not separable from the {best_word}, {name(highest)}."
        )
    if told.below:
        below = [f"{name(technique)} ({scored(of[technique].score, score)})" for technique in told.below]
        sentences.append(f"Below: {_names(below)}.")
    return sentences


def _of_many(comparison: Comparison, told: Sequence[Best], found: dict[int, list[Summary]]) -> list[str]:
    name, own = comparison.techniques.__getitem__, apart(comparison.titles)[1]
    # Of one technique nothing is said by its being first.
    compared = [one for one in told if len(one.order) > 1]
    if not compared:
        return [f"No two of {_names(comparison.techniques)} have trials in the same setting."]
    first = Counter(technique for one in compared for technique in one.first)
    below = Counter(technique for one in compared for technique in one.below)
    n = len(compared)
    always = [technique for technique, times in first.items() if times == n]
    where = f"all {counted(n, 'setting')}" if n == len(told) else f"all {counted(n, 'setting')} with two or more"
    sentences = []
    if all(len(one.untested) == len(one.order) - 1 for one in compared):
        highest = Counter(one.order[0] for one in compared)
        shown = [f"{name(technique)} in {times}" for technique, times in highest.most_common(_MOST_NAMES)]
        sentences.append(
            f"The mean is highest for {_names(shown)} of {counted(n, 'setting')}, but no difference could be shown."
        )
    elif always:
        sentences.append(f"{_names(map(name, sorted(always)))} may be best in {where}.")
    else:
        shown = [f"{name(technique)} in {times}" for technique, times in first.most_common(_MOST_NAMES)]
        sentences.append(f"None may be best in {where}; most often {_names(shown)}.")
    alone = [one for one in compared if len(one.first) == 1]
    if alone:
        shown = []
        for one in sorted(alone, key=lambda one: -one.margin)[:_MOST_SETTINGS]:
            ahead = f"{_margin(one.margin, comparison.score(one.setting))} {name(one.order[1])}"
            shown.append(f"{name(one.first[0])} with {own[one.setting]} ({ahead})")
        more = [f"{len(alone) - len(shown)} more"] if len(alone) > len(shown) else []
        sentences.append(f"Alone in first place: {listed([*shown, *more])}.")
    if below:
        shown = [f"{name(technique)} in {times}" for technique, times in below.most_common(_MOST_NAMES)]
        sentences.append(f"Below the best: {_names(shown)} of {counted(n, 'setting')}.")
    return sentences


def _lost(comparison: Comparison, found: dict[int, list[Summary]]) -> list[str]:
    """What stayed at chance and what failed, over all settings."""
    runs: Counter[int] = Counter()
    stuck: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for one in (one for of in found.values() for one in of):
        runs[one.technique] += one.n
        stuck[one.technique] += one.stuck
        failed[one.technique] += one.failed
    sentences = []
    for what, counts in (("At chance", stuck), ("Failed", failed)):
        lost = sorted((code for code in counts if counts[code]), key=lambda code: -counts[code] / runs[code])
        whole = [comparison.techniques[code] for code in lost if counts[code] == runs[code]]
        part = [f"{comparison.techniques[code]} ({counts[code]} of {runs[code]})" for code in lost]
        parts = [f"all runs of {_names(whole)}"] if whole else []
        parts += [f"some of {_names(part[len(whole) :])}"] if len(part) > len(whole) else []
        sentences += [f"{what}: {', '.join(parts)}."] if parts else []
    return sentences


def _sure(comparison: Comparison, told: Sequence[Best], found: dict[int, list[Summary]]) -> list[str]:
    """How many runs there are, and what they can show."""
    n = [one.n for of in found.values() for one in of]
    compared = [one for one in told if len(one.order) > 1]
    runs = f"How sure: {span(min(n), max(n))} run{'s' if max(n) > 1 else ''} of each, paired by seed"
    if not compared:
        return [f"{runs}."]
    open_ones = [one for one in compared if one.untested]
    if len(open_ones) == len(compared) and all(len(one.untested) == len(one.order) - 1 for one in compared):
        return [f"{runs}, which is too few for any test; {max(one.seeds_needed for one in compared)} seeds would do."]
    said = f"{runs}; the best is in first place with 95 % confidence{' in each setting' if len(compared) > 1 else ''}"
    if not open_ones:
        return [f"{said}."]
    needed = max(one.seeds_needed for one in open_ones)
    if len(compared) > 1:
        few = f"in {counted(len(open_ones), 'setting')} some have"
    else:
        few = f"{_names(map(comparison.techniques.__getitem__, open_ones[0].untested))} ha{_s(open_ones[0].untested)}"
    return [f"{said}; {few} too few seeds for a test, {needed} would do."]


def _favour(comparison: Comparison) -> list[str]:
    """What one learning rate for all means."""
    identities = [comparison.trials.identities[cell] for cell in comparison.cells.values()]
    if comparison.by != "init" or len(comparison.techniques) < 2 or any("lr" in searched(one) for one in identities):
        return []
    return ["One learning rate for all favours those it suits; protocol=tuned gives each its own."]


def _shown(value: float, score: Score) -> str:
    """A score with its unit, or its name where it has none."""
    return f"{scored(value, score)} {score.unit or score.name}"


def _margin(value: float, score: Score) -> str:
    """By how much someone is ahead of whoever is named next."""
    points = "points" if score.unit else score.points or score.name
    return f"{abs(score.times) * value:.{score.places}f} {points} {'above' if score.times > 0 else 'below'}"


def _s(several: Sequence[int]) -> str:
    return "s" if len(several) == 1 else "ve"


def _names(names: Iterable[str]) -> str:
    shown = list(names)
    more = [f"{len(shown) - _MOST_NAMES + 1} more"] if len(shown) > _MOST_NAMES else []
    return listed([*(shown[: _MOST_NAMES - 1] if more else shown), *more])
