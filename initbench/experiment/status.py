"""How far work is, wherever it is done: from the records, the claims of live processes, and Slurm where it is asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from initbench.experiment.executors import slurm
from initbench.experiment.executors.member import errors, notes
from initbench.experiment.plan import plan
from initbench.experiment.requests import kept
from initbench.experiment.sharing import Sharing, Taken
from initbench.records import index
from initbench.records.columns import Columns, done, failed

# What was finished in so many minutes says how fast it goes.
_MINUTES = 30


@dataclass(frozen=True)
class Status:
    """How far the requests of a results folder are.

    Attributes:
        lines: for people.
        n_left: how many of their trials have no record yet.
    """

    lines: tuple[str, ...]
    n_left: int


def status(results: Path) -> Status:
    """How far each request is that was made in a results folder.

    Raises:
        InputError: a request that cannot be read.
        StorageError: the folder cannot be read.
    """
    columns, told = index.load([results])
    lines, n_left = list(told), 0
    known, without_result = done(columns), failed(columns)
    claims = Sharing(results, seen=()).others()
    for folder in sorted(results.glob("*/requests")):
        for file, request in kept(results, folder.parent.name):
            now = plan(request, known)
            keys, todo = {trial.key for trial in now.trials}, {trial.key for trial in now.todo}
            running = [Taken(claim.process, claim.keys & todo) for claim in claims if claim.keys & todo]
            n_running = sum(len(claim.keys) for claim in running)
            n_failed = len(keys & without_result)
            n_left += len(todo)
            lines.append(
                f"{request.name}: {len(keys)} trials: {len(keys) - len(todo)} done"
                f"{f' ({n_failed} failed)' if n_failed else ''}, {n_running} running, {len(todo) - n_running} waiting"
                f"{_left(columns, keys, len(todo)) if running else ''}"
            )
            lines += [f"  {claim.process}: {len(claim.keys)} trials" for claim in running]
            lines += _of_slurm(results / ".slurm" / file.stem)
    return Status(tuple(lines), n_left)


def _left(columns: Columns, keys: set[str], n_todo: int) -> str:
    """How long it will take, as fast as it has gone lately; nothing where that is not known."""
    own = np.isin(columns.keys, np.array(sorted(keys), dtype=columns.keys.dtype))
    chunks = columns.numbers["chunk"][own].tolist()
    now = datetime.now(UTC)
    times = sorted(filter(None, (_time(columns.chunks[chunk].finished) for chunk in chunks)))
    recent = [time for time in times if now - time < timedelta(minutes=_MINUTES)]
    # What was finished with the first began before it.
    later = [time for time in recent if time > recent[0]]
    if not later:
        return ""
    left = (now - recent[0]) / len(later) * n_todo
    minutes = round(left.total_seconds() / 60)
    return f"; about {f'{minutes // 60} h {minutes % 60} min' if minutes >= 60 else f'{max(1, minutes)} min'} left"


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _of_slurm(folder: Path) -> Iterator[str]:
    job = slurm.job_of(folder)
    if not job:
        return
    states = slurm.states(job)
    if states is None:
        told = "squeue does not answer"
    else:
        told = ", ".join(f"{n} {state.lower()}" for state, n in sorted(states.items())) or "ended"
    yield f"  slurm job {job}: {told}"
    yield from (f"  {line}" for line in (*notes(folder), *errors(folder)))
