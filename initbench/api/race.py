"""``initbench.race``: which initializer and learning rate to use for a model of one's own, with evidence."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.analysis.trials import to_trials
from initbench.api.keywords import command_lines, one_or_more
from initbench.api.own_data import keep
from initbench.api.results import Results
from initbench.api.run import ask, silent
from initbench.errors import InputError, UnknownName
from initbench.experiment.apart import apart
from initbench.experiment.execute import Executed, Say, execute, planned
from initbench.experiment.progress import say
from initbench.racing.document import Confirmation, document, in_race, recommended
from initbench.racing.rounds import ROUNDS, Runner, leaving
from initbench.racing.screen import untrainable
from initbench.records import columns, store
from initbench.records.schema import OUTCOMES
from initbench.search import rounds
from initbench.settings.request import Request
from initbench.tasks import Score

if TYPE_CHECKING:
    import pandas as pd

    from initbench.render.blocks import Block

# The module's own start.
OWN = "own"
# One of each family that can draw any module: by fan-in, by both fans, with and without a gain; orthogonal; torch's.
CANDIDATES = ("he_normal", "xavier_uniform", "lecun_normal", "orthogonal", "truncated_normal", "torch_default")
# Learning rates by what the optimizer does with a gradient.
_RATES = {"sgd": "[0.003,0.01,0.03,0.1,0.3]", "": "[0.0001,0.0003,0.001,0.003,0.01]"}
# Of how many seeds a candidate must fail before the first step to be left out.
_SCREEN_SEEDS = 2
# Seeds that no race runs, for the last word.
FRESH, N_FRESH = 1_000_000, 10
# Of the time given, what may be planned for the search and the first round together.
_SEARCH_PART = 0.6


@dataclass(frozen=True, eq=False, repr=False)
class Race:
    """How a race ended; a prompt and a notebook show it as text.

    Attributes:
        runners: every candidate, with its learning rate, its scores and why it left.
        confirmation: the recommended one against the model's own start on fresh seeds; None where that is the same.
        lines: the code to paste.
        told: what was left out, and why.
        score: what the task of the data is told by.
        results: all final trials.
    """

    runners: tuple[Runner, ...]
    confirmation: Confirmation | None
    lines: tuple[str, ...]
    told: tuple[str, ...]
    score: Score
    results: Results = field(repr=False)

    @property
    def recommended(self) -> str:
        """The name of the initializer to use: the model's own start where nothing is shown to be better."""
        return recommended(self.runners, OWN, self.confirmation)

    def frame(self) -> "pd.DataFrame":
        """A row for each candidate."""
        import pandas as pd

        rows = [
            (one.name, one.lr, one.mean, len(one.scores), one.failed, one.exit.against if one.exit else one.refused)
            for one in self.runners
        ]
        return pd.DataFrame(rows, columns=["initializer", "lr", "validation", "runs", "failed", "left"])

    def document(self) -> "list[Block]":
        """All of it, as any format is made of."""
        return document(self.runners, OWN, self.confirmation, self.score, self.lines, self.told)

    def __repr__(self) -> str:
        from initbench.render.terminal import to_lines

        return to_lines(self.document(), 120)


def race(
    model: str,
    *overrides: str,
    data: Any = None,
    candidates: Sequence[str] = CANDIDATES,
    minutes: float = 10.0,
    alpha: float = 0.05,
    settings: Mapping[str, Any] | None = None,
    config_dir: str | Path | None = None,
    plugins: str | Path | Iterable[str | Path] = (),
    quiet: bool = False,
    **more: Any,
) -> Race:
    """Race initializers on a model: each with its learning rates, on paired seeds, until it is clear or time is up.

    ``initbench.race("model.py:build", dataset="mnist", epochs=2)``. Every candidate searches its learning rate by
    successive halving on validation data; then all run the same seeds in rounds of 5, 10 and 20, and after each round
    leave those who are significantly worse than another (:mod:`initbench.racing.rounds`: with probability
    1 − ``alpha`` nobody leaves who is as good). Last, the best runs fresh seeds beside the model's own start, which is
    always among the candidates, and the test set is looked at. Trials are kept like those of ``run``, in
    ``results/race``: the same race again goes on where it was.

    Args:
        model: ``FILE.py:FUNCTION`` of (sample_shape, n_classes).
        overrides: settings of ``run``: data, optimizer, epochs.
        data: data of yours in place of ``dataset=``: a pair of arrays or tensors, a ``Dataset``, a ``DataLoader``, or a
            function that gives one of these. They are kept in ``results``, and a float target is a number to predict.
        candidates: names of ``initbench list initializers`` that can draw any module.
        minutes: the time it may take. Rates and rounds are left out where it would take longer, and that is told.
        alpha: see there.
        settings: more settings, by names that are no keywords.
        config_dir: a folder of your own with config groups.
        plugins: a Python file with initializers of your own, or several.
        quiet: say nothing and show no progress.
        more: settings by keyword.

    Raises:
        InputError: a setting, a candidate or a model that there is not, or that cannot be trained.
        StorageError: the results folder cannot be read or written.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1; got {alpha:g}")
    if not minutes > 0:
        raise InputError(f"minutes must be more than 0; got {minutes:g}")
    lines = [*overrides, *(line for group in command_lines(settings or {}, more) for line in group)]
    if data is not None:
        results = next((line.partition("=")[2] for line in lines if line.startswith("results=")), "results")
        lines = [*keep(data, Path(results)), *lines]
    taken = {line.partition("=")[0] for line in lines}
    if names := taken & {"init", "seeds", "model", "model.path", "protocol"}:
        raise InputError(f"a race sets {', '.join(sorted(names))} itself; say what shall race with candidates")
    track = _Track(model, lines, config_dir, tuple(one_or_more(plugins)), quiet, time.monotonic() + 60 * minutes)
    return track.run([OWN, *(name for name in dict.fromkeys(candidates) if name != OWN)], alpha)


@dataclass
class _Track:
    """What all rounds of a race have in common."""

    model: str
    lines: list[str]
    config_dir: str | Path | None
    plugins: tuple[str | Path, ...]
    quiet: bool
    end: float
    told: list[str] = field(default_factory=list)
    seconds_each: float = 0.0
    at_edge: set[str] = field(default_factory=set)

    @property
    def tell(self) -> Say:
        return silent if self.quiet else say

    def run(self, names: list[str], alpha: float) -> Race:
        rates = self.rates()
        runners = {name: Runner(name) for name in names}
        # What has nothing to do with any candidate is told here.
        self.asked([OWN], rates, [0])
        refused = {name: reason for name in names[1:] if (reason := self.refusal(name))}
        self.pilot(rates)
        refused |= self.screened([name for name in names if name not in refused])
        for name, reason in refused.items():
            runners[name] = replace(runners[name], refused=reason)
        left = [name for name in names if not runners[name].refused]
        rates = self.affordable(len(left), rates)
        for number, n_seeds in enumerate(ROUNDS):
            if number and not self.in_time(len(left) * (n_seeds - ROUNDS[number - 1]), f"the round of {n_seeds} seeds"):
                break
            executed = self.train(left, rates, range(n_seeds))
            self.at_edge = {cell.init.name for cell, tuning in executed.plan.tunings.items() if tuning.at_edge}
            for name, found in self.scored(executed).items():
                runners[name] = replace(runners[name], **found)
            scores = {name: runners[name].scores for name in left if len(runners[name].scores) == n_seeds}
            for name, why in leaving(scores, alpha, len(names)).items():
                runners[name] = replace(runners[name], exit=why)
                self.tell(f"{name} leaves after {why.seeds} seeds: {why.against} is better (p = {why.p:.1g})")
            left = [name for name in left if runners[name].exit is None]
            if len(left) < 2:
                break
        ranked = in_race(list(runners.values()))
        if not ranked:
            raise InputError("no candidate could be trained: " + "; ".join(one.refused for one in runners.values()))
        best = ranked[0]
        if best.name in self.at_edge:
            self.say(
                f"The best learning rate of {best.name} is at an edge of those tried ({rates}); others may be better."
            )
        confirmation, results = self.confirmed(best, rates)
        score = results.trials.columns.cells[0].task.score
        ended = tuple(runners.values())
        name = recommended(ended, OWN, confirmation)
        return Race(ended, confirmation, _code(runners[name], self.model), tuple(self.told), score, results)

    def rates(self) -> str:
        """The learning rates that are tried, as the command line has them."""
        given = next((line.partition("=")[2] for line in self.lines if line.startswith("protocol.search.lr=")), "")
        if given:
            self.lines = [line for line in self.lines if not line.startswith("protocol.search.lr=")]
            return given
        optimizer = next((line.partition("=")[2] for line in self.lines if line.startswith("optimizer=")), "sgd")
        return _RATES.get(optimizer, _RATES[""])

    def asked(self, names: Sequence[str], rates: str, seeds: Sequence[int]) -> Request:
        own = {line.partition("=")[0] for line in self.lines}
        defaults = ["name=race", "protocol.halving=true", "protocol.seeds=2"]
        line = [
            "model=module", f"model.path={self.model}", "protocol=tuned", f"protocol.search.lr={rates}",
            f"init={','.join(names)}", f"seeds=[{','.join(map(str, seeds))}]", *self.lines,
            *(one for one in defaults if one.partition("=")[0] not in own),
        ]  # fmt: skip
        return ask([line], self.config_dir, self.plugins)[1]

    def refusal(self, name: str) -> str:
        """Why a candidate cannot be asked for with this model; empty where it can."""
        try:
            self.asked([name], "[0.1]", [0])
        except UnknownName:
            raise
        except InputError as error:
            return str(error)
        return ""

    def pilot(self, rates: str) -> None:
        """Train one network to learn what a trial takes, and whether the module can be trained at all."""
        values = rates.strip("[]").split(",")
        self.train([OWN], f"[{values[len(values) // 2]}]", [0])

    def screened(self, names: Sequence[str]) -> dict[str, str]:
        """Those that no learning rate trains, by what their networks do before the first step; ``own`` always stays."""
        request = self.asked(names, "[0.1]", [0])
        found = apart(self.model, untrainable, request.to_json(), range(_SCREEN_SEEDS))
        if reason := found.pop(OWN, ""):
            self.say(f"{OWN} stays in the race, though no learning rate will train it: {reason}.")
        for name, reason in found.items():
            self.tell(f"{name} is left out: {reason}")
        return found

    def affordable(self, n_candidates: int, rates: str) -> str:
        """Leave out learning rates that there is no time for."""
        values, there_is = rates.strip("[]").split(","), self.end - time.monotonic()

        def takes() -> float:
            return n_candidates * (2 * _full_trainings(len(values)) + ROUNDS[0]) * self.seconds_each

        while len(values) > 1 and takes() > _SEARCH_PART * there_is:
            # Every other one stays, and at last the one in the middle.
            values = values[::2] if len(values) > 3 else [values[len(values) // 2]]
        if takes() > there_is:
            raise InputError(
                f"a race of {n_candidates} candidates takes {math.ceil(takes() / 60)} minutes here at least, and "
                f"{max(0.0, there_is) / 60:.1f} are left: give it more time, less to train (dataset.train=2000, "
                "epochs=1), or fewer candidates"
            )
        if len(values) < len(rates.split(",")):
            only = "one learning rate is" if len(values) == 1 else f"{len(values)} learning rates are"
            self.say(f"For time only {only} tried, {', '.join(values)}; another one may have another winner.")
        return f"[{','.join(values)}]"

    def in_time(self, n_trials: int, what: str) -> bool:
        """Whether some more trials are within the time, by what the others took."""
        takes, there_is = n_trials * self.seconds_each, self.end - time.monotonic()
        if takes <= there_is:
            return True
        self.say(
            f"{what[0].upper()}{what[1:]} was left out: about {takes:.0f} s, and {max(0.0, there_is):.0f} s were left."
        )
        return False

    def say(self, line: str) -> None:
        self.told.append(line)
        self.tell(line)

    def train(self, names: Sequence[str], rates: str, seeds: Sequence[int]) -> Executed:
        request = self.asked(names, rates, seeds)
        there = planned(request, silent)[0].done
        executed = execute(request, self.tell, quiet=self.quiet)
        new = executed.plan.done - there
        if new or not self.seconds_each:
            self.seconds_each = _seconds_each(request, new or executed.plan.done)
        return executed

    @staticmethod
    def scored(executed: Executed) -> dict[str, dict[str, Any]]:
        """What the records say of each candidate: its rate, its scores by seed, and how many failed."""
        score, outcomes = columns.done(executed.columns), executed.columns.numbers["outcome"]
        fails = {
            key
            for key, outcome in zip(executed.columns.key_texts(), outcomes.tolist(), strict=True)
            if OUTCOMES[outcome] in ("diverged", "failed")
        }
        # Where there is no worst score, a run that failed counts as the worst one that did not.
        finite = [value for value in score.values() if math.isfinite(value)]
        worst = min(finite, default=0.0)
        found: dict[str, dict[str, Any]] = {}
        for cell, trials in executed.plan.by_cell():
            if cell.stage != "final":
                continue
            # The plan's own order of the seeds is that of the request.
            keys = [trial.key for trial in sorted(trials, key=lambda trial: trial.seed)]
            own = tuple(max(worst, score[key]) for key in keys)
            found[cell.init.name] = {"lr": cell.lr, "scores": own, "failed": sum(key in fails for key in keys)}
        return found

    def confirmed(self, best: Runner, rates: str) -> tuple[Confirmation | None, Results]:
        names = [OWN] if best.name == OWN else [OWN, best.name]
        seeds = range(FRESH, FRESH + N_FRESH)
        if best.name != OWN and not self.in_time(len(names) * len(seeds), "the confirmation on fresh seeds"):
            return None, Results(
                to_trials(execute(self.asked(names, rates, range(ROUNDS[0])), silent, quiet=True).columns)
            )
        results = Results(to_trials(self.train(names, rates, seeds).columns))
        if best.name == OWN:
            return None, results
        row = results.contrasts(baseline=OWN).iloc[0]
        sign = 1 if row["a"] == best.name else -1
        verdict = str(row["verdict"])
        if sign < 0:
            verdict = {"higher": "lower", "lower": "higher"}.get(verdict, verdict)
        low, high = sorted((sign * row["low"], sign * row["high"]))
        return (
            Confirmation(
                int(row["pairs"]),
                sign * float(row["mean"]),
                low,
                high,
                verdict,
            ),
            results,
        )


def _seconds_each(request: Request, keys: Set[str]) -> float:
    """What the training of some trials took by their records, without what a process needs to start."""
    headers = store.load([request.folder]).headers
    chunks = {(header.started, header.finished) for key, header in headers.items() if key in keys}
    took = sum((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() for start, end in chunks)
    # Records know whole seconds.
    return (took + 0.5 * len(chunks)) / len(keys)


def _full_trainings(n_rates: int) -> float:
    """How many whole trainings successive halving over so many rates amounts to, for one seed."""
    epochs = 1024
    return sum(n * part for n, part in rounds(n_rates, epochs, halving=True)) / epochs


def _code(best: Runner, model: str) -> tuple[str, ...]:
    file, _, function = model.rpartition(":")
    lines = [f"model = {function}(sample_shape, n_classes)  # of {Path(file).name}"]
    if best.name != OWN:
        lines = ["import initbench", "", *lines, f'initbench.initialize(model, "{best.name}", seed=0)']
    return (*lines, *([f"lr = {best.lr:g}"] if best.lr is not None else []))
