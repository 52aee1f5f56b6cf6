"""From hypotheses to a ledger: what records say of the networks of each, and the verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from initbench.analysis import probes, trials
from initbench.analysis.statistics import t_interval
from initbench.claims.files import Claim, Settings, Verdict
from initbench.claims.hypotheses import Asked, Hypothesis
from initbench.claims.values import ACCURACIES, as_compared, is_of_trials, is_ratio, of_probes, of_trials
from initbench.claims.verdicts import Finding, Sample, findings, overall
from initbench.data import pinned
from initbench.experiment.plan import Plan, plan
from initbench.probing.plan import wanted
from initbench.records import columns, index
from initbench.settings.request import Request
from initbench.trial import Cell

Floats = NDArray[np.float64]


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
