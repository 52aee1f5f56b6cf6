"""Checkpoints after some of which nothing goes on: shared by the tests of what is resumed."""

from collections.abc import Callable
from pathlib import Path

from initbench.engine.checkpoints import State
from initbench.engine.job import Ints
from initbench.experiment.checkpoints import Files


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
