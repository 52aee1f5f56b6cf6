"""Runs that are killed, with and without the processes that train for them, and begun again.

Run as a script, as :mod:`killing`; here it is ``initbench run`` that works, and nothing else is different.
"""

import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import forked
from exiting import Exit
from killing import wait

from initbench import records
from initbench.analysis.trials import to_csv, to_trials
from initbench.records import index

# Three shapes, so that it is three chunks.
SMALL = ["run", "init=he,xavier", "depth=1,2,3", "seeds=3", "width=16", "epochs=1", "dataset=digits"]
SHARED = ["run", "init=glob(xavier*),glob(he*)", "depth=1,2,3,4", "seeds=8", "width=16", "epochs=5", "dataset=digits"]


def kill(folder: Path, kills: int, seed: int) -> dict[str, int]:
    """So many kills at random moments of one run at a time: of it, of a process that trains for it, or of both."""
    rng = random.Random(seed)
    sums: Counter[str] = Counter()
    wanted, seconds = _whole(SMALL, folder)
    while sums["kills"] < kills:
        results = folder / str(sums["sweeps"])
        code = 1
        while code:
            run = forked.start([*SMALL, f"results={results}"], Path(f"{results}.log"))
            killed, code = _hit(run, rng.uniform(0, 1.2 * seconds), rng)
            sums.update(kills=killed)
            assert killed or not code, code
        sums.update(_judged(results, wanted), sweeps=1)
    return dict(sums)


def share(folder: Path, rounds: int, seed: int, processes: int = 8, kills: int = 1) -> dict[str, int]:
    """Processes that begin one sweep at once; now and then one is killed, and started again."""
    rng = random.Random(seed)
    sums: Counter[str] = Counter()
    wanted, _ = _whole(SHARED, folder)
    os.environ["INITBENCH_DEBUG"] = "1"
    for number in range(rounds):
        results, log = folder / str(number), folder / f"{number}.log"
        start = partial(forked.start, [*SHARED, f"results={results}"], log)
        runs = {start() for _ in range(processes)}
        while runs:
            run = rng.choice(sorted(runs))
            killed, code = _hit(run, rng.expovariate(1 / 2), rng) if kills else (0, wait(run))
            sums.update(kills=killed)
            assert killed or not code, code
            runs.remove(run)
            if code:
                runs.add(start())
        sums.update(_judged(results, wanted), rounds=1, trained_twice=_trained_twice(results, log.read_text()))
    return dict(sums)


def exits(folder: Path) -> dict[str, int]:
    """A run, and a process that trains for it, killed before and after each file operation; then the same run again."""
    sums: Counter[str] = Counter()
    wanted, _ = _whole(SMALL, folder)
    for role in ("run", "worker"):
        number, ended = 0, True
        while ended:
            number += 1
            for after in (False, True):
                results = folder / f"{role}-{number}-{after}"
                start = partial(forked.start, [*SMALL, f"results={results}"], Path(f"{results}.log"))
                exit_ = Exit(results, number, after, Path(f"{results}.ended"))
                code = wait(start(**{role: exit_}))
                ended = exit_.marker.exists()
                assert code == (-signal.SIGKILL if ended and role == "run" else 0), code
                assert not wait(start())
                sums.update(_judged(results, wanted), kills=ended)
    return dict(sums)


def _hit(run: int, seconds: float, rng: random.Random) -> tuple[int, int]:
    """Kill after some time; whether there was something to kill, and with which code the run has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        child, status = os.waitpid(run, os.WNOHANG)
        if child:
            return 0, os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    trainers = forked.descendants(run)
    what = rng.choice(["run", "run", "trainer", "both"] if trainers else ["run"])
    victims = [rng.choice(trainers)] if what == "trainer" else [run, *(trainers if what == "both" else ())]
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return 1, wait(run)


def _whole(arguments: Sequence[str], folder: Path) -> tuple[str, float]:
    """The table of a run that nobody has killed, and its seconds."""
    begun = time.monotonic()
    assert not wait(forked.start([*arguments, f"results={folder / 'whole'}"], folder / "whole.log"))
    return _table(folder / "whole"), time.monotonic() - begun


def _table(results: Path) -> str:
    return to_csv(to_trials(index.load([results])[0]))


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


def _trained_twice(results: Path, log: str) -> int:
    """How many trials were trained to the end once more than was needed; what was published is in the log."""
    published = Counter(re.findall(r"published \S*/(\w+)\.jsonl:", log))
    keys: Counter[str] = Counter()
    for file in records.files([results]):
        for line in records.read(file)[1]:
            keys[line.key] += max(1, published[file.stem])
    return keys.total() - len(keys)


if __name__ == "__main__":
    name, place, *numbers = sys.argv[1:]
    tasks: dict[str, Any] = {"kill": kill, "share": share, "exits": exits}
    print(json.dumps(tasks[name](Path(place).absolute(), *map(int, numbers))))
