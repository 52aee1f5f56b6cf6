"""What an initializer of whole networks is given, and what it gives back."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.activations import ACTIVATIONS
from initbench.engine.checkpoints import NONE, Checkpoints, State
from initbench.seeding import permutation

Floats = NDArray[np.floating[Any]]
ParamArrays = dict[str, NDArray[np.float32]]


def moments(x: NDArray[Any], mean: Floats, by_std: Floats) -> tuple[NDArray[np.float32], float]:
    """Of ``(x - mean) * by_std``: the mean ``[features]``, and the variances summed over the features."""
    n, n_features = x.shape
    total, squares = np.zeros(n_features), np.zeros(n_features)
    # A few rows at a time: a float64 copy of all of MNIST would be 400 MB.
    for start in range(0, n, 4096):
        block = (x[start : start + 4096] - mean.astype(np.float64)) * by_std
        total += block.sum(axis=0)
        squares += (block**2).sum(axis=0)
    return (total / n).astype(np.float32), float((squares / n - (total / n) ** 2).sum())


@dataclass(frozen=True, eq=False)
class Inputs:
    """Training inputs: no label, and no validation or test sample.

    Attributes:
        source: ``[all, features]``, uint8 or float, of which ``rows`` are the training inputs; shared by all problems.
        mean: ``[features]``; ``std`` likewise: the networks see ``(x - mean) / std``.
        rows: ``[n]``; None where all are.
    """

    source: NDArray[Any]
    mean: Floats
    std: Floats
    rows: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not len(self):
            raise ValueError("it needs training inputs; there are none")

    def __len__(self) -> int:
        return len(self.source if self.rows is None else self.rows)

    @property
    def x(self) -> NDArray[Any]:
        """``[n, features]``, a copy that nobody keeps where they are not all there are."""
        return self.source if self.rows is None else self.source[self.rows]

    @cached_property
    def moments(self) -> tuple[NDArray[np.float32], float]:
        """As :func:`moments`, of the standardised inputs."""
        return moments(self.x, self.mean, 1 / self.std.astype(np.float64))

    def batch(self, size: int, seed: int) -> NDArray[np.float64]:
        """``[size, features]`` standardised inputs, or all where there are fewer, chosen by the seed's stream."""
        chosen = np.sort(permutation(len(self), seed, "pretrain-order", "batch")[:size])
        rows = chosen if self.rows is None else self.rows[chosen]
        return (self.source[rows].astype(np.float64) - self.mean) / self.std


class Kept:
    """What is kept of one network while a law that trains works on it, and for how long that has been.

    It goes on where a process that was killed has left it, with the same bits: what is found is all that the rest of
    the work depends on.
    """

    def __init__(self, checkpoints: Checkpoints = NONE, number: int = 0) -> None:
        """Nothing has been done yet.

        Args:
            checkpoints: of all networks that are prepared together.
            number: of this one among them.
        """
        self._checkpoints, self._here = checkpoints, np.array([number])
        self._since, self._before = time.perf_counter(), 0.0

    @property
    def seconds(self) -> float:
        """On the wall, with those that were worked before."""
        return self._before + time.perf_counter() - self._since

    def find(self, state: Callable[[], State]) -> State | None:
        """The state to go on from, with the arrays of ``state()``; None to begin with."""
        found = self._checkpoints.find(self._here, lambda: self._timed(state()))
        if found is not None:
            self._before = float(found["seconds"][0])
        return found

    def offer(self, state: Callable[[], State], finished: bool = False) -> None:
        """Called between two pieces of work, as often as one likes."""
        self._checkpoints.offer(self._here, lambda: self._timed(state()), finished)

    def _timed(self, state: State) -> State:
        return {**state, "seconds": np.array([self.seconds])}


@dataclass(frozen=True, eq=False)
class Problem:
    """All that an initializer of whole networks may know.

    Attributes:
        params: the network drawn by the base law, ``layers.0.weight`` ``[out, in]``, ``layers.0.bias`` ``[out]`` and so
            on, the output layer last; not to be modified.
        inputs: the training inputs.
        activation: of the hidden layers, with its parameters.
        seed: of the trial; it names the random streams.
        steps: one number, raised by one after every optimizer step, for whoever shows progress.
        stop: one number; where it is not 0, long work should end early, its result is not wanted any more.
        blas: whose matrix product compiled code calls, see :func:`initbench.engine.compiled.blas.chosen`.
        kept: where to begin, and who is told how far long work is.
    """

    params: ParamArrays
    inputs: Inputs
    activation: str
    activation_params: Mapping[str, float]
    seed: int
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    stop: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    blas: str = "auto"
    kept: Kept = field(default_factory=Kept)

    @property
    def n_layers(self) -> int:
        """Weight matrices, the output layer's among them."""
        return len(self.params) // 2

    @property
    def parameter(self) -> float:
        """The one parameter the activation has, if any."""
        return ACTIVATIONS[self.activation].parameter(self.activation_params)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The network that training starts from, and what it cost.

    Attributes:
        params: as in :class:`Problem`.
        samples: training inputs that were read, each time counted.
        steps: optimizer steps.
        reconstruction: of every pre-trained layer, the mean squared error over the training inputs, summed over the
            features, and that of always answering with the mean.
        seconds: on the wall.
    """

    params: ParamArrays
    samples: int = 0
    steps: int = 0
    reconstruction: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
