"""Packing and unpacking, killed before and after each file operation, then looked at, and done again.

Run as a script: it forks, which is best done where no thread runs. It prints one line of JSON.
"""

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from exiting import Exit
from handmade import make_record, publish
from killing import fork, wait

from initbench import pack, records, unpack

CHUNKS = [[make_record(seed=seed, correct=seed) for seed in range(start, start + 3)] for start in range(0, 9, 3)]


def plain(folder: Path) -> None:
    """Three files of three trials."""
    for chunk in CHUNKS:
        publish(folder, chunk)


def mixed(folder: Path) -> None:
    """A pack of two of them, a third file, and one of the packed ones once more."""
    for chunk in CHUNKS[:2]:
        publish(folder, chunk)
    pack(folder)
    for chunk in CHUNKS[1:]:
        publish(folder, chunk)


def packed(folder: Path) -> None:
    plain(folder)
    pack(folder)


def trials(folder: Path) -> list[str]:
    """What is there, whole."""
    loaded = records.load([folder])
    assert not loaded.damaged, loaded.damaged
    return sorted(map(repr, loaded.records.values()))


def main(top: Path) -> dict[str, int]:
    sums: Counter[str] = Counter()
    cases: dict[str, tuple[Callable[[Path], None], Callable[[Path], object], int]] = {
        "plain": (plain, pack, 1),
        "mixed": (mixed, pack, 1),
        "unpack": (packed, unpack, 3),
    }
    for name, (prepare, task, n_files) in cases.items():
        number, ended = 0, True
        while ended:
            number += 1
            for after in (False, True):
                folder = top / f"{name}-{number}-{after}" / "records"
                prepare(folder)
                before = trials(folder)
                exit_ = Exit(folder, number, after, folder.with_name("ended"))

                code = wait(fork(partial(ending, exit_, task, folder)))
                ended = exit_.marker.exists()
                assert code == (-signal.SIGKILL if ended else 0), code
                sums.update(kills=ended, lost=trials(folder) != before)
                assert wait(fork(partial(again, task, folder, n_files))) == 0
                sums.update(lost=trials(folder) != before, wrong_files=len(list(folder.iterdir())) != n_files)
    return dict(sums)


def ending(exit_: Exit, task: Callable[[Path], object], folder: Path) -> None:
    exit_.arm()
    task(folder)


def again(task: Callable[[Path], object], folder: Path, n_files: int) -> None:
    """As a user would; where the last thing was done before the kill, there is nothing to unpack any more."""
    if task is pack or any(path.suffix == ".xz" for path in folder.iterdir()):
        task(folder)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]).absolute())))
