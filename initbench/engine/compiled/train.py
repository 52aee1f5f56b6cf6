"""Train perceptrons on the CPU: as many at once as there are threads, each by itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from initbench.activations import ACTIVATIONS
from initbench.engine.checkpoints import NONE, Checkpoints, State
from initbench.engine.compiled import blas
from initbench.engine.compiled.activations import KERNELS
from initbench.engine.compiled.memory import Inputs, Signals
from initbench.engine.compiled.perceptron import evaluate, parameters, train_steps, workspace
from initbench.engine.job import History, Job, Progress
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.threads import each
from initbench.models import Architecture

# Compiled code comes back after about this much work: a second or a few.
_CALL_FLOPS = 1e11


def lack(architecture: Architecture, optimizer: str) -> str | None:
    """What keeps this engine from training networks of an architecture, in words; None if nothing does."""
    if not architecture.is_plain:
        return "the compiled engine trains multilayer perceptrons without normalisation only"
    if architecture.activation not in KERNELS:
        return f"the activation '{architecture.activation}' has no compiled code"
    if OPTIMIZERS[optimizer].update is None:
        return f"the optimizer '{optimizer}' has no compiled code"
    return None


@dataclass
class _Position:
    """How far a network is: whole epochs, steps of the one after them, and what these summed up to."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    n_correct: int = 0


def train(
    job: Job,
    progress: Progress = lambda n_steps: None,
    checkpoints: Checkpoints = NONE,
    threads: int | None = None,
) -> History:
    """Train every network, each by itself.

    A network is trained on one thread from start to end, so its numbers depend on nothing but itself.

    Args:
        job: of multilayer perceptrons, whose activation and optimizer have compiled code.
        progress: called from the calling thread.
        checkpoints: asked and told from the threads that train.
        threads: how many networks to train at once; all processors if None.

    Returns:
        The histories and final parameters, in the order of the given networks.
    """
    history = History.empty(job)
    samples, networks, schedule, orders = job.samples, job.networks, job.schedule, job.orders
    steps = np.zeros(len(job), np.int64)
    stop = np.zeros(1, np.int64)
    dtype = samples.mean.dtype
    inputs = Inputs(samples.x, samples.mean, (1 / samples.std.astype(np.float64)).astype(samples.std.dtype))
    route, n_buffers = blas.chosen(), OPTIMIZERS[job.optimizer].n_buffers
    parameter = ACTIVATIONS[networks.activation].parameter(networks.activation_params)

    def train_one(trial: int) -> None:
        route.enter_thread()
        # Of this thread, which ends with the training. The velocities of units that died decay to subnormal numbers,
        # with which a processor is many times slower.
        torch.set_flush_denormal(True)
        initial = {name: values[trial] for name, values in networks.params.items()}
        net = workspace(initial, networks.activation, parameter, schedule.batch_size, n_buffers, route.product(dtype))
        hyper, lrs, signals = _hyper(job, trial), job.lrs(trial), Signals(steps[trial : trial + 1], stop)

        def validate(epoch: int) -> bool:
            loss, n_correct = evaluate(net, inputs, samples.y, samples.val)
            if np.isfinite(loss):
                history.val_loss[trial, epoch] = loss / len(samples.val)
                history.val_correct[trial, epoch] = n_correct
            return bool(np.isfinite(loss))

        at, here, size = _Position(), np.array([trial]), schedule.batch_size
        n_steps, together = int(lrs.shape[1]), max(1, int(_CALL_FLOPS / (6 * size * len(net.params))))

        def state() -> State:
            position = np.array([at.epoch, at.step, at.n_correct]), np.array([at.loss])
            return {"params": net.params, "optimizer": net.state, "position": position[0], "loss": position[1]} | (
                history.part(here)
            )

        def train_epoch() -> int:
            """The rest of an epoch; the step of it at which training diverged, else -1."""
            order = orders.rows(int(orders.of[trial]), at.epoch)
            while at.step < n_steps:
                part, before = slice(at.step, at.step + together), at.epoch * n_steps + at.step
                rows = order[at.step * size : part.stop * size]
                at.loss, at.n_correct, bad = train_steps(
                    net, hyper, inputs, samples.y, rows, size, lrs[at.epoch, part], before, at.loss, at.n_correct,
                    signals,
                )  # fmt: skip
                if stop[0]:
                    return -1
                if bad >= 0:
                    return at.step + int(bad)
                at.step = min(part.stop, n_steps)
                checkpoints.offer(here, state)
            if not validate(at.epoch + 1):
                return n_steps
            history.train_loss[trial, at.epoch] = at.loss / len(order)
            history.train_correct[trial, at.epoch] = at.n_correct
            return -1

        found = checkpoints.find(here, state)
        if found is None:
            validate(0)
        else:
            net.params[:], net.state[:] = found["params"], found["optimizer"]
            at.epoch, at.step, at.n_correct = map(int, found["position"])
            at.loss = float(found["loss"][0])
            history.fill(here, found)
            steps[trial] = at.epoch * n_steps + at.step
        while at.epoch < len(lrs) and history.diverged_at[trial] < 0:
            bad = train_epoch()
            if stop[0]:
                return
            if bad >= 0:
                history.diverged_at[trial] = at.epoch * n_steps + bad
            else:
                at = _Position(at.epoch + 1)
        checkpoints.offer(here, state, finished=True)
        if history.diverged_at[trial] >= 0:
            return
        loss, n_correct = evaluate(net, inputs, samples.y, samples.test)
        history.test_loss[trial] = loss / len(samples.test)
        history.test_correct[trial] = n_correct
        for name, values in parameters(net).items():
            history.params[name][trial] = values

    with blas.single_threaded():
        each(train_one, steps, stop, progress, threads)
    return history


def _hyper(job: Job, trial: int) -> Any:
    """The hyperparameters of one trial, of the type that compiled code knows the optimizer by."""
    optimizer = OPTIMIZERS[job.optimizer]
    return optimizer.hyper(**{one.name: one.kind(job.hyper[one.name][trial]) for one in optimizer.parameters})
