"""Train networks with torch: side by side in a stack on a GPU, one per thread where a CPU has no compiled code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from initbench.data import Samples
from initbench.engine.job import History, Ints, Job, Progress
from initbench.engine.stacked.stack import Stack
from initbench.engine.stacked.state import OptimizerState
from initbench.engine.threads import each

_EVAL_ROWS = 1024
_STEPS_BEFORE_CAPTURE = 3

# From parameters ``[trial, …]`` to the networks that have them.
Build = Callable[[Mapping[str, Tensor]], Stack]


def train(
    job: Job, build: Build, progress: Progress = lambda n_steps: None, device: torch.device | None = None
) -> History:
    """Train every network; a stack that does not fit into memory is halved.

    Args:
        job: trials of one order share their batches.
        build: makes the networks from their parameters.
        progress: called after each step.
        device: where to train; the CPU if None.

    Returns:
        The histories and final parameters, in the order of the given networks.

    Raises:
        torch.OutOfMemoryError: not even one network fits.
    """
    history = History.empty(job)
    device = device or torch.device("cpu")

    def train_some(trials: Ints) -> None:
        made = 0

        def advance(n_steps: int) -> None:
            nonlocal made
            made += n_steps
            progress(n_steps)

        try:
            _train(trials, job, build, advance, device, history)
            return
        except torch.OutOfMemoryError:
            if len(trials) == 1:
                raise
        # Outside the handler, where nothing of the failed attempt is alive any more. What it did is done again.
        progress(-made)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        for half in np.array_split(trials, 2):
            train_some(half)

    train_some(np.arange(len(job)))
    return history


def train_each(
    job: Job, build: Build, progress: Progress = lambda n_steps: None, threads: int | None = None
) -> History:
    """:func:`train` on the CPU, every network by itself, on one thread from start to end.

    Its numbers depend on nothing but itself: no product is shared out among threads, and no other network is near.

    Args:
        job: as that of :func:`train`.
        build: makes one network; called from several threads at a time.
        progress: called from the calling thread.
        threads: how many networks to train at once; all processors if None.
    """
    history = History.empty(job)
    device = torch.device("cpu")
    _on(device, job.samples)
    steps, stop = np.zeros(len(job), np.int64), np.zeros(1, np.int64)

    def train_one(trial: int) -> None:
        def advance(n_steps: int) -> None:
            if stop[0]:
                raise _Stopped
            steps[trial] += n_steps

        _train(np.array([trial]), job, build, advance, device, history)

    each(train_one, steps, stop, progress, threads)
    return history


class _Stopped(Exception):
    """Ends the work of a thread between two steps."""


@dataclass(frozen=True)
class _Data:
    """The samples on the device."""

    x: Tensor
    y: Tensor
    mean: Tensor
    std: Tensor

    def gather(self, rows: Tensor) -> Tensor:
        """The standardised samples of ``rows``, of shape ``[*rows.shape, features]``."""
        x = self.x.index_select(0, rows.reshape(-1))
        return torch.sub(x, self.mean).div_(self.std).view(*rows.shape, -1)


@lru_cache(maxsize=1)
def _on(device: torch.device, samples: Samples) -> _Data:
    return _Data(*(torch.tensor(a, device=device) for a in (samples.x, samples.y, samples.mean, samples.std)))


@dataclass
class _Training:
    """The trials still in training: which of the given ones they are, and which of the orders each follows."""

    trials: Ints
    order_of: Tensor
    stack: Stack
    optimizer: OptimizerState
    lr: Tensor

    def __len__(self) -> int:
        return len(self.trials)

    def keep(self, rows: Ints) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        at = torch.tensor(rows, device=self.lr.device)
        self.trials, self.order_of, self.lr = self.trials[rows], self.order_of[at], self.lr[at]
        self.stack.keep(at)
        self.optimizer.keep(at)

    def step(self, data: _Data, rows: Tensor, lr: Tensor, log: Tensor) -> None:
        """One optimizer step of every trial.

        Args:
            data: all samples.
            rows: ``[order, batch]``, the samples of this step.
            lr: ``[trial, 1, 1]``, this step's learning rates.
            log: ``[2, trial]``, filled with the summed loss before the step and the number of correct samples.
        """
        x, y = data.gather(rows), data.y[rows]
        if len(rows) == 1:
            x, y = x.expand(len(self), -1, -1), y.expand(len(self), -1)
        else:
            x, y = x[self.order_of], y[self.order_of]
        logits, target = self.stack.forward(x, training=True), y.unsqueeze(2)
        torch.sum(logits.max(2).indices == y, 1, dtype=log.dtype, out=log[1])
        log_p = log_softmax(logits, 2)
        torch.sum(log_p.gather(2, target).squeeze(2), 1, out=log[0]).neg_()
        # d(mean loss) / d(logit) = (softmax - one hot) / n
        minus_one = torch.full((), -1.0, dtype=log_p.dtype, device=log_p.device).expand_as(target)
        grad = log_p.exp_().scatter_add_(2, target, minus_one).div_(rows.shape[1])
        self.optimizer.begin_step()
        for name, param, add_gradient in self.stack.backward(grad):
            self.optimizer.update(name, param, add_gradient, lr)

    def evaluate(self, data: _Data, rows: Tensor, progress: Progress) -> tuple[Tensor, Tensor]:
        """Summed loss (float64) and number of correct samples over ``rows``, each ``[trial]``.

        ``progress`` is told of no step now and then: it may be there to stop the work.
        """
        loss = torch.zeros(len(self), dtype=torch.float64, device=rows.device)
        correct = torch.zeros(len(self), dtype=torch.int64, device=rows.device)
        for part in torch.split(rows, _EVAL_ROWS):
            progress(0)
            logits = self.stack.forward(data.gather(part).expand(len(self), -1, -1))
            y = data.y[part].expand(len(self), -1)
            loss -= log_softmax(logits, 2).gather(2, y.unsqueeze(2)).squeeze(2).sum(1).double()
            correct += (logits.max(2).indices == y).sum(1)
        return loss, correct


class _Step:
    """A step whose inputs and outputs lie at fixed places, so that a GPU can run it as one CUDA graph.

    The first steps run as they are: they allocate what a step needs, and make the libraries choose their algorithms.
    """

    def __init__(self, training: _Training, data: _Data, n_orders: int, batch: int) -> None:
        device = data.y.device
        self.training, self.data = training, data
        self.rows = torch.zeros(n_orders, batch, dtype=torch.int64, device=device)
        self.lr = torch.zeros(len(training), 1, 1, dtype=data.mean.dtype, device=device)
        self.log = torch.zeros(2, len(training), dtype=data.mean.dtype, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.eager_steps = _STEPS_BEFORE_CAPTURE if device.type == "cuda" and training.stack.capturable else -1

    def __call__(self, rows: Tensor, lr: Tensor, log: Tensor) -> None:
        """One step; arguments as in :meth:`_Training.step`, with batches of the given size."""
        self.rows.copy_(rows)
        self.lr.copy_(lr)
        if self.eager_steps == 0:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.training.step(self.data, self.rows, self.lr, self.log)
        self.eager_steps -= 1
        if self.graph is not None:
            self.graph.replay()
        else:
            self.training.step(self.data, self.rows, self.lr, self.log)
        log.copy_(self.log)


@torch.no_grad()
def _train(trials: Ints, job: Job, build: Build, progress: Progress, device: torch.device, history: History) -> None:
    """Train the given trials in one stack, and fill in their part of the history."""
    samples, schedule, orders = job.samples, job.schedule, job.orders
    data, n_train, batch = _on(device, samples), len(samples.train), schedule.batch_size
    kind = data.mean.dtype
    epochs = int(schedule.epochs[trials].max())
    val, test = (torch.tensor(rows, device=device) for rows in (samples.val, samples.test))
    params = {name: torch.tensor(values[trials], device=device) for name, values in job.networks.params.items()}
    used, order_of = np.unique(orders.of[trials], return_inverse=True)
    lrs = np.zeros((len(trials), epochs, -(-n_train // batch)))
    for row, trial in enumerate(trials):
        lrs[row, : schedule.epochs[trial]] = job.lrs(int(trial))
    training = _Training(
        trials,
        torch.tensor(order_of, device=device),
        build(params),
        OptimizerState(job.optimizer, {name: values[trials] for name, values in job.hyper.items()}, kind, device),
        torch.tensor(lrs, dtype=kind, device=device),
    )

    def validate(epoch: int) -> NDArray[np.bool_]:
        """Record the validation after ``epoch`` epochs; which trials' losses are finite."""
        loss, correct = (values.cpu().numpy() for values in training.evaluate(data, val, progress))
        finite: NDArray[np.bool_] = np.isfinite(loss)
        history.val_loss[training.trials[finite], epoch] = loss[finite] / len(samples.val)
        history.val_correct[training.trials[finite], epoch] = correct[finite]
        return finite

    validate(0)
    step = _Step(training, data, len(used), batch)
    for epoch in range(epochs):
        rows = torch.tensor(np.stack([orders.rows(int(order), epoch) for order in used]), device=device)
        batches = torch.split(rows, batch, dim=1)
        log = torch.empty(len(batches), 2, len(training), dtype=kind, device=device)
        for i, part in enumerate(batches):
            lr = training.lr[:, epoch, i].view(-1, 1, 1)
            if part.shape[1] == batch:
                step(part, lr, log[i])
            else:
                training.step(data, part, lr, log[i])
            progress(len(training))
        loss, correct = log[:, 0].double().cpu().numpy(), log[:, 1].long().cpu().numpy()
        bad = np.vstack([~np.isfinite(loss), ~validate(epoch + 1)])
        diverged = bad.any(0)
        gone = training.trials[diverged]
        history.diverged_at[gone] = bad.argmax(0)[diverged] + epoch * len(batches)
        history.val_loss[gone, epoch + 1], history.val_correct[gone, epoch + 1] = np.nan, -1
        going = training.trials[~diverged]
        history.train_loss[going, epoch] = loss.sum(0)[~diverged] / n_train
        history.train_correct[going, epoch] = correct.sum(0)[~diverged]
        if diverged.any():
            training.keep(np.flatnonzero(~diverged))
        finished = schedule.epochs[training.trials] == epoch + 1
        if finished.any():
            _finish(training, np.flatnonzero(finished), data, test, progress, history)
            training.keep(np.flatnonzero(~finished))
        if not len(training):
            return
        if len(training) < len(step.lr):
            step = _Step(training, data, len(used), batch)


def _finish(training: _Training, rows: Ints, data: _Data, test: Tensor, progress: Progress, history: History) -> None:
    """Record the end of the trials at these positions of the stack."""
    trials = training.trials[rows]
    loss, correct = training.evaluate(data, test, progress)
    history.test_loss[trials] = loss.cpu().numpy()[rows] / len(test)
    history.test_correct[trials] = correct.cpu().numpy()[rows]
    for name, values in training.stack.params.items():
        history.params[name][trials] = values.cpu().numpy()[rows]
