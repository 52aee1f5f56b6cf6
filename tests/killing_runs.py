"""Runs that are killed, with and without the processes that train for them, and begun again.

Run as a script, as :mod:`killing`; here it is initbench that trains.
"""

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import forked
from exiting import Exit
from handmade import csv_of
from killing import descendants, wait

from initbench import records
from initbench.analysis.trials import to_trials
from initbench.records import index

# Three shapes, so that it is three chunks.
SMALL = ["init=he,xavier", "depth=1,2,3", "seeds=3", "width=16", "epochs=1", "dataset=digits"]
LONG = ["init=he,xavier", "depth=2,5", "seeds=4", "width=256", "epochs=60", "dataset=digits"]
SHARED = ["init=he,xavier,lecun,orthogonal", "depth=1,2,3,4", "seeds=8", "width=16", "epochs=5", "dataset=digits"]


Start = Callable[[Sequence[str], Path], int]


def kill(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """So many kills at random moments of one run at a time: of it, of a process that trains for it, or of both."""
    return _killed(forked.start, SMALL, folder, kills, random.Random(seed))


def train(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """The same of runs that train for some seconds, each a program of its own."""
    return _killed(_spawned, LONG, folder, kills, random.Random(seed))


def share(folder: Path, rounds: int, seed: int) -> dict[str, int]:
    """Eight processes begin one sweep at once; now and then one is killed, and begins again."""
    rng = random.Random(seed)
    sums: Counter[str] = Counter()
    wanted, seconds = _whole(forked.start, SHARED, folder)
    for number in range(rounds):
        start = partial(forked.start, [*SHARED, f"results={folder / str(number)}"], folder / f"{number}.log")
        runs = {start() for _ in range(8)}
        while runs:
            run = rng.choice(sorted(runs))
            killed, code = _hit(run, rng.expovariate(4 / seconds), rng)
            sums.update(kills=killed)
            assert killed or not code, code
            runs.remove(run)
            if code:
                runs.add(start())
        sums.update(_judged(folder / str(number), wanted), rounds=1, trained_twice=_trained_twice(folder, number))
    return dict(sums)


def stagger(folder: Path, rounds: int, seed: int) -> dict[str, int]:
    """Four processes begin one sweep one after the other, and nobody is killed."""
    rng = random.Random(seed)
    sums: Counter[str] = Counter()
    wanted, _ = _whole(forked.start, SHARED, folder)
    for number in range(rounds):
        runs = []
        for _ in range(4):
            runs.append(forked.start([*SHARED, f"results={folder / str(number)}"], folder / f"{number}.log"))
            time.sleep(rng.uniform(0, 2))
        assert not any(map(wait, runs))
        sums.update(_judged(folder / str(number), wanted), rounds=1, trained_twice=_trained_twice(folder, number))
    return dict(sums)


def exits(folder: Path) -> dict[str, int]:
    """A run, and a process that trains for it, killed before each file operation; then the same run again."""
    sums: Counter[str] = Counter()
    wanted, _ = _whole(forked.start, SMALL, folder)
    for role in ("run", "worker"):
        number, ended = 0, True
        while ended:
            number += 1
            results = folder / f"{role}-{number}"
            start = partial(forked.start, [*SMALL, f"results={results}"], Path(f"{results}.log"))
            # What comes after an operation comes before the next.
            exit_ = Exit(results, number, after=False, marker=Path(f"{results}.ended"))
            code = wait(start(**{role: exit_}))
            ended = exit_.marker.exists()
            assert code == (-signal.SIGKILL if ended and role == "run" else 0), code
            assert not wait(start())
            sums.update(_judged(results, wanted), kills=ended)
    return dict(sums)


def _killed(start: Start, arguments: Sequence[str], folder: Path, kills: int, rng: random.Random) -> dict[str, int]:
    sums: Counter[str] = Counter()
    wanted, seconds = _whole(start, arguments, folder)
    while sums["kills"] < kills:
        results = folder / str(sums["sweeps"])
        here = partial(start, [*arguments, f"results={results}"], Path(f"{results}.log"))
        runs, code = 0, 1
        while code:
            begun = time.monotonic()
            killed, code = _hit(here(), rng.uniform(0, seconds), rng)
            runs += 1
            if not killed and runs == 1:
                # As fast as the machine is now.
                seconds = time.monotonic() - begun
            sums.update(kills=killed)
            assert killed or not code, code
        # What is left of a process that trained, and not of the run, is there until the next.
        assert not wait(here())
        sums.update(_judged(results, wanted), sweeps=1)
    return dict(sums)


def _spawned(arguments: Sequence[str], log: Path) -> int:
    command = [sys.executable, "-m", "initbench", "run", *arguments]
    output = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    return os.posix_spawn(command[0], command, os.environ, file_actions=[output, (os.POSIX_SPAWN_DUP2, 1, 2)])


def _hit(run: int, seconds: float, rng: random.Random) -> tuple[int, int]:
    """Kill after some time; whether there was something to kill, and with which code the run has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        child, status = os.waitpid(run, os.WNOHANG)
        if child:
            return 0, os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    trainers = descendants(run)
    what = rng.choice(["run", "run", "trainer", "both"] if trainers else ["run"])
    victims = [rng.choice(trainers)] if what == "trainer" else [run, *(trainers if what == "both" else ())]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return 1, wait(run)


def _whole(start: Start, arguments: Sequence[str], folder: Path) -> tuple[str, float]:
    """The table of a run that nobody has killed, and its seconds."""
    begun = time.monotonic()
    assert not wait(start([*arguments, f"results={folder / 'whole'}"], folder / "whole.log"))
    return _table(folder / "whole"), time.monotonic() - begun


def _table(results: Path) -> str:
    return csv_of(to_trials(index.load([results])[0]))


def _judged(results: Path, wanted: str) -> Counter[str]:
    """How many tables are other ones, how many records are doubled or malformed, what else lies there."""
    files = records.files([results])
    keys = Counter(line.key for file in files for line in records.read(file)[1])
    others = {path for path in results.rglob("*") if path.is_file()}.difference(files)
    return Counter(
        trials=len(keys),
        other_tables=_table(results) != wanted,
        doubled=keys.total() - len(keys),
        malformed=len(index.load([results])[1]),
        left_behind=sum(path.parent.name != "requests" or path.suffix != ".json" for path in others),
    )


def _trained_twice(folder: Path, number: int) -> int:
    """How many trials were trained to the end once more than was needed: what was published is in the log."""
    published = Counter(re.findall(r"published \S*/(\w+)\.jsonl:", (folder / f"{number}.log").read_text()))
    keys: Counter[str] = Counter()
    for file in records.files([folder / str(number)]):
        for line in records.read(file)[1]:
            keys[line.key] += max(1, published[file.stem])
    return keys.total() - len(keys)


if __name__ == "__main__":
    name, place, *numbers = sys.argv[1:]
    forked.warm(SMALL)
    tasks: dict[str, Any] = {"kill": kill, "train": train, "share": share, "stagger": stagger, "exits": exits}
    print(json.dumps(tasks[name](Path(place).absolute(), *map(int, numbers))))
