"""Where an engine asks for the states of networks that were not finished, and offers such states; it knows no files."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from initbench.engine.job import Ints

# All that the rest of a training depends on, between two steps; names, shapes and types follow from the job.
State = Mapping[str, NDArray[Any]]


class Checkpoints:
    """Whoever trains asks here where to begin, and offers here how far it is. This one keeps nothing.

    Networks that are trained together share a state: on a CPU it is of one network, on a GPU of a stack.
    """

    def find(self, trials: Ints, state: Callable[[], State | None]) -> State | None:
        """The last state that was kept of these networks, with the arrays of ``state()``; None if there is none."""
        return None

    def offer(self, trials: Ints, state: Callable[[], State | None], finished: bool = False) -> None:
        """Called between two steps, as often as one likes; ``state`` is called if the state is to be kept.

        Args:
            trials: the networks, by their numbers in the job.
            state: what to keep, which may change after this call; None where that cannot be kept.
            finished: nothing but the test remains to be done.
        """


NONE = Checkpoints()
