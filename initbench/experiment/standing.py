"""How trials that are being trained stand: how many have ended, how many of them in vain, who is best so far."""

from collections.abc import Mapping, Sequence

from initbench.experiment.plan import Trial
from initbench.records import columns
from initbench.records.schema import TrialRecord
from initbench.tasks import task_of

# Techniques that a line has room for.
_MOST = 3


class Standing:
    """Of some trials, as their records come."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        """Nothing has ended yet."""
        self._names = {trial.key: trial.cell.asked().label or trial.cell.init.name for trial in trials}
        self._ended, self._failed = set[str](), 0
        self._best: dict[str, float] = {}
        tasks = [task_of(trial.identity["dataset"]) for trial in trials]
        # Scores of several data sets do not compare.
        alike = len({trial.cell.dataset for trial in trials}) == 1
        self._score = tasks[0].score if alike else None

    def add(self, records: Mapping[str, TrialRecord]) -> None:
        """What has ended; records of other trials, and those that are known, count for nothing."""
        fresh = [one for key, one in records.items() if key in self._names and key not in self._ended]
        self._ended |= {one.key for one in fresh}
        self._failed += sum(one.outcome != "ok" for one in fresh)
        finished, best = [one for one in fresh if one.outcome == "ok"], dict(self._best)
        for key, score in columns.done(columns.from_records(finished)).items() if finished else ():
            name = self._names[key]
            best[name] = max(score, best.get(name, score))
        # Another thread may be reading what was there before.
        self._best = best

    def text(self) -> str:
        """In a line: ``12 of 40 trials, 1 failed; best so far: he 97.22, xavier 95.10 (validation accuracy, %)``."""
        told = f"{len(self._ended)} of {len(self._names)} trials"
        told += f", {self._failed} failed" if self._failed else ""
        if self._score is None or not self._best:
            return told
        score, best = self._score, sorted(self._best.items(), key=lambda one: -one[1])[:_MOST]
        names = ", ".join(f"{name} {score.times * value:.{score.places}f}" for name, value in best)
        return f"{told}; best so far: {names} ({score.axis('validation')})"
