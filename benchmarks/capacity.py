"""How many workers one results folder carries: from constants that are measured here, and what a sweep asks for.

``python benchmarks/capacity.py [--seconds 120] [--trials 24] [--operation MS]`` measures what it costs to list, read
and publish records and to look at the claims of others, and prints for 10⁵ and 10⁶ trials and 1 to 1,000 workers the
operations on files, the bytes, the wall time, and which part of it the lock of the claims is held. With
``--operation`` each operation on a file takes so many milliseconds more, as on a network file system.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from handmade import make_record, recorded  # noqa: E402

from initbench import records  # noqa: E402
from initbench.experiment.sharing import Sharing, _files  # noqa: E402

# Files and other workers with which the constants are measured.
_FILES, _OTHERS = 1000, 64


class Constants(NamedTuple):
    """Seconds: to publish a chunk, list a file, read a chunk's file, look at a claim; and bytes of a chunk."""

    publish: float
    list: float
    read: float
    look: float
    bytes: int


def measure(trials: int) -> Constants:
    """With chunks of so many trials, on the file system of temporary files."""
    made = recorded(make_record(seed=seed) for seed in range(_FILES * trials))
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        results = Path(name)
        sharing = Sharing(results)

        def publish() -> None:
            for first in range(0, len(made), trials):
                records.publish(results / "run" / "records", made[first : first + trials])

        publishing = _seconds(publish) / _FILES
        listing = min(_seconds(lambda: _files(results)) for _ in range(5)) / _FILES
        reading = _seconds(sharing.recorded) / _FILES
        size = sum(path.stat().st_size for path in records.files([results])) // _FILES
        for _ in range(_OTHERS):
            stack.enter_context(Sharing(results, ()))
        looking = min(_seconds(sharing.others) for _ in range(5)) / _OTHERS
    return Constants(publishing, listing, reading, looking, size)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def sweep(n: int, workers: int, trials: int, seconds: float, one: Constants, operation: float) -> dict[str, float]:
    """What a sweep of so many trials costs, of which chunks take so many seconds.

    Each worker takes each chunk alone, under the lock, where it looks at all claims and lists all files; each reads
    each file once. An open, a lock, a read and a close of a claim are four operations, of a record three; to publish
    takes ten, as ``tests/killing.py exits`` counts them; a file in a list takes a hundredth.
    """
    chunks = math.ceil(n / trials)
    held = (workers - 1) * (one.look + 4 * operation) + chunks / 2 * (one.list + operation / 100) + 5 * operation
    own = one.publish + 10 * operation + chunks / 2 * one.list + workers * (one.read + 3 * operation)
    alone = chunks / workers * (seconds + own + held)
    # Where all wait for the lock it decides.
    wall = max(alone, chunks * held)
    looks = chunks * (4 * (workers - 1) + 5)
    return {
        "operations": looks + chunks * (3 * workers + 10),
        "bytes": chunks * one.bytes,
        "wall": wall,
        "possible": chunks * seconds / workers / wall,
        "lock": chunks * held / wall,
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--operation", type=float, default=0.0)
    asked = parser.parse_args()
    one = measure(asked.trials)
    print(
        f"a chunk of {asked.trials} trials: {one.bytes:,} bytes, published in {one.publish * 1e3:.1f} ms, "
        f"read in {one.read * 1e3:.2f} ms; a claim looked at in {one.look * 1e6:.0f} µs, "
        f"a file listed in {one.list * 1e6:.1f} µs"
    )
    print("| trials | workers | operations on files | bytes | wall | of what is possible | the lock is held |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for n in (10**5, 10**6):
        for workers in (1, 8, 64, 256, 1000):
            found = sweep(n, workers, asked.trials, asked.seconds, one, asked.operation / 1e3)
            print(
                f"| {n:,} | {workers:,} | {found['operations']:.1e} | {found['bytes'] / 1e6:,.0f} MB "
                f"| {found['wall'] / 3600:,.1f} h | {found['possible']:.1%} | {found['lock']:.1%} |"
            )


if __name__ == "__main__":
    main()
