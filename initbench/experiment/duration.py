"""About how long a plan takes, by what trials like its own took on this machine; not known where there were none."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from initbench.experiment.plan import Trial
from initbench.processors import processor
from initbench.records import Header, TrialRecord, Unusable, files, read
from initbench.records.packed import PACKED

# What tells how long an epoch takes.
_LIKE = ("dataset", "model", "depth", "width", "activation", "optimizer", "batch_size")
# The newest files tell enough; each is of about ten seconds of training.
_MOST_FILES = 50


def about(todo: Sequence[Trial], results: Path) -> str:
    """A sentence on how long some trials take, one network per processor.

    Args:
        todo: what is to be trained.
        results: the folder whose records tell of this machine.

    Raises:
        StorageError: the folder cannot be read.
    """
    if not todo:
        return ""
    rates = _seconds_per_epoch(results)
    seconds, n_known = 0.0, 0
    # Of a million trials the cells are looked at; those of one are the very same.
    for _, same in groupby(todo, key=lambda trial: id(trial.cell)):
        trials = list(same)
        rate = rates.get(_like(trials[0].identity))
        if rate is not None:
            seconds += len(trials) * trials[0].cell.epochs * rate
            n_known += len(trials)
    if not n_known:
        return "how long it takes is not known: nothing like it was trained on this machine yet"
    if n_known < len(todo):
        known = f"about {spelled(seconds)} for {n_known} trials, as others like them took on this machine"
        return f"{known}; for {len(todo) - n_known} it is not known"
    return f"about {spelled(seconds)}, as others like them took on this machine"


def spelled(seconds: float) -> str:
    """A time as people say it: ``1 h 20 min``, ``3 min``, ``10 s``."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if seconds >= 90 else f"{max(1, round(seconds))} s"


def _seconds_per_epoch(results: Path) -> dict[str, float]:
    """What an epoch of one trial took of the time of all processors, by what it is like."""
    spent: dict[str, tuple[float, int]] = {}
    for header, trained in _here(results):
        like, seconds = _like(trained[0].trial), _seconds(header)
        before, epochs = spent.get(like, (0.0, 0))
        spent[like] = before + seconds, epochs + sum(int(record.trial["epochs"]) for record in trained)
    # Records know whole seconds.
    return {like: max(seconds, 1.0) / epochs for like, (seconds, epochs) in spent.items()}


def _here(results: Path) -> Iterator[tuple[Header, list[TrialRecord]]]:
    """The newest files that this machine has written: their headers, and their trials that were trained."""
    machine = f"{platform.system()} {platform.machine()}"
    found = [(path.stat().st_mtime, path) for path in files([results]) if not path.name.endswith(PACKED)]
    for _, path in sorted(found, reverse=True)[:_MOST_FILES]:
        with suppress(Unusable):
            header, lines = read(path)
            where = header.environment
            # Of a GPU there is one kind in a machine.
            ours = where.system == machine and (where.device != "cpu" or where.processor == processor())
            trained = [one for one in lines if isinstance(one, TrialRecord) and one.outcome != "failed"]
            if ours and trained and header.started:
                yield header, trained


def _seconds(header: Header) -> float:
    try:
        return (datetime.fromisoformat(header.finished) - datetime.fromisoformat(header.started)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _like(identity: Mapping[str, Any]) -> str:
    return json.dumps([identity[key] for key in _LIKE], sort_keys=True)
