"""How long commands take, each in a process of its own, as a user waits for them.

Prints a table in Markdown: the median of some repetitions, their range, and the peak of the memory. What costs the time
is asserted by ``tests/test_cost.py``; the seconds themselves depend on the machine, so nothing asserts them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from handmade import finished, many

TIMED = (
    "import resource, sys\nfrom initbench.commands.app import main\n"
    "try: main(sys.argv[1:])\n"
    "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
)
# What is finished where nothing is to do: ten initializers too.
SWEEP = (
    "init=random,zero,gaussian,xavier,he,orthogonal,sparse,uniform,constant,positive",
    "dataset=synthetic",
    "epochs=2",
)
# Settings and seeds of ten initializers.
RECORDS = {1_000: (20, 5), 10_000: (20, 50), 1_000_000: (100, 1_000)}


def timed(arguments: list[str], folder: Path, cache: Path) -> tuple[float, float]:
    """Seconds and gigabytes of a command."""
    start = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", TIMED, *arguments],
        cwd=folder,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return time.perf_counter() - start, int(answer.stderr.split()[-1]) / 1e6


def row(name: str, made: list[tuple[float, float]]) -> str:
    """A line of the table."""
    seconds = [second for second, _ in made]
    spread = f"{min(seconds):.2f}–{max(seconds):.2f}"
    return f"| {name} | {statistics.median(seconds):.2f} | {spread} | {max(peak for _, peak in made):.2f} |"


def main(
    repeats: Annotated[int, typer.Option(help="How often each command is timed.", min=1)] = 5,
    most: Annotated[int, typer.Option(help="The largest number of records to report on.")] = 1_000_000,
) -> None:
    """Time the commands that are to answer at once, and those that grow with what there is."""
    # The records are made, not kept.
    os.fsync = lambda descriptor: None
    print("| command | median s | range | GB |", "| --- | ---: | ---: | ---: |", sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder, cache = Path(made), Path(made) / "cache"
        commands = {
            "--help": ["--help"],
            "list": ["list"],
            "run --dry-run, 1 cell": ["run", "--dry-run"],
            "run --dry-run, 10,000 cells": [
                "run",
                "--dry-run",
                "init=he,xavier",
                "depth=range(1,51)",
                "lr=range(1,101)",
            ],
        }
        for name, arguments in commands.items():
            timed(arguments, folder, cache)
            print(row(name, [timed(arguments, folder, cache) for _ in range(repeats)]), flush=True)
        for total, (settings, seeds) in RECORDS.items():
            if total <= most:
                many(folder / str(total), settings, seeds)
                report = ["report", str(folder / str(total))]
                print(row(f"report, {total:,} trials, first time", [timed(report, folder, cache)]), flush=True)
                print(
                    row(f"report, {total:,} trials", [timed(report, folder, cache) for _ in range(repeats)]), flush=True
                )
                asked = [f"lr=range(1,{settings + 1})", f"seeds={seeds}"]
                for lr in range(1, settings + 1):
                    finished(folder / f"run{total}", *SWEEP, f"lr={lr}", f"seeds={seeds}")
                again = ["run", *SWEEP, *asked, f"results={folder / f'run{total}'}"]
                print(row(f"run, {total:,} trials, all done, first time", [timed(again, folder, cache)]), flush=True)
                print(
                    row(f"run, {total:,} trials, all done", [timed(again, folder, cache) for _ in range(repeats)]),
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
