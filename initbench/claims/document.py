"""What is said of a ledger and in which order: a line for each claim, then what was found of each."""

import math
import shlex
from collections.abc import Callable
from typing import Any, get_args

import msgspec

from initbench.claims.files import Claim, Verdict
from initbench.claims.ledger import Entry, Ledger, Measured
from initbench.claims.values import OF_TRIALS, is_ratio
from initbench.claims.verdicts import MOST_SEEDS
from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table
from initbench.render.formats import to_format
from initbench.render.plots import Strip, Strips
from initbench.render.text import NONE, counted, listed, points, probability, significant

FORMATS = ("rich", "markdown", "html", "json")
_WIDTH = 110
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_EXPECT = {
    "higher": "above",
    "lower": "below",
    "at_least": "not below",
    "at_most": "not above",
    "equal": "equal to",
    "different": "different from",
}
# Quantities that are no shares of one.
_PLAIN = ("loss", "loss_uniform", "forward_mean", "correlation")
# How an answer tells of claims with a verdict, and how many it names.
_TOLD: dict[Verdict, str] = {
    "supported": "Supported",
    "refuted": "Refuted",
    "mixed": "Supported in some settings and refuted in others",
    "inconclusive": "Not decided",
    "unmeasured": "Not measured",
}
_MOST_NAMES = 7
# Rows of a picture that can still be read; the table has all.
_MOST_STRIPS = 40


def document(ledger: Ledger, preset: str, detailed: bool) -> list[Block]:
    """All that is said of a ledger.

    Args:
        ledger: as :func:`initbench.claims.ledger.read` gives it.
        preset: the name of what all claims share.
        detailed: whether each claim has a section of its own.
    """
    blocks: list[Block] = [
        Heading("The answer", anchor="answer"),
        Paragraph(answer(ledger)),
        Heading("The ledger" if len(ledger.entries) > 1 else "The verdict", anchor="ledger"),
        Paragraph(summary(ledger)),
        table(ledger),
    ]
    for entry in ledger.entries if detailed else ():
        blocks += section(entry, ledger, preset)
    return blocks


def answer(ledger: Ledger) -> str:
    """Which claims hold and which do not, and how sure that is."""
    sentences = []
    for verdict, told in _TOLD.items():
        names = [
            entry.claim.statement.rstrip(".") if len(ledger.entries) == 1 else entry.claim.id
            for entry in ledger.entries
            if entry.verdict == verdict
        ]
        if names:
            shown = [*names[:_MOST_NAMES], *([f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else [])]
            sentences.append(f"{told}: {listed(shown)}.")
    sure = (
        f"How sure: {counted(ledger.n_seeds, 'seed')} each, and at most 5 % for any false finding in the whole ledger."
    )
    return " ".join([*sentences, sure])


def headline(ledger: Ledger) -> tuple[str, str]:
    """A title and a sentence on what it is about."""
    return (
        "The ledger",
        f"What articles and papers claim of initializers, measured: {counted(len(ledger.entries), 'claim')}.",
    )


def summary(ledger: Ledger) -> str:
    """How many claims have which verdict, and what they were tested with."""
    counts = [(sum(entry.verdict == verdict for entry in ledger.entries), verdict) for verdict in _VERDICTS]
    told = listed([f"{n} {verdict}" for n, verdict in counts if n])
    own = f", and {' '.join(ledger.own)}" if ledger.own else ""
    shared = ", ".join(
        f"{key} {' and '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in ledger.shared.items()
        if key not in ("name", "seeds", "dataset.root")
    )
    return (
        f"{counted(len(ledger.entries), 'claim')}: {told}. Tested with {shared}{own}; "
        f"{counted(ledger.n_seeds, 'seed')} each. Every claim is tested in each of its settings, for it and against "
        f"it; the {2 * ledger.n_hypotheses:,} tests of the whole ledger are adjusted together (Holm), so that the "
        "chance of any false finding is at most 5 % where deviations are symmetric, as the exact sign-flip test takes "
        "them to be."
    )


def table(ledger: Ledger) -> Table:
    """A line for each claim."""
    rows = []
    for entry in ledger.entries:
        of = _written(entry.claim)
        where = [f"{n} {verdict}" for verdict in _VERDICTS if (n := entry.count(verdict))]
        rows.append(
            (
                entry.claim.id,
                entry.verdict,
                of(entry.mean),
                _interval(of, entry.interval),
                str(len(entry.values) or NONE),
                ", ".join(where),
            )
        )
    caption = (
        "Effect: the contrast that the claim is about (the distance from its bound, where it has one), as a mean over "
        "its settings and pairs, with the 95 % interval over seeds: percentage points; × for ratios. n: seeds. A claim "
        "is mixed where some of its settings and pairs support and others refute it, inconclusive where at most half "
        "of them are decided."
    )
    return Table(
        ("claim", "verdict", "effect", "95 % interval", "n", "settings and pairs"),
        tuple(rows),
        left=(0, 1, 5),
        caption=caption,
        spare=(4, 3, 5),
    )


def section(entry: Entry, ledger: Ledger, preset: str) -> list[Block]:
    """What was found of one claim."""
    claim = entry.claim
    blocks: list[Block] = [
        Heading(claim.id, anchor=claim.id),
        Paragraph(f"{claim.statement} ({', '.join(claim.sources)})"),
        Paragraph(f"{told(entry)} {claim.reading.get(entry.verdict, '')}".strip()),
        Paragraph(
            f"Measured: {_measured(claim)}. Expected: {_expected(claim)}. It would be refuted by: "
            f"{claim.refuted_by[0].lower()}{claim.refuted_by[1:]}"
        ),
        _hypotheses(entry),
    ]
    figure = _figure(entry)
    blocks += [figure] if figure else []
    words = " ".join([claim.id, *map(shlex.quote, ledger.own)])
    return [*blocks, Code((f"initbench claims {words} --run --preset {preset}",))]


def told(entry: Entry) -> str:
    """The verdict in a sentence or two."""
    of = _written(entry.claim)
    if entry.verdict == "unmeasured":
        return "Unmeasured: not all of its networks have a record."
    counts = [f"{verdict} in {n}" for verdict in _VERDICTS if (n := entry.count(verdict))]
    parts = [
        f"{entry.verdict.capitalize()}: {listed(counts)} of {len(entry.measured)} settings and pairs.",
        f"Mean effect {of(entry.mean)} (95 % {_interval(of, entry.interval)}).",
        *filter(None, [_depends(entry)]),
    ]
    if entry.count("inconclusive"):
        needed = entry.seeds_needed
        parts.append(
            f"About {needed:,} seeds would decide what is open."
            if needed
            else f"{MOST_SEEDS} seeds, which is the most, would not decide all that is open."
        )
    return " ".join(parts)


def _depends(entry: Entry) -> str:
    """Which settings alone decide between the verdicts, where one does."""
    if entry.verdict != "mixed":
        return ""
    for name in ["pair", *entry.measured[0].hypothesis.setting]:
        found: dict[str, set[str]] = {}
        for one in entry.measured:
            value = _pair(one) if name == "pair" else one.hypothesis.setting[name]
            found.setdefault(value, set()).add(one.finding.verdict)
        if len(found) > 1 and all(len(verdicts) == 1 for verdicts in found.values()):
            by_verdict: dict[str, list[str]] = {}
            for value, verdicts in found.items():
                by_verdict.setdefault(next(iter(verdicts)), []).append(value)
            shown = "; ".join(f"{verdict} with {listed(values)}" for verdict, values in by_verdict.items())
            return f"It depends on the {name} alone: {shown}."
    return ""


def _measured(claim: Claim) -> str:
    if claim.quantity in OF_TRIALS:
        return f"{claim.quantity.replace('_', ' ')} ({OF_TRIALS[claim.quantity]})"
    return f"{claim.quantity}, before any training"


def _expected(claim: Claim) -> str:
    how = _EXPECT[claim.expect]
    if claim.bound is not None:
        text = f"{how} {claim.bound:g}"
    elif claim.order:
        text = f"each {how} the next: {', '.join(claim.order)}"
    else:
        pairs = claim.pairs
        firsts, others = (list(dict.fromkeys(pair[i] for pair in pairs)) for i in (0, 1))
        text = f"{listed([name for name in firsts if name], 'or')} {how}"
        text += f" {listed([name for name in others if name], 'or')}" if others != [None] else " what it was before"
    if claim.change:
        ((name, values),) = claim.change.items()
        text += f", at {name} {values[1]} more than at {name} {values[0]}"
    margin = f", by a margin of {claim.margin:g}" if claim.margin is not None else ""
    return text + margin


def _hypotheses(entry: Entry) -> Table:
    of = _written(entry.claim)
    names = list(entry.measured[0].hypothesis.setting)
    rows = []
    for one in entry.measured:
        rows.append(
            (
                *(one.hypothesis.setting[name] for name in names),
                _pair(one),
                one.finding.verdict,
                of(one.mean),
                _interval(of, one.interval),
                of(one.sample.margin) if one.sample.margin else NONE,
                probability(one.finding.support),
                probability(one.finding.refute),
                NONE if one.finding.needed is None else f"{one.finding.needed:,}",
            )
        )
    header = (*names, "pair", "verdict", "effect", "95 % interval", "margin", "p for", "p against", "seeds needed")
    left = tuple(range(len(names) + 2))
    spare = tuple(header.index(name) for name in ("margin", "p against", "p for", "seeds needed", "95 % interval"))
    return Table(header, tuple(rows), left=left, caption="p: one-sided, adjusted over the whole ledger.", spare=spare)


def _pair(one: Measured) -> str:
    first, second = one.hypothesis.pair
    return f"{first} - {second}" if second else first


def _figure(entry: Entry) -> Figure | None:
    if len(entry.measured) > _MOST_STRIPS:
        return None
    strips = []
    scale, unit = _unit(entry.claim)
    for one in entry.measured:
        known = one.sample.known
        if len(known):
            name = " ".join([_pair(one), *one.hypothesis.setting.values()])
            low, high = one.interval
            shown = tuple(float(scale * value) for value in known)
            n_failed = len(one.sample.values) - len(known)
            strips.append(Strip(name, shown, scale * one.mean, scale * low, scale * high, n_failed))
    if not strips:
        return None
    boundary = "no difference" if entry.claim.bound is None else "bound"
    label = f"contrast of every seed, {unit}"
    plot = Strips(label, tuple(strips), level=0.0, level_name=boundary, enlarge=False)
    return Figure(f"claim-{entry.claim.id}", entry.claim.statement, plot, _hypotheses(entry), extra=True)


def _unit(claim: Claim) -> tuple[float, str]:
    """By what contrasts are multiplied in a picture, and what they then are."""
    if is_ratio(claim.quantity):
        return 1 / math.log(10), "powers of ten"
    if _is_plain(claim):
        return 1.0, claim.quantity
    return 100.0, "percentage points"


def _written(claim: Claim) -> Callable[[float], str]:
    """How a contrast is written: points, a factor, or a plain number."""
    if is_ratio(claim.quantity):
        return lambda value: NONE if math.isnan(value) else f"×{significant(math.exp(value))}"
    return significant if _is_plain(claim) else points


def _is_plain(claim: Claim) -> bool:
    return claim.quantity.partition("[")[0].partition(".")[0] in _PLAIN


def _interval(of: Callable[[float], str], interval: tuple[float, float]) -> str:
    low, high = interval
    return NONE if math.isnan(low) else f"{of(low)} to {of(high)}"


def text(ledger: Ledger, preset: str, form: str, detailed: bool) -> str:
    """The document in one format: ``rich`` (as on a terminal), ``markdown``, ``html`` or ``json``."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(plain(ledger)), indent=2).decode() + "\n"
    return to_format(form, document(ledger, preset, detailed), headline(ledger), _WIDTH)


def plain(ledger: Ledger) -> dict[str, Any]:
    """A ledger as plain values, for programs: contrasts as they are compared, fractions and natural logarithms."""
    return {
        "shared": ledger.shared,
        "seeds": ledger.n_seeds,
        "tests": 2 * ledger.n_hypotheses,
        "claims": [
            {
                **{key: value for key, value in msgspec.to_builtins(entry.claim).items() if value is not None},
                "verdict": entry.verdict,
                "effect": _number(entry.mean),
                "interval": list(map(_number, entry.interval)),
                "found": [
                    {
                        "setting": dict(one.hypothesis.setting),
                        "pair": list(one.hypothesis.pair),
                        "verdict": one.finding.verdict,
                        "effect": _number(one.mean),
                        "interval": list(map(_number, one.interval)),
                        "margin": one.sample.margin,
                        "n": len(one.sample.values),
                        "p_for": one.finding.support,
                        "p_against": one.finding.refute,
                        "seeds_needed": one.finding.needed,
                    }
                    for one in entry.measured
                ],
            }
            for entry in ledger.entries
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def short_table(ledger: Ledger) -> Table:
    """What is claimed, its verdict and its effect, for pages that show no more."""
    rows = tuple((one.claim.statement, one.verdict, _written(one.claim)(one.mean)) for one in ledger.entries)
    return Table(("claim", "verdict", "effect"), rows, left=(0, 1))
