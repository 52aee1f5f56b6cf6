"""Processes that share and publish as a run does, but only sleep where it trains; killed, and started again, at once.

Run as a script: it forks, which takes milliseconds, and is best done where no thread runs. It prints one line of JSON.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from exiting import Exit
from handmade import make_record, recorded

from initbench import records
from initbench.experiment.sharing import Sharing
from initbench.files import sweep
from initbench.records import store

RECORDS = {record.key: record for record in recorded(make_record(seed=seed) for seed in range(1000))}


def work(results: Path, chunks: Sequence[Sequence[str]], log: str, seconds: float) -> None:
    """Train, so to speak, what has no record, and write down what was begun, trained and published."""
    sweep(store.leftover_folders([results]))
    sharing = Sharing(results)
    done = records.load([results]).records
    todo = [[key for key in chunk if key not in done] for chunk in chunks]
    if not any(todo):
        sharing.sweep()
        return
    # Whole lines, whoever else writes.
    with sharing, open(log, "ab", buffering=0) as file:
        for part in sharing.parts(todo):
            file.write(f"begun {' '.join(part)}\n".encode())
            time.sleep(seconds * len(part))
            publish(results, part)
            file.write(f"published {' '.join(part)}\n".encode())


def publish(results: Path, keys: Sequence[str]) -> None:
    records.publish(results / "run" / "records", [RECORDS[key] for key in keys])


def fork(task: Callable[[], None]) -> int:
    """Do it in a child process; its number."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        task()
        code = 0
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Its exit code, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    found: list[int] = []
    with suppress(OSError):
        for child in map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def kill(folder: Path, kills: int, seed: int, processes: int = 1, sweeps: int = 1) -> dict[str, int]:
    """So many kills at random moments, in so many sweeps or more; whoever is killed is started again."""
    rng = random.Random(seed)
    sums: Counter[str] = Counter()
    while sums["kills"] < kills or sums["sweeps"] < sweeps:
        results = folder / str(sums["sweeps"])
        keys, size = list(RECORDS), 5 * processes
        chunks = [keys[i : i + size] for i in range(0, 20 * size, size)]
        sums.update(run(results, chunks, processes, rng))
        # Once more, as whoever was killed would.
        code = wait(fork(partial(work, results, chunks, os.devnull, 0.0)))
        assert code == 0, code
        sums.update(judged(results, chunks))
    return dict(sums)


def run(results: Path, chunks: Sequence[Sequence[str]], processes: int, rng: random.Random) -> Counter[str]:
    """Processes that work on a sweep until it is done; now and then one is killed."""
    kills, log = 0, f"{results}.log"
    task = partial(work, results, chunks, log, 0.001)
    children = {fork(task) for _ in range(processes)}
    while children:
        # With long pauses among them, so that the work gets on even where all is slow.
        time.sleep(rng.expovariate(1 / 0.05))
        victim = rng.choice(sorted(children))
        children.remove(victim)
        os.kill(victim, signal.SIGKILL)
        code = wait(victim)
        assert code in (0, -signal.SIGKILL), code
        if code:
            kills += 1
            children.add(fork(task))
    return Counter(kills=kills)


def judged(results: Path, chunks: Sequence[Sequence[str]]) -> Counter[str]:
    """What became of a sweep: how many trials are lost, doubled, malformed; what else lies there."""
    wanted = {key for chunk in chunks for key in chunk}
    of: dict[str, Counter[str]] = {word: Counter() for word in ("begun", "published")}
    for line in Path(f"{results}.log").read_text().splitlines():
        word, *keys = line.split()
        of[word].update(keys)
    loaded = records.load([results])
    files = records.files([results])
    there = Counter(line.key for file in files for line in records.read(file)[1])
    return Counter(
        trials=len(wanted),
        sweeps=1,
        lost=len((wanted | {*of["published"]}) - {*loaded.records}),
        doubled=there.total() - len(there),
        # What two processes did from beginning to end; beside it, what kills have cost.
        trained_twice=of["published"].total() - len(of["published"]),
        killed=of["begun"].total() - of["published"].total(),
        malformed=len(loaded.damaged),
        left_behind=sum(path.is_file() for path in results.rglob("*")) - len(files),
    )


def exits(folder: Path) -> dict[str, int]:
    """Killed before and after every file operation of a sweep of three chunks, each time begun anew, and resumed."""
    keys = list(RECORDS)
    chunks = [keys[:4], keys[4:6], keys[6:9]]
    sums: Counter[str] = Counter()
    number, ended = 0, True
    while ended:
        number += 1
        for after in (False, True):
            results = folder / f"{number}-{after}"
            exit_ = Exit(results, number, after, Path(f"{results}.ended"))
            task = partial(work, results, chunks, f"{results}.log", 0.0)

            def ending(exit_: Exit = exit_, task: Callable[[], None] = task) -> None:
                exit_.arm()
                task()

            code = wait(fork(ending))
            ended = exit_.marker.exists()
            assert code == (-signal.SIGKILL if ended else 0), code
            code = wait(fork(task))
            assert code == 0, code
            sums.update(judged(results, chunks), kills=ended)
    return dict(sums)


if __name__ == "__main__":
    name, folder, *numbers = sys.argv[1:]
    tasks: dict[str, Any] = {"kill": kill, "exits": exits}
    print(json.dumps(tasks[name](Path(folder).absolute(), *map(int, numbers))))
