"""Whether many workers on one results folder keep up, with chunks that only sleep, shared and recorded as real ones.

``python benchmarks/executors.py [--workers 64] [--chunks 10000] [--seconds 1] [--folder DIR]`` forks the workers. Each
takes chunks, sleeps instead of training, and publishes, as the jobs of ``executor=slurm`` do. It prints the wall time,
the least that it could be, what was trained twice, and what a chunk costs beside its training.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from handmade import make_record, recorded  # noqa: E402

from initbench import records  # noqa: E402
from initbench.experiment.sharing import Sharing  # noqa: E402


def work(results: Path, made: dict, chunks: list[list[str]], turn: tuple[int, int], seconds: float, log: Path) -> None:
    """What one worker does, and a line for each chunk: how long it took to get it, and to publish it."""
    with Sharing(results, turn=turn) as sharing, log.open("a") as file:
        began = time.monotonic()
        for part in sharing.parts(chunks):
            taken = time.monotonic()
            time.sleep(seconds)
            slept = time.monotonic()
            records.publish(results / "run" / "records", [made[key] for key in part])
            done = time.monotonic()
            file.write(f"{taken - began} {done - slept}\n")
            began = done


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    made = {record.key: record for record in recorded(make_record(seed=seed) for seed in range(asked.chunks))}
    chunks = [[key] for key in made]
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder, began = Path(name), time.monotonic()
        children = []
        for number in range(asked.workers):
            child = os.fork()
            if not child:
                turn = (number, asked.workers)
                work(folder / "results", made, chunks, turn, asked.seconds, folder / f"{number}.log")
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        wall, least = time.monotonic() - began, asked.chunks * asked.seconds / asked.workers
        lines = [line.split() for log in folder.glob("*.log") for line in log.read_text().splitlines()]
        n_files = len(records.files([folder / "results"]))
    take, publish = ([float(line[i]) for line in lines] for i in (0, 1))
    print(
        f"{asked.workers} workers, {asked.chunks} chunks of {asked.seconds:g} s on {os.cpu_count()} cores: {wall:.0f} s"
    )
    print(f"at least {least:.0f} s, so {least / wall:.0%} of what is possible; {n_files} chunks recorded")
    print(f"trained twice: {len(lines) - asked.chunks}")
    for what, seconds in (("to take a chunk", take), ("to publish it", publish)):
        worst = sorted(seconds)[len(seconds) * 99 // 100]
        print(f"{what}: median {statistics.median(seconds) * 1e3:.1f} ms, 99 % {worst * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
