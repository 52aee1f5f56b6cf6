"""A stack of networks in training on a device: one step, one evaluation, and all that must be kept to go on later."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initbench.data import Samples
from initbench.engine.checkpoints import State
from initbench.engine.job import Floats, History, Ints, Progress
from initbench.engine.stacked.stack import Stack
from initbench.engine.stacked.state import OptimizerState
from initbench.seeding import own_generators
from initbench.tasks import Task

_EVAL_ROWS = 1024


@dataclass(frozen=True)
class Data:
    """The samples on the device, as one or several splits have them.

    Attributes:
        x: ``[n, features]``.
        y: ``[split, n]``.
        mean: ``[split, 1, features]``; ``std`` likewise.
        val: ``[split, n_val]``, row numbers; ``test`` likewise.
        n_outputs: how many numbers a network puts out.
        codes: whether ``x`` are the numbers of characters, and no quantities.
    """

    x: Tensor
    y: Tensor
    mean: Tensor
    std: Tensor
    val: Tensor
    test: Tensor
    n_outputs: int
    codes: bool = False

    def gather(self, rows: Tensor, splits: Tensor) -> tuple[Tensor, Tensor]:
        """The standardised samples of some rows, codes as int64, and what is to be said of them.

        Args:
            rows: ``[some, batch]``.
            splits: ``[some]``, whose rows these are.

        Returns:
            ``[some, batch, features]`` and ``[some, batch]``.
        """
        x, y = self.x.index_select(0, rows.reshape(-1)).view(*rows.shape, -1), self.y[splits[:, None], rows]
        if self.codes:
            return x.long(), y
        return torch.sub(x, self.mean[splits]).div_(self.std[splits]), y


@lru_cache(maxsize=1)
def on_device(device: torch.device, splits: tuple[Samples, ...]) -> Data:
    """The samples on a device, of which there is one ``x``; the last ones that were asked for stay there."""
    first = splits[0]
    # Torch has little that works on uint16.
    numbers = first.x.astype(np.int32) if first.x.dtype == np.uint16 else first.x

    def of_all(name: str) -> Tensor:
        return torch.tensor(np.stack([getattr(split, name) for split in splits]), device=device)

    return Data(
        torch.tensor(numbers, device=device),
        of_all("y"),
        of_all("mean")[:, None],
        of_all("std")[:, None],
        of_all("val"),
        of_all("test"),
        first.n_outputs,
        first.vocabulary > 0,
    )


def gradient(stack: Stack, task: Task, x: Tensor, y: Tensor, log: Tensor) -> Tensor:
    """The gradient of each network's mean loss with respect to what it puts out, of that shape.

    Args:
        stack: the networks.
        task: what they learn.
        x: ``[trial, batch, …]``.
        y: ``[trial, batch]``.
        log: ``[2, trial]``, filled with the summed loss and the number of correct samples, 0 where the task has none.
            Where something is predicted after every character, a sample's loss is the mean of these, and it is correct
            if the last one is.
    """
    outputs = stack.forward(x, training=True)
    if outputs.dim() < 4:
        return task.gradient(outputs, y, log)
    shape, right = outputs.shape, last_right(outputs, y)
    of_each = task.gradient(*after_each(outputs, x, y), log)
    log[0].div_(shape[2])
    log[1].copy_(right)
    return of_each.view(shape)


def after_each(outputs: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions of what comes after every character as so many samples more, with what did come.

    Args:
        outputs: ``[trial, batch, position, class]``.
        x: the characters, ``[trial, batch, position]``.
        y: what comes after the last one, ``[trial, batch]``.

    Returns:
        ``[trial, batch · position, class]`` and ``[trial, batch · position]``.
    """
    return outputs.flatten(1, 2), torch.cat([x[..., 1:], y.unsqueeze(2)], 2).flatten(1)


def last_right(outputs: Tensor, y: Tensor) -> Tensor:
    """How many of the predictions after the last character are right, ``[trial]``; arguments as before."""
    return (outputs[:, :, -1].argmax(-1) == y).sum(1)


@dataclass
class Training:
    """The trials still in training, and how far they are.

    Attributes:
        trials: which of the given ones they are.
        order_of: which of the orders each follows.
        split_of: which of the splits each order is of.
        stack: the networks.
        optimizer: of all of them.
        task: what they learn.
        draws: step to the stream of what the one network draws in it, if it does.
        lr: ``[trial, epoch, step]``.
        log: ``[step, 2, trial]``, see :meth:`step`, of the epoch they are in.
        epoch: whole epochs made.
        at: steps made of the one after them.
    """

    trials: Ints
    order_of: Tensor
    split_of: Tensor
    stack: Stack
    optimizer: OptimizerState
    task: Task
    lr: Tensor
    log: Tensor
    epoch: int = 0
    at: int = 0
    draws: Callable[[int], np.random.Generator] | None = None

    def __len__(self) -> int:
        return len(self.trials)

    def keep(self, rows: Ints) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        at = torch.tensor(rows, device=self.lr.device)
        self.trials, self.order_of, self.lr = self.trials[rows], self.order_of[at], self.lr[at]
        self.log = self.log[:, :, at]
        self.stack.keep(at)
        self.optimizer.keep(at)

    def state(self, trials: Ints, history: History) -> State | None:
        """All that the rest of the training depends on, of all ``trials`` that it began with.

        Those that are out of it have the parameters that the history gives them, and zeros elsewhere. None if the
        networks keep more than tensors.
        """
        if not self.stack.whole:
            return None
        going = np.isin(trials, self.trials)

        def of_all(values: Tensor, rest: Floats | None = None) -> NDArray[Any]:
            some = values.cpu().numpy()
            if going.all():
                return some
            result = np.zeros((len(trials), *some.shape[1:]), some.dtype) if rest is None else rest
            result[going] = some
            return result

        params = self.stack.params
        buffers = self.optimizer.buffers(self.stack.trained)
        return {
            "position": np.array([self.epoch, self.at]),
            "going": going,
            "log": of_all(self.log.movedim(2, 0)),
            **{f"params {name}": of_all(values, history.params[name][trials]) for name, values in params.items()},
            **{f"optimizer {name}": of_all(values) for name, values in buffers.items()},
            **history.part(trials),
        }

    def goon(self, trials: Ints, state: State, history: History) -> None:
        """Go on from what :meth:`state` gave; nothing has been trained yet."""
        history.fill(trials, state)
        going = state["going"]
        for name, values in history.params.items():
            values[trials[~going]] = state[f"params {name}"][~going]
        self.keep(np.flatnonzero(going))

        def of_these(name: str) -> Tensor:
            return torch.tensor(state[name][going], device=self.lr.device)

        for name, param in self.stack.params.items():
            param.copy_(of_these(f"params {name}"))
        self.epoch, self.at = map(int, state["position"])
        self.log.copy_(of_these("log").movedim(0, 2))
        steps_made = self.epoch * len(self.log) + self.at
        self.optimizer.begin_at(steps_made, {name: of_these(f"optimizer {name}") for name in self.stack.trained})

    def step(self, data: Data, rows: Tensor, lr: Tensor, log: Tensor) -> None:
        """One optimizer step of every trial.

        Args:
            data: all samples.
            rows: ``[order, batch]``, the samples of this step.
            lr: ``[trial, 1, 1]``, this step's learning rates.
            log: ``[2, trial]``, filled as by :func:`gradient`.
        """
        x, y = _each(data.gather(rows, self.split_of), self.order_of)
        step = self.epoch * len(self.log) + self.at
        # What a network draws in its forward pass it may draw again in the other.
        with own_generators(self.draws(step)) if self.draws else nullcontext():
            grad = gradient(self.stack, self.task, x, y, log)
            self.optimizer.begin_step()
            for name, param, add_gradient in self.stack.backward(grad):
                self.optimizer.update(name, param, add_gradient, lr)

    def evaluate(self, data: Data, rows: Tensor, progress: Progress) -> tuple[Tensor, Tensor, Tensor]:
        """Summed loss (float64), number of correct samples and of classes answered, each ``[trial]``, over its rows.

        ``rows`` are ``[split, n]``. ``progress`` is told of no step now and then: it may be there to stop the work.
        """
        loss = torch.zeros(len(self), dtype=torch.float64, device=rows.device)
        correct = torch.zeros(len(self), dtype=torch.int64, device=rows.device)
        # Two classes may be told by one output.
        answered = torch.zeros(len(self), max(2, data.n_outputs), dtype=torch.bool, device=rows.device)
        splits, split_of = torch.unique(self.split_of[self.order_of], return_inverse=True)
        for part in torch.split(rows[splits], _EVAL_ROWS, dim=1):
            progress(0)
            x, y = _each(data.gather(part, splits), split_of)
            outputs = self.stack.forward(x)
            after_last = outputs[:, :, -1] if outputs.dim() == 4 else outputs
            if self.task.answer is not None:
                answered.scatter_(1, self.task.answer(after_last), value=True)
            lost, right = self.task.measure(after_last, y)
            if outputs.dim() == 4:
                lost = self.task.measure(*after_each(outputs, x, y))[0] / outputs.shape[2]
            loss += lost
            correct += right
        return loss, correct, answered.sum(1)


def _each(some: tuple[Tensor, Tensor], of: Tensor) -> tuple[Tensor, Tensor]:
    """What some have, for each that is ``of`` one of them; no copy where there is but one."""
    x, y = some
    if len(x) == 1:
        return x.expand(len(of), -1, -1), y.expand(len(of), -1)
    return x[of], y[of]
