"""Train perceptrons and convolutional networks on the CPU: as many at once as there are threads, each by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from initbench.activations import ACTIVATIONS
from initbench.data import Samples
from initbench.engine.checkpoints import NONE, Checkpoints, State
from initbench.engine.compiled import blas, convolution, perceptron
from initbench.engine.compiled.activations import KERNELS
from initbench.engine.compiled.convolution import Images, Maps
from initbench.engine.compiled.memory import Inputs, Signals
from initbench.engine.compiled.perceptron import Workspace
from initbench.engine.job import Floats, History, Job, Progress
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.threads import each
from initbench.models import Architecture
from initbench.tasks import USUAL

# Compiled code comes back after about this much work: a second or a few.
_CALL_FLOPS = 1e11


def lack(architecture: Architecture, optimizer: str) -> str | None:
    """What keeps this engine from training networks of an architecture, in words; None if nothing does."""
    if architecture.task != USUAL:
        return f"the compiled engine trains for {USUAL} only, not for {architecture.task}"
    if not architecture.is_plain and not (
        architecture.model == "cnn" and architecture.depth and not architecture.normed
    ):
        return "the compiled engine trains perceptrons and plain convolutional networks only, without normalisation"
    if architecture.activation not in KERNELS:
        return f"the activation '{architecture.activation}' has no compiled code"
    if OPTIMIZERS[optimizer].update is None:
        return f"the optimizer '{optimizer}' has no compiled code"
    return None


def train(
    job: Job,
    progress: Progress = lambda n_steps: None,
    checkpoints: Checkpoints = NONE,
    threads: int | None = None,
    images: Images | None = None,
) -> History:
    """Train every network, each by itself.

    A network is trained on one thread from start to end, so its numbers depend on nothing but itself.

    Args:
        job: of networks of one kind, whose activation and optimizer have compiled code.
        progress: called from the calling thread.
        checkpoints: asked and told from the threads that train.
        threads: how many networks to train at once; all processors if None.
        images: what convolutional networks are given; None where the job is of multilayer perceptrons.

    Returns:
        The histories and final parameters, in the order of the given networks.
    """
    history = History.empty(job)
    networks = job.networks
    steps = np.zeros(len(job), np.int64)
    stop = np.zeros(1, np.int64)
    dtype = job.samples[0].mean.dtype
    route, n_buffers = blas.chosen(job.blas), OPTIMIZERS[job.optimizer].n_buffers
    parameter = ACTIVATIONS[networks.activation].parameter(networks.activation_params)

    def train_one(trial: int) -> None:
        route.enter_thread()
        # Of this thread, which ends with the training. The velocities of units that died decay to subnormal numbers,
        # with which a processor is many times slower.
        torch.set_flush_denormal(True)
        initial, size = {name: values[trial] for name, values in networks.params.items()}, job.schedule.batch_size
        activation, product = networks.activation, route.product(dtype)
        net: Workspace | Maps
        if images is None:
            net = perceptron.workspace(initial, activation, parameter, size, n_buffers, product)
        else:
            net = convolution.workspace(initial, images, activation, parameter, n_buffers, product)
        inputs, signals = _inputs(job.of(trial)), Signals(steps[trial : trial + 1], stop)
        _Training(job, trial, net, inputs, history, signals).run(checkpoints)

    with blas.single_threaded():
        each(train_one, steps, stop, progress, threads)
    return history


@dataclass
class _Training:
    """One network in training.

    Attributes:
        job: of which it is number ``trial``.
        net: the network.
        inputs: all samples.
        history: filled in.
        signals: the steps made, and whether to end early.
        epoch: whole epochs made.
        at: steps made of the one after them.
        loss: what these summed up to; ``n_correct`` likewise.
    """

    job: Job
    trial: int
    net: Workspace | Maps
    inputs: Inputs
    history: History
    signals: Signals
    epoch: int = 0
    at: int = 0
    loss: float = 0.0
    n_correct: int = 0

    @property
    def of(self) -> Any:
        """The code for such networks."""
        return perceptron if isinstance(self.net, Workspace) else convolution

    def run(self, checkpoints: Checkpoints) -> None:
        """Train from the beginning, or from where a checkpoint is, to the end; less if it is to end early."""
        here, history, samples = np.array([self.trial]), self.history, self.job.of(self.trial)
        lrs = self.job.lrs(self.trial)
        found = checkpoints.find(here, self.state)
        if found is None:
            self.validate(0)
        else:
            self.go_on(found)
            self.signals.steps[0] = self.epoch * lrs.shape[1] + self.at
        while self.epoch < len(lrs) and history.diverged_at[self.trial] < 0:
            self.train_epoch(lrs[self.epoch], lambda: checkpoints.offer(here, self.state))
            if self.signals.stop[0]:
                return
        checkpoints.offer(here, self.state, finished=True)
        if history.diverged_at[self.trial] >= 0:
            return
        loss, n_correct, n_answers = self.of.evaluate(self.net, self.inputs, samples.y, samples.test)
        history.test_loss[self.trial] = loss / len(samples.test)
        history.test_correct[self.trial], history.test_answers[self.trial] = n_correct, n_answers
        for name, values in self.of.parameters(self.net).items():
            history.params[name][self.trial] = values

    def train_epoch(self, lrs: Floats, between: Callable[[], None]) -> None:
        """The rest of an epoch, and its validation.

        Args:
            lrs: ``[step]``, of the whole epoch.
            between: called now and then between two steps.
        """
        job, trial, size, y = self.job, self.trial, self.job.schedule.batch_size, self.job.of(self.trial).y
        order, hyper = job.orders.rows(int(job.orders.of[trial]), self.epoch), _hyper(job, trial)
        before, together = self.epoch * len(lrs), max(1, int(_CALL_FLOPS / (size * self.of.flops(self.net))))
        while self.at < len(lrs):
            end = min(self.at + together, len(lrs))
            rows = order[self.at * size : end * size]
            self.loss, self.n_correct, bad = self.of.train_steps(
                self.net, hyper, self.inputs, y, rows, size, lrs[self.at : end], before + self.at, self.loss,
                self.n_correct, self.signals,
            )  # fmt: skip
            if self.signals.stop[0]:
                return
            if bad >= 0:
                self.history.diverged_at[trial] = before + self.at + bad
                return
            self.at = end
            between()
        if not self.validate(self.epoch + 1):
            self.history.diverged_at[trial] = before + len(lrs)
            return
        self.history.train_loss[trial, self.epoch] = self.loss / len(order)
        self.history.train_correct[trial, self.epoch] = self.n_correct
        self.epoch, self.at, self.loss, self.n_correct = self.epoch + 1, 0, 0.0, 0

    def validate(self, epoch: int) -> bool:
        """Record the validation after ``epoch`` epochs; whether the loss is finite."""
        samples = self.job.of(self.trial)
        loss, n_correct, _ = self.of.evaluate(self.net, self.inputs, samples.y, samples.val)
        if np.isfinite(loss):
            self.history.val_loss[self.trial, epoch] = loss / len(samples.val)
            self.history.val_correct[self.trial, epoch] = n_correct
        return bool(np.isfinite(loss))

    def state(self) -> State:
        """All that the rest of the training depends on."""
        return {
            "params": self.net.params,
            "optimizer": self.net.state,
            "position": np.array([self.epoch, self.at, self.n_correct]),
            "loss": np.array([self.loss]),
            **self.history.part(np.array([self.trial])),
        }

    def go_on(self, state: State) -> None:
        """Go on from what :meth:`state` gave; nothing has been trained yet."""
        self.net.params[:], self.net.state[:] = state["params"], state["optimizer"]
        self.epoch, self.at, self.n_correct = map(int, state["position"])
        self.loss = float(state["loss"][0])
        self.history.fill(np.array([self.trial]), state)


def _inputs(samples: Samples) -> Inputs:
    return Inputs(samples.x, samples.mean, (1 / samples.std.astype(np.float64)).astype(samples.std.dtype))


def _hyper(job: Job, trial: int) -> Any:
    """The hyperparameters of one trial, of the type that compiled code knows the optimizer by."""
    optimizer = OPTIMIZERS[job.optimizer]
    return optimizer.hyper(**{one.name: one.kind(job.hyper[one.name][trial]) for one in optimizer.parameters})
