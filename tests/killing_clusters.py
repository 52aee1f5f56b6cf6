"""Sweeps on executors whose drivers, workers and controller are killed at random moments, and begun again.

Run as a script, ``python tests/killing_clusters.py processes|slurm|ray FOLDER ROUNDS SEED``, each with the real thing
on loopback. In every second round two drivers begin at once. It prints one line of JSON: what was killed, and what
became of it. What was trained is what was written, as the kernel tells of it (inotify).
"""

import contextlib
import ctypes
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from handmade import csv_of
from killing import descendants

from initbench import records
from initbench.analysis.trials import to_trials
from initbench.records import index

# Eight shapes, so that it is eight chunks or more, of some seconds.
SWEEP = ["init=he,xavier", "depth=1,2,3,4,5,6,7,8", "seeds=4", "width=128", "epochs=40", "dataset=digits"]
MARK = uuid.uuid4().hex
_IN_CREATE = 0x100
_TEMPORARY = re.compile(rb"\.([0-9a-f]{32})\.[0-9a-f]{32}\.tmp")
# What only keeps a round that hangs from hanging for ever.
_DEADLINE = 900.0

# By the name of who may be killed, how to kill one; nothing where there is none.
Victims = Callable[[Sequence[int]], Mapping[str, Callable[[], None]]]


def rounds(place: Path, number: int, seed: int, executor: Sequence[str], victims: Victims) -> dict[str, int]:
    """So many sweeps; in each one to three kills at random moments."""
    rng, sums = random.Random(seed), Counter[str]()
    begun = time.monotonic()
    _swept(place / "whole", executor, 1, [], lambda drivers: {}, rng)
    seconds, wanted = time.monotonic() - begun, _table(place / "whole")
    for n in range(number):
        moments = sorted(rng.uniform(0, seconds) for _ in range(rng.randint(1, 3)))
        killed, published = _swept(place / str(n), executor, 1 + n % 2, moments, victims, rng)
        sums.update({f"killed_{name}": times for name, times in killed.items()})
        sums.update(_judged(place / str(n), published, wanted), rounds=1)
        print(n, dict(sums), file=sys.stderr, flush=True)
    return dict(sums)


def _swept(
    results: Path,
    executor: Sequence[str],
    n_drivers: int,
    moments: Sequence[float],
    victims: Victims,
    rng: random.Random,
) -> tuple[Counter[str], Counter[str]]:
    """One sweep with kills after so many seconds: how many of each, and how often each chunk was published."""
    killed, left = Counter[str](), list(moments)
    command = [sys.executable, "-m", "initbench", "run", *SWEEP, *executor, f"results={results}"]
    (results / "run" / "records").mkdir(parents=True)
    with _published(results / "run" / "records") as published, open(f"{results}.log", "ab") as log:

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env={**os.environ, "MARK": MARK})

        drivers, begun = [start() for _ in range(n_drivers)], time.monotonic()
        try:
            while any(driver.poll() != 0 for driver in drivers):
                assert time.monotonic() - begun < _DEADLINE, f"it does not end: {results}"
                if left and time.monotonic() - begun > left[0]:
                    there = victims([driver.pid for driver in drivers if driver.poll() is None])
                    if there:
                        left.pop(0)
                        name = rng.choice(sorted(there))
                        there[name]()
                        killed[name] += 1
                time.sleep(0.1)
                # Whoever was killed, or had none left who trains, asks again.
                drivers = [start() if driver.poll() else driver for driver in drivers]
        finally:
            for driver in drivers:
                driver.kill()
                driver.wait()
        # What members of a job array are still at when the last record is there.
        time.sleep(1)
        return killed, published()


@contextlib.contextmanager
def _published(folder: Path) -> Iterator[Callable[[], "Counter[str]"]]:
    """Afterwards: how often each chunk was written in a folder, also where another one was first."""
    libc = ctypes.CDLL(None, use_errno=True)
    file = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(file, os.fsencode(folder), _IN_CREATE) >= 0, os.strerror(ctypes.get_errno())

    def found() -> "Counter[str]":
        names = Counter[str]()
        with contextlib.suppress(BlockingIOError):
            while events := os.read(file, 2**16):
                at = 0
                while at < len(events):
                    *_, size = struct.unpack_from("iIII", events, at)
                    if match := _TEMPORARY.match(events[at + 16 : at + 16 + size]):
                        names[match[1].decode()] += 1
                    at += 16 + size
        return names

    try:
        yield found
    finally:
        os.close(file)


def _table(results: Path) -> str:
    return csv_of(to_trials(index.load([results])[0]))


def _judged(results: Path, published: "Counter[str]", wanted: str) -> "Counter[str]":
    files = records.files([results])
    of = {file.stem: [line.key for line in records.read(file)[1]] for file in files}
    keys = Counter(key for chunk in of.values() for key in chunk)
    largest = max(map(len, of.values()))
    trained = sum(times * len(of.get(chunk, range(largest))) for chunk, times in published.items())
    return Counter(
        trials=len(keys),
        other_tables=_table(results) != wanted,
        doubled=keys.total() - len(keys),
        malformed=len(index.load([results])[1]),
        trained_twice=trained - len(keys),
    )


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _one_of(name: str, processes: Sequence[int], rng: random.Random) -> dict[str, Callable[[], None]]:
    chosen = rng.choice(processes) if processes else None
    return {} if chosen is None else {name: lambda: _kill(chosen)}


def _around(word: bytes, variable: bytes) -> list[int]:
    """The processes with a word in their command line and a variable in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            around = (folder / "environ").read_bytes().split(b"\0")
            if variable in around and word in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def processes(place: Path, number: int, seed: int) -> dict[str, int]:
    """``executor.processes=2`` on this machine."""
    rng = random.Random(seed)

    def victims(drivers: Sequence[int]) -> Mapping[str, Callable[[], None]]:
        below = [process for driver in drivers for process in descendants(driver)]
        return _one_of("driver", drivers, rng) | _one_of("worker", below, rng)

    return rounds(place, number, seed, ["executor.processes=2"], victims)


def slurm(place: Path, number: int, seed: int) -> dict[str, int]:
    """A Slurm of one node, and a job array of two members."""
    rng, folder, here = random.Random(seed), place / "cluster", Path(__file__).parent / "slurm"
    subprocess.run([here / "start.sh", folder, "2"], check=True)
    conf = str(folder / "slurm.conf")
    os.environ |= {"SLURM_CONF": conf, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def controller() -> None:
        _kill(int((folder / "slurmctld.pid").read_text()))
        time.sleep(rng.uniform(0, 3))
        subprocess.run(["slurmctld", "-f", conf], check=True)

    def victims(drivers: Sequence[int]) -> Mapping[str, Callable[[], None]]:
        ours = f"SLURM_CONF={conf}".encode()
        members = _around(b"submitit.core._submit", ours)
        below = [process for member in members for process in descendants(member)]
        found = _one_of("driver", drivers, rng) | _one_of("worker", [*members, *below], rng)
        return {**found, "controller": controller}

    executor = ["executor=slurm", "executor.workers=2", "executor.cpus=1", "executor.memory=0.5", "executor.minutes=30"]
    try:
        return rounds(place, number, seed, executor, victims)
    finally:
        subprocess.run([here / "stop.sh", folder], check=True)


def ray(place: Path, number: int, seed: int) -> dict[str, int]:
    """A Ray cluster of two nodes."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "IN_CLUSTER": MARK}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    from ray.cluster_utils import Cluster

    rng, ours = random.Random(seed), f"IN_CLUSTER={MARK}".encode()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)

    def victims(drivers: Sequence[int]) -> Mapping[str, Callable[[], None]]:
        hosts = _around(b"ray::Host", ours)
        below = [process for host in hosts for process in descendants(host)]
        return _one_of("driver", drivers, rng) | _one_of("worker", [*hosts, *below], rng)

    try:
        return rounds(place, number, seed, ["executor=ray", f"executor.address='{cluster.address}'"], victims)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    name, where, *more = sys.argv[1:]
    kinds: dict[str, Any] = {"processes": processes, "slurm": slurm, "ray": ray}
    print(json.dumps(kinds[name](Path(where).absolute(), *map(int, more))))
