"""Checkpoints after some of which nothing goes on: shared by the tests of what is resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from initbench.engine.checkpoints import State
from initbench.engine.job import Ints
from initbench.experiment.checkpoints import Files

Result = TypeVar("Result")


class Killed(Exception):
    pass


class Killing(Files):
    """Checkpoints of which every one is written; after some of them nothing goes on."""

    share = 0

    def __init__(self, folder: Path, n_trials: int, after: float, seconds: float = 0.0) -> None:
        super().__init__(folder, [f"{trial:032x}" for trial in range(n_trials)], {"engine": "tested"}, seconds)
        self.left, self.found = after, 0

    def find(self, trials: Ints, state: Callable[[], State | None]) -> State | None:
        found = super().find(trials, state)
        self.found += found is not None
        return found

    def offer(self, trials: Ints, state: Callable[[], State | None], finished: bool = False) -> None:
        super().offer(trials, state, finished)
        self.left -= 1
        if self.left < 0:
            raise Killed


def killed_until_whole(
    folder: Path, n_trials: int, after: float, work: Callable[[Killing], Result]
) -> tuple[Result, int, int]:
    """The result of work that is killed again and again; in how many lives, and how many checkpoints they found."""
    lives = found = 0
    while True:
        kept = Killing(folder, n_trials, after)
        lives += 1
        try:
            return work(kept), lives, found
        except Killed:
            found += kept.found
