"""From claims to a ledger: the networks they need, what records say of them, and the verdicts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.analysis import probes, trials
from initbench.analysis.statistics import t_interval
from initbench.claims.files import Claim, Settings, Verdict, overrides
from initbench.claims.values import ACCURACIES, as_compared, is_of_trials, is_ratio, of_probes, of_trials
from initbench.claims.verdicts import MOST_SEEDS, Finding, Sample, findings, overall
from initbench.data import pinned
from initbench.errors import InputError
from initbench.experiment.plan import Plan, plan
from initbench.probing.plan import wanted
from initbench.records import columns, index
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.request import Request, request
from initbench.trial import Cell

Floats = NDArray[np.float64]
# Settings with their values, as texts.
Setting = tuple[tuple[str, str], ...]

# Overrides that change nothing that is measured.
_ELSEWHERE = ("dataset.root", "results", "name", "seeds", "device")

# What comes after a network's start, and makes no other probe.
_LATER = ("optimizer", "lr", "epochs", "schedule", "warmup", "protocol")


@dataclass(frozen=True)
class Hypothesis:
    """One claim in one setting for one pair: the sum of ``terms`` is the contrast.

    Attributes:
        claim: what claims it.
        setting: the settings in which the hypotheses of the claim differ.
        pair: the arms; the second is None where there is a bound.
        terms: sign and cell of each network of a seed.
    """

    claim: Claim
    setting: Mapping[str, str]
    pair: tuple[str, str | None]
    terms: tuple[tuple[int, Cell], ...]


@dataclass(frozen=True)
class Measured:
    """A hypothesis with what was measured and found."""

    hypothesis: Hypothesis
    sample: Sample
    finding: Finding

    @property
    def mean(self) -> float:
        """Of the contrast over the seeds; NaN where there is none."""
        known = self.sample.known
        return float(known.mean()) if len(known) else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % t interval of the mean."""
        return t_interval(self.sample.known)


@dataclass(frozen=True)
class Entry:
    """A claim with all its hypotheses."""

    claim: Claim
    measured: tuple[Measured, ...]

    @cached_property
    def verdict(self) -> Verdict:
        """Of the claim."""
        return overall([one.finding.verdict for one in self.measured])

    def count(self, verdict: Verdict) -> int:
        """Of how many hypotheses it was found."""
        return sum(one.finding.verdict == verdict for one in self.measured)

    @cached_property
    def values(self) -> Floats:
        """``[seeds]``: the contrast of each seed, as a mean over the settings and pairs that are measured."""
        known = [one.sample.values for one in self.measured if len(one.sample.values)]
        if not known:
            return np.zeros(0)
        table = np.array(known)
        there = ~np.isnan(table)
        totals = np.where(there, table, 0.0).sum(axis=0)[there.any(axis=0)]
        return np.asarray(totals / there.sum(axis=0)[there.any(axis=0)])

    @property
    def mean(self) -> float:
        """Of :attr:`values`."""
        return float(self.values.mean()) if len(self.values) else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % t interval of :attr:`mean`, over seeds."""
        return t_interval(self.values)

    @property
    def seeds_needed(self) -> int | None:
        """The most seeds that any open hypothesis would need; None where that is too many, or none is open."""
        open_ = [one.finding.needed for one in self.measured if one.finding.verdict == "inconclusive"]
        return max((n for n in open_ if n is not None), default=None) if open_ and None not in open_ else None


@dataclass(frozen=True)
class Ledger:
    """Claims with their verdicts, and what they were tested with.

    Attributes:
        entries: those that were asked for, by id.
        n_hypotheses: of the whole ledger: the family of the adjustment.
        n_seeds: of each hypothesis.
        shared: the settings that all claims share.
        own: overrides of the user's, but for where data and results lie.
        told: lines on files that were passed over.
    """

    entries: tuple[Entry, ...]
    n_hypotheses: int
    n_seeds: int
    shared: Settings
    own: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What claims ask for.

    Attributes:
        hypotheses: of all of them.
        trained: the networks to train; None where there are none.
        probed: those to look at before training; None likewise.
        shared: the settings that all share.
        own: overrides of the user's, but for where data and results lie.
    """

    hypotheses: tuple[Hypothesis, ...]
    trained: Request | None
    probed: Request | None
    shared: Settings
    own: tuple[str, ...] = ()

    @property
    def request(self) -> Request:
        """Either of the two: folder and seeds are the same."""
        found = self.trained or self.probed
        assert found is not None
        return found

    def of(self, ids: Iterable[str]) -> "Asked":
        """The part of some claims, all of it where none is named."""
        ids = set(ids)
        if not ids:
            return self
        some = tuple(one for one in self.hypotheses if one.claim.id in ids)
        return replace(
            self, hypotheses=some, trained=_part(self.trained, some, True), probed=_part(self.probed, some, False)
        )


def ask(claims: Sequence[Claim], shared: Settings, own: Sequence[str], catalogue: Catalogue) -> Asked:
    """What some claims ask for.

    Args:
        claims: in their order.
        shared: the settings of a preset, before those of each claim.
        own: overrides of the user's, after them.
        catalogue: what there is to choose from.

    Raises:
        InputError: a setting or a quantity that there is not; the message names the claim.
    """
    hypotheses, requests = list[Hypothesis](), list[Request]()
    for claim in claims:
        try:
            made, its = _hypotheses(claim, shared, own, catalogue)
        except InputError as error:
            raise InputError(f"claim {claim.id}: {error}") from error
        hypotheses += made
        requests += its
    seeds = requests[0].seeds
    if any(one.seeds != seeds for one in requests):
        raise InputError("seeds are those of the whole ledger: set them in the preset or on the command line")
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"a ledger has at most {MOST_SEEDS} seeds; got {len(seeds)}")
    trained, probed = (_part(requests[0], hypotheses, of_trials) for of_trials in (True, False))
    told = tuple(text for text in own if text.partition("=")[0] not in _ELSEWHERE)
    return Asked(tuple(hypotheses), trained, probed, shared, told)


def _part(whole: Request | None, hypotheses: Sequence[Hypothesis], of_trials: bool) -> Request | None:
    cells = {cell: None for one in hypotheses if is_of_trials(one.claim.quantity) == of_trials for _, cell in one.terms}
    return replace(whole, cells=tuple(cells)) if whole and cells else None


def _hypotheses(
    claim: Claim, shared: Settings, own: Sequence[str], catalogue: Catalogue
) -> tuple[list[Hypothesis], list[Request]]:
    requests = _requests(claim, shared, own, catalogue)
    cells = _by_setting(claim, requests, [*shared, *claim.settings, *(claim.change or {}), *map(_key, own)])
    changed, (before, after) = claim.changed or ("", ("", ""))
    made = []
    for setting in next(iter(cells.values())):
        if changed and dict(setting).get(changed) != after:
            continue
        places = [(1, setting)]
        if changed:
            places.append((-1, tuple((key, before if key == changed else value) for key, value in setting)))
        shown = {key: value for key, value in setting if key != changed}
        for one, other in claim.pairs:
            terms: list[tuple[int, Cell]] = []
            for sign, place in places:
                if place not in cells[one]:
                    raise InputError(f"{changed} does not change as it says")
                terms.append((sign, cells[one][place]))
                if other:
                    terms.append((-sign, cells[other][place]))
                    if _network(cells[other][place]) == _network(cells[one][place]):
                        raise InputError(f"arms '{one}' and '{other}' are one network")
            made.append(Hypothesis(claim, shown, (one, other), tuple(terms)))
    if not made:
        raise InputError(f"it has nothing to compare: {changed} does not change as it says")
    return made, list(requests.values())


def _requests(claim: Claim, shared: Settings, own: Sequence[str], catalogue: Catalogue) -> dict[str, Request]:
    """What each arm of a claim asks for."""
    if any("seeds" in settings for settings in (claim.settings, *claim.arm_settings.values())):
        raise InputError("it has seeds of its own; those of the whole ledger count")
    keys = set(map(_key, own))
    for key in keys & set(claim.change or {}):
        raise InputError(f"it is about a change of {key}, which cannot be set")
    if not is_of_trials(claim.quantity):
        shared = {key: value for key, value in shared.items() if key.partition(".")[0] not in _LATER}
    # Parameters of an option that the user replaces are not those of the new one.
    base = {**shared, **claim.settings, **(claim.change or {})}
    base = {key: value for key, value in base.items() if not {key, key.partition(".")[0]} & keys}

    def asked(settings: Settings) -> Request:
        # What an arm sets, nothing else does.
        given = overrides({key: value for key, value in base.items() if key not in settings})
        users = [text for text in own if _key(text) not in settings]
        return request(compose([*overrides(settings), *given, *users], catalogue), catalogue)

    if isinstance(claim.arms, dict):
        return {arm: asked(settings) for arm, settings in claim.arms.items()}
    # Initializers by their names are one sweep, which composes in a tenth of the time; it is the outermost axis.
    every = asked({"init": claim.arms})
    size, rest = divmod(len(every.cells), len(claim.arms))
    if rest:
        raise InputError(f"two of its arms are one initializer: {', '.join(claim.arms)}")
    return {arm: replace(every, cells=every.cells[i * size :][:size]) for i, arm in enumerate(claim.arms)}


def _by_setting(
    claim: Claim, requests: Mapping[str, Request], may_differ: Iterable[str]
) -> dict[str, dict[Setting, Cell]]:
    """The cells of each arm by the settings that differ within the claim, and that no arm sets.

    Args:
        claim: whose arms they are.
        requests: of each arm.
        may_differ: settings, in the order in which they are shown.
    """
    of_arms = {key for settings in claim.arm_settings.values() for key in settings}
    said = {arm: [(dict(cell.settings), cell) for cell in one.cells] for arm, one in requests.items()}
    every = [settings for some in said.values() for settings, _ in some]
    free = [key for key in dict.fromkeys(may_differ) if key not in of_arms]
    varying = [key for key in free if len({settings.get(key) for settings in every}) > 1]
    found: dict[str, dict[Setting, Cell]] = {}
    for arm, some in said.items():
        found[arm] = {tuple((key, settings.get(key, "")) for key in varying): cell for settings, cell in some}
        if len(found[arm]) < len(some):
            raise InputError(f"arm '{arm}' is an axis of its own; each arm takes one value of what it sets")
        if found[arm].keys() != next(iter(found.values())).keys():
            raise InputError(f"arm '{arm}' is not there in the settings of the others")
    return found


def _key(override: str) -> str:
    return override.partition("=")[0]


def _network(cell: Cell) -> dict[str, Any]:
    return cell.identity(0, cell.dataset.content or "")


# Quantity, cell and seed to a number; ``n_test`` is how many test samples there are.
Values = dict[tuple[str, Cell, int], float]


def read(asked: Asked, ids: Sequence[str] = ()) -> Ledger:
    """The ledger, from the records that are there; verdicts are adjusted over all that is asked for.

    Args:
        asked: of the whole ledger.
        ids: of the claims that are wanted; all where it is empty.

    Raises:
        StorageError: the records cannot be read.
    """
    told: list[str] = []
    values: Values = {}
    if asked.trained:
        values |= _trained(asked.trained, asked.hypotheses, told)
    if asked.probed:
        values |= _probed(asked.probed, asked.hypotheses, told)
    ledger = judge(asked, values)
    entries = tuple(entry for entry in ledger.entries if not ids or entry.claim.id in ids)
    return replace(ledger, entries=entries, told=tuple(dict.fromkeys(told)))


def judge(asked: Asked, values: Values) -> Ledger:
    """The verdicts that follow from some values."""
    samples = [_sample(one, asked.request.seeds, values) for one in asked.hypotheses]
    by_claim: dict[str, list[Measured]] = {}
    for one, sample, finding in zip(asked.hypotheses, samples, findings(samples), strict=True):
        by_claim.setdefault(one.claim.id, []).append(Measured(one, sample, finding))
    entries = tuple(Entry(some[0].hypothesis.claim, tuple(some)) for some in by_claim.values())
    return Ledger(entries, len(samples), len(asked.request.seeds), asked.shared, asked.own)


def _trained(part: Request, hypotheses: Sequence[Hypothesis], told: list[str]) -> Values:
    there, lines = index.load([part.results])
    told += lines
    planned = plan(part, columns.done(there))
    by_cell = {cell: {trial.seed: trial.key for trial in some} for cell, some in planned.by_cell()}
    keys = {cell: {seed: by_cell[one][seed] for one, seed in _finals(cell, part.seeds, planned)} for cell in part.cells}
    needed = np.array(sorted({key for some in keys.values() for key in some.values()}), dtype=np.bytes_)
    mine = there.take(np.isin(there.keys, needed)) if len(there) else there
    if not len(mine):
        return {}
    frame = of_trials(trials.to_trials(mine))
    found: Values = {}
    for quantity in {"n_test", "test_accuracy", *(one.claim.quantity for one in hypotheses)} & set(frame):
        numbers = frame[quantity].to_dict()
        for cell, some in keys.items():
            found |= {(quantity, cell, seed): numbers[key] for seed, key in some.items() if key in numbers}
    return found


def _finals(cell: Cell, seeds: Sequence[int], planned: Plan) -> list[tuple[Cell, int]]:
    """What a cell is trained as at last, with its seeds; nothing while its search goes on."""
    mine = _pinned(cell)
    if mine not in planned.tunings:
        return [(mine, seed) for seed in seeds]
    return [(one, seed) for one, seed in planned.tunings[mine].trials if one.stage == "final"]


def _pinned(cell: Cell) -> Cell:
    return replace(cell, dataset=pinned(cell.dataset))


def _probed(part: Request, hypotheses: Sequence[Hypothesis], told: list[str]) -> Values:
    records, lines = probes.load([part.results])
    told += lines
    quantities = {one.claim.quantity for one in hypotheses if not is_of_trials(one.claim.quantity)}
    numbers = of_probes(records, quantities)
    keys = {(one.cell, one.seed): one.key for one in wanted(part)}
    found: Values = {}
    for cell in part.cells:
        mine = _pinned(cell)
        for seed in part.seeds:
            key = keys[mine, seed]
            found |= {(quantity, cell, seed): of[key] for quantity, of in numbers.items() if key in of}
    return found


def _sample(one: Hypothesis, seeds: Sequence[int], measured: Values) -> Sample:
    """What was measured for a hypothesis; nothing unless every seed of every arm is there."""
    claim = one.claim
    quantity = claim.quantity
    needed = [(quantity, cell, seed) for _, cell in one.terms for seed in seeds]
    if not all(name in measured for name in needed):
        return Sample(np.zeros(0), claim.expect, 0.0, claim.margin is not None)
    values = np.zeros(len(seeds))
    for sign, cell in one.terms:
        values += sign * np.array([as_compared(quantity, measured[quantity, cell, seed]) for seed in seeds])
    if claim.bound is not None:
        values -= as_compared(quantity, claim.bound)
    if claim.margin is not None:
        margin = math.log(claim.margin) if is_ratio(quantity) else claim.margin
    elif quantity in ACCURACIES and claim.bound is None:
        rates = [measured["test_accuracy", cell, seed] for _, cell in one.terms for seed in seeds]
        rate, n_test = float(np.mean(rates)), measured["n_test", one.terms[0][1], seeds[0]]
        margin = math.sqrt(rate * (1 - rate) / n_test)
    else:
        margin = 0.0
    return Sample(values, claim.expect, margin, claim.margin is not None)
