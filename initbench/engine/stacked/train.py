"""Train networks with torch: side by side in a stack on a GPU, one per thread where a CPU has no compiled code."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from initbench.engine.checkpoints import NONE, Checkpoints, State
from initbench.engine.job import History, Ints, Job, Progress
from initbench.engine.stacked.stack import Stack
from initbench.engine.stacked.state import OptimizerState
from initbench.engine.stacked.training import Data, Training, on_device
from initbench.engine.threads import each
from initbench.tasks import TASKS

_STEPS_BEFORE_CAPTURE = 3

# From parameters ``[trial, …]`` to the networks that have them.
Build = Callable[[Mapping[str, Tensor]], Stack]


def train(
    job: Job,
    build: Build,
    progress: Progress = lambda n_steps: None,
    checkpoints: Checkpoints = NONE,
    device: torch.device | None = None,
) -> History:
    """Train every network; a stack that does not fit into memory is halved.

    Args:
        job: trials of one order share their batches.
        build: makes the networks from their parameters.
        progress: called after each step.
        checkpoints: of the whole stack.
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
            _train(trials, job, build, advance, checkpoints, device, history)
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
    job: Job,
    build: Build,
    progress: Progress = lambda n_steps: None,
    checkpoints: Checkpoints = NONE,
    threads: int | None = None,
    device: torch.device | None = None,
) -> History:
    """:func:`train`, every network by itself, on one thread from start to end.

    Its numbers depend on nothing but itself: no product is shared out among threads, and no other network is near.

    Args:
        job: as that of :func:`train`.
        build: makes one network; called from several threads at a time.
        progress: called from the calling thread.
        checkpoints: asked and told from the threads that train.
        threads: how many networks to train at once; all processors if None.
        device: where to train; the CPU if None.
    """
    history = History.empty(job)
    device = device or torch.device("cpu")
    on_device(device, job.splits)
    steps, stop = np.zeros(len(job), np.int64), np.zeros(1, np.int64)

    def train_one(trial: int) -> None:
        def advance(n_steps: int) -> None:
            if stop[0]:
                raise _Stopped
            steps[trial] += n_steps

        _train(np.array([trial]), job, build, advance, checkpoints, device, history)

    each(train_one, steps, stop, progress, threads)
    return history


class _Stopped(Exception):
    """Ends the work of a thread between two steps."""


class _Step:
    """A step whose inputs and outputs lie at fixed places, so that a GPU can run it as one CUDA graph.

    The first steps run as they are: they allocate what a step needs, and make the libraries choose their algorithms.
    """

    def __init__(self, training: Training, data: Data, n_orders: int, batch: int) -> None:
        device = data.y.device
        self.training, self.data = training, data
        self.rows = torch.zeros(n_orders, batch, dtype=torch.int64, device=device)
        self.lr = torch.zeros(len(training), 1, 1, dtype=data.mean.dtype, device=device)
        self.log = torch.zeros(2, len(training), dtype=data.mean.dtype, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.eager_steps = _STEPS_BEFORE_CAPTURE if device.type == "cuda" and training.stack.capturable else -1

    def __call__(self, rows: Tensor, lr: Tensor, log: Tensor) -> None:
        """One step; arguments as in :meth:`Training.step`, with batches of the given size."""
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
def _train(
    trials: Ints,
    job: Job,
    build: Build,
    progress: Progress,
    checkpoints: Checkpoints,
    device: torch.device,
    history: History,
) -> None:
    """Train the given trials in one stack, and fill in their part of the history."""
    splits, schedule, orders = job.splits, job.schedule, job.orders
    data, samples = on_device(device, splits), splits[0]
    n_train, batch = len(samples.train), schedule.batch_size
    kind = data.mean.dtype
    epochs, n_steps = int(schedule.epochs[trials].max()), -(-n_train // batch)
    params = {name: torch.tensor(values[trials], device=device) for name, values in job.networks.params.items()}
    used, order_of = np.unique(orders.of[trials], return_inverse=True)
    lrs = np.zeros((len(trials), epochs, n_steps))
    for row, trial in enumerate(trials):
        lrs[row, : schedule.epochs[trial]] = job.lrs(int(trial))
    training = Training(
        trials,
        torch.tensor(order_of, device=device),
        torch.tensor([splits.index(job.samples[order]) for order in used], device=device),
        build(params),
        OptimizerState(job.optimizer, {name: values[trials] for name, values in job.hyper.items()}, kind, device),
        TASKS[samples.task],
        torch.tensor(lrs, dtype=kind, device=device),
        torch.zeros(n_steps, 2, len(trials), dtype=kind, device=device),
        draws=partial(job.draws, int(trials[0])) if job.draws else None,
    )

    def validate(epoch: int) -> NDArray[np.bool_]:
        """Record the validation after ``epoch`` epochs; which trials' losses are finite."""
        loss, correct, _ = (values.cpu().numpy() for values in training.evaluate(data, data.val, progress))
        finite: NDArray[np.bool_] = np.isfinite(loss)
        history.val_loss[training.trials[finite], epoch] = loss[finite] / len(samples.val)
        if training.task.counts:
            history.val_correct[training.trials[finite], epoch] = correct[finite]
        return finite

    def state() -> State | None:
        return training.state(trials, history)

    found = checkpoints.find(trials, state)
    if found is None:
        validate(0)
    else:
        training.goon(trials, found, history)
        progress(len(trials) * (training.epoch * n_steps + training.at))
    step = _Step(training, data, len(used), batch)
    while True:
        finished = schedule.epochs[training.trials] == training.epoch
        if finished.all():
            checkpoints.offer(trials, state, finished=True)
        if finished.any():
            _finish(training, np.flatnonzero(finished), data, progress, history)
            training.keep(np.flatnonzero(~finished))
        if not len(training):
            return
        if len(training) < len(step.lr):
            step = _Step(training, data, len(used), batch)
        epoch = training.epoch
        rows = torch.tensor(np.stack([orders.rows(int(order), epoch) for order in used]), device=device)
        batches = torch.split(rows, batch, dim=1)
        for i in range(training.at, n_steps):
            part, lr = batches[i], training.lr[:, epoch, i].view(-1, 1, 1)
            if part.shape[1] == batch and device.type != "cpu":
                step(part, lr, training.log[i])
            else:
                training.step(data, part, lr, training.log[i])
            training.at = i + 1
            progress(len(training))
            checkpoints.offer(trials, state)
        loss, correct = training.log[:, 0].double().cpu().numpy(), training.log[:, 1].long().cpu().numpy()
        bad = np.vstack([~np.isfinite(loss), ~validate(epoch + 1)])
        diverged = bad.any(0)
        gone = training.trials[diverged]
        history.diverged_at[gone] = bad.argmax(0)[diverged] + epoch * n_steps
        history.val_loss[gone, epoch + 1], history.val_correct[gone, epoch + 1] = np.nan, -1
        going = training.trials[~diverged]
        history.train_loss[going, epoch] = loss.sum(0)[~diverged] / n_train
        if training.task.counts:
            history.train_correct[going, epoch] = correct.sum(0)[~diverged]
        training.epoch, training.at = epoch + 1, 0
        if diverged.any():
            training.keep(np.flatnonzero(~diverged))


def _finish(training: Training, rows: Ints, data: Data, progress: Progress, history: History) -> None:
    """Record the end of the trials at these positions of the stack."""
    trials = training.trials[rows]
    loss, correct, n_answers = training.evaluate(data, data.test, progress)
    history.test_loss[trials] = loss.cpu().numpy()[rows] / data.test.shape[1]
    if training.task.counts:
        history.test_correct[trials] = correct.cpu().numpy()[rows]
        history.test_answers[trials] = n_answers.cpu().numpy()[rows]
    for name, values in training.stack.params.items():
        history.params[name][trials] = values.cpu().numpy()[rows]
