"""What an engine is given and what it gives back: arrays and numbers, whichever engine does the work."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.data import Samples

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

# Called now and then with the number of optimizer steps made since, summed over the trials.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Networks:
    """The networks to train.

    Attributes:
        params: name to ``[trial, …]``: weights ``layers.0.weight`` and biases ``layers.0.bias`` in torch's layout.
        activation: a name of :data:`initbench.activations.ACTIVATIONS`, with its parameters.
    """

    params: Mapping[str, Floats]
    activation: str
    activation_params: Mapping[str, float]

    def __len__(self) -> int:
        return len(next(iter(self.params.values())))


@dataclass(frozen=True)
class Orders:
    """In which order each trial sees the training samples.

    Attributes:
        of: ``[trial]``, the number of the order a trial follows; trials of one seed share theirs.
        rows: (order, epoch) to row numbers ``[n_train]``.
    """

    of: Ints
    rows: Callable[[int, int], Ints]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: ``lr`` and ``epochs`` are ``[trial]``, ``warmup`` is in epochs.

    The last batch of an epoch may be smaller than ``batch_size``.
    """

    lr: Floats
    epochs: Ints
    batch_size: int
    name: str = "constant"
    warmup: float = 0.0

    def factors(self, n_train: int, epochs: int) -> Floats:
        """What the learning rate is multiplied by, ``[epoch, step]``, in a training of so many epochs."""
        n_steps = -(-n_train // self.batch_size)
        total, warmup = n_steps * epochs, round(self.warmup * n_steps)
        values = [schedule_factor(self.name, step, total, warmup) for step in range(total)]
        return np.array(values).reshape(epochs, n_steps)


def schedule_factor(name: str, step: int, total: int, warmup: int) -> float:
    """What the learning rate is multiplied by at ``step`` (0-based) of ``total``.

    Rises linearly over the first ``warmup`` steps, then stays (``constant``) or falls to zero (``cosine``, ``linear``)
    where step ``total`` would be.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return {"constant": 1.0, "cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress}[name]


@dataclass(frozen=True)
class Job:
    """All that an engine is given to train some networks; it modifies none of it.

    Attributes:
        samples: the data as the trials of each order see them, ``[order]``: of one ``x``, one task, and equal sizes.
        networks: with their initial parameters.
        optimizer: a name of :data:`initbench.engine.optimizers.OPTIMIZERS`.
        hyper: each of its hyperparameters, ``[trial]``; one that is no float is the same for all trials.
        schedule: learning rates, epochs and batch size.
        orders: in which order each trial sees the samples.
        blas: whose matrix product the compiled engine calls, see :func:`initbench.engine.compiled.blas.chosen`.
        draws: (trial, step) to the stream of what a network itself draws in that step of its training; None where
            networks draw nothing. With it each is trained by itself.
    """

    samples: Sequence[Samples]
    networks: Networks
    optimizer: str
    hyper: Mapping[str, NDArray[Any]]
    schedule: Schedule
    orders: Orders
    blas: str = "auto"
    draws: Callable[[int, int], np.random.Generator] | None = None

    def __len__(self) -> int:
        return len(self.networks)

    @property
    def splits(self) -> tuple[Samples, ...]:
        """The different ones among the samples."""
        return tuple(dict.fromkeys(self.samples))

    def of(self, trial: int) -> Samples:
        """The data as a trial sees them."""
        order: int = self.orders.of[trial]
        return self.samples[order]

    def lrs(self, trial: int) -> Floats:
        """The learning rates of a trial, ``[epoch, step]``."""
        factors = self.schedule.factors(len(self.of(trial).train), int(self.schedule.epochs[trial]))
        return np.asarray(self.schedule.lr[trial] * factors)


@dataclass(frozen=True)
class History:
    """What happened to every trial; losses are means per sample, correct counts are integers.

    What was not reached, for divergence or because a trial trains for fewer epochs, is NaN or -1; so are the
    counts of a task without correct predictions.

    Attributes:
        diverged_at: ``[trial]``, the step whose loss was first NaN or infinite, -1 if none.
        train_loss: ``[trial, epoch]``, over the batches of the epoch as they were seen; ``train_correct`` likewise.
        val_loss: ``[trial, epoch + 1]``, before training and after each epoch; ``val_correct`` likewise.
        test_loss: ``[trial]``, with the final weights; ``test_correct`` likewise, and ``test_answers``: how many
            different classes are predicted.
        params: name to ``[trial, …]``, final; of a diverged trial as they were given.
    """

    diverged_at: Ints
    train_loss: Floats
    train_correct: Ints
    val_loss: Floats
    val_correct: Ints
    test_loss: Floats
    test_correct: Ints
    test_answers: Ints
    params: dict[str, Floats]

    @classmethod
    def empty(cls, job: Job) -> "History":
        """A history to be filled in."""
        n, epochs = len(job), int(job.schedule.epochs.max())
        return cls(
            diverged_at=np.full(n, -1),
            train_loss=np.full((n, epochs), np.nan),
            train_correct=np.full((n, epochs), -1),
            val_loss=np.full((n, epochs + 1), np.nan),
            val_correct=np.full((n, epochs + 1), -1),
            test_loss=np.full(n, np.nan),
            test_correct=np.full(n, -1),
            test_answers=np.full(n, -1),
            params={name: np.array(values) for name, values in job.networks.params.items()},
        )

    def part(self, trials: Ints) -> dict[str, NDArray[Any]]:
        """What is known of some trials, all but the parameters, by the names of the attributes."""
        return {name: values[trials] for name, values in vars(self).items() if name != "params"}

    def fill(self, trials: Ints, part: Mapping[str, NDArray[Any]]) -> None:
        """Take over what :meth:`part` gave; what else ``part`` holds is not looked at."""
        for name in self.part(trials):
            getattr(self, name)[trials] = part[name]
