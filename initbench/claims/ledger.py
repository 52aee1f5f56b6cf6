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
from initbench.probing.plan import identity as probe_identity
from initbench.records import columns, index
from initbench.settings.catalogue import Catalogue
from initbench.settings.commandline import written
from initbench.settings.compose import compose
from initbench.settings.request import Request, request
from initbench.trial import Cell, trial_keys

Floats = NDArray[np.float64]

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
        known = self.sample.values[~np.isnan(self.sample.values)]
        return float(known.mean()) if len(known) else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % t interval of the mean."""
        return t_interval(self.sample.values[~np.isnan(self.sample.values)])


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
        """The part of some claims."""
        ids = set(ids)
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
    if "seeds" in claim.settings or any("seeds" in settings for settings in claim.arm_settings.values()):
        raise InputError("it has seeds of its own; those of the whole ledger count")
    if not is_of_trials(claim.quantity):
        shared = {key: value for key, value in shared.items() if key.partition(".")[0] not in _LATER}
    keys = [text.partition("=")[0] for text in own]
    base = {**shared, **claim.settings, **(claim.change or {})}
    for key in claim.change or ():
        if key in keys:
            raise InputError(f"it is about a change of {key}, which cannot be set")
    cells: dict[str, list[Cell]] = {}
    requests: list[Request] = []
    # Initializers by their names are one sweep, which composes in a tenth of the time.
    sweeps = [{"init": claim.arms}] if isinstance(claim.arms, list) else list(claim.arms.values())
    for number, settings in enumerate(sweeps):
        # What an arm is no override changes.
        texts = [text for text, key in zip(own, keys, strict=True) if key not in settings]
        given = {key: value for key, value in base.items() if key not in settings and key not in keys}
        # Parameters of an option that the user replaces are not those of the new one.
        given = {key: value for key, value in given.items() if key.partition(".")[0] not in keys}
        asked = request(compose([*overrides(settings), *overrides(given), *texts], catalogue), catalogue)
        requests.append(asked)
        if isinstance(claim.arms, list):
            size = len(asked.cells) // len(claim.arms)
            if size * len(claim.arms) != len(asked.cells):
                raise InputError(f"two of its arms are one initializer: {', '.join(claim.arms)}")
            cells |= {arm: list(asked.cells[i * size : (i + 1) * size]) for i, arm in enumerate(claim.arms)}
        else:
            cells[list(claim.arms)[number]] = list(asked.cells)
    said = {arm: [dict(cell.settings) for cell in some] for arm, some in cells.items()}
    of_arms = {key for settings in claim.arm_settings.values() for key in settings}
    free = [key for key in dict.fromkeys([*base, *keys]) if key not in of_arms]
    varying = [key for key in free if len({one.get(key) for some in said.values() for one in some}) > 1]
    by_setting: dict[str, dict[tuple[tuple[str, str], ...], Cell]] = {}
    for arm, some in cells.items():
        by_setting[arm] = {
            tuple((key, one.get(key, "")) for key in varying): cell for one, cell in zip(said[arm], some, strict=True)
        }
        if len(by_setting[arm]) < len(some):
            raise InputError(f"arm '{arm}' is an axis of its own; each arm takes one value of what it sets")
        if by_setting[arm].keys() != next(iter(by_setting.values())).keys():
            raise InputError(f"arm '{arm}' is not there in the settings of the others")
    made = []
    changed = next(iter(claim.change)) if claim.change else None
    for setting in dict.fromkeys(setting for some in by_setting.values() for setting in some):
        if changed and dict(setting).get(changed) != _text(claim.change, 1):
            continue
        for one, other in claim.pairs:
            terms: list[tuple[int, Cell]] = []
            places = [(1, setting)]
            if changed:
                before = tuple((key, _text(claim.change, 0) if key == changed else value) for key, value in setting)
                places.append((-1, before))
            for sign, place in places:
                if place not in by_setting[one]:
                    raise InputError(f"{changed} does not change as it says")
                terms += [(sign, by_setting[one][place])]
                if other:
                    terms.append((-sign, by_setting[other][place]))
                    if _network(by_setting[other][place]) == _network(by_setting[one][place]):
                        raise InputError(f"arms '{one}' and '{other}' are one network")
            shown = {key: value for key, value in setting if key != changed}
            made.append(Hypothesis(claim, shown, (one, other), tuple(terms)))
    if not made:
        raise InputError(
            f"it has nothing to compare: {changed} does not change as it says" if changed else "it is empty"
        )
    return made, requests


def _network(cell: Cell) -> dict[str, Any]:
    return cell.identity(0, cell.dataset.content or "")


def _text(change: Mapping[str, Sequence[object]] | None, which: int) -> str:
    (values,) = (change or {}).values()
    return written(values[which])


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
    keys = {cell: _keys(cell, part, planned) for cell in part.cells}
    wanted = np.array(sorted({key for some in keys.values() for key in some.values()}), dtype=np.bytes_)
    mine = there.take(np.isin(there.keys, wanted)) if len(there) else there
    if not len(mine):
        return {}
    frame = of_trials(trials.to_trials(mine))
    found: Values = {}
    for quantity in {"n_test", "test_accuracy", *(one.claim.quantity for one in hypotheses)} & set(frame):
        numbers = frame[quantity].to_dict()
        for cell, some in keys.items():
            found |= {(quantity, cell, seed): numbers[key] for seed, key in some.items() if key in numbers}
    return found


def _keys(cell: Cell, part: Request, planned: Plan) -> dict[int, str]:
    """The keys of a cell's final trials by seed; none while its search goes on."""
    mine = replace(cell, dataset=pinned(cell.dataset))
    wanted: list[tuple[Cell, int]] = [(mine, seed) for seed in part.seeds]
    if mine in planned.tunings:
        tuning = planned.tunings[mine]
        wanted = [(one, seed) for one, seed in tuning.trials if one.stage == "final"] if tuning.chosen else []
    of: dict[Cell, dict[int, str]] = {}
    for one, seed in wanted:
        of.setdefault(one, {})[seed] = ""
    return {
        seed: key(seed)
        for one, seeds in of.items()
        for key in [trial_keys(one.identity(0, one.dataset.content or ""))]
        for seed in seeds
    }


def _probed(part: Request, hypotheses: Sequence[Hypothesis], told: list[str]) -> Values:
    records, lines = probes.load([part.results])
    told += lines
    quantities = {one.claim.quantity for one in hypotheses if not is_of_trials(one.claim.quantity)}
    numbers = of_probes(records, quantities)
    found: Values = {}
    for cell in part.cells:
        key = trial_keys(probe_identity(replace(cell, dataset=pinned(cell.dataset)), 0))
        for seed in part.seeds:
            name = key(seed)
            found |= {(quantity, cell, seed): of[name] for quantity, of in numbers.items() if name in of}
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
