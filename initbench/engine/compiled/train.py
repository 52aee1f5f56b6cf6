"""Train perceptrons on the CPU: as many at once as there are threads, each by itself."""

from typing import Any

import numpy as np
import torch

from initbench.activations import ACTIVATIONS
from initbench.engine.compiled import blas
from initbench.engine.compiled.activations import KERNELS
from initbench.engine.compiled.memory import Inputs, Signals
from initbench.engine.compiled.perceptron import evaluate, parameters, train_epoch, workspace
from initbench.engine.job import History, Job, Progress
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.threads import each
from initbench.models import Architecture


def lack(architecture: Architecture, optimizer: str) -> str | None:
    """What keeps this engine from training networks of an architecture, in words; None if nothing does."""
    if not architecture.is_plain:
        return "the compiled engine trains multilayer perceptrons without normalisation only"
    if architecture.activation not in KERNELS:
        return f"the activation '{architecture.activation}' has no compiled code"
    if OPTIMIZERS[optimizer].update is None:
        return f"the optimizer '{optimizer}' has no compiled code"
    return None


def train(job: Job, progress: Progress = lambda n_steps: None, threads: int | None = None) -> History:
    """Train every network, each by itself.

    A network is trained on one thread from start to end, so its numbers depend on nothing but itself.

    Args:
        job: of multilayer perceptrons, whose activation and optimizer have compiled code.
        progress: called from the calling thread.
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
    route, n_buffers = blas.chosen(job.blas), OPTIMIZERS[job.optimizer].n_buffers
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

        validate(0)
        for epoch in range(len(lrs)):
            order = orders.rows(int(orders.of[trial]), epoch)
            before = epoch * lrs.shape[1]
            loss, n_correct, bad = train_epoch(
                net, hyper, inputs, samples.y, order, schedule.batch_size, lrs[epoch], before, signals
            )
            if stop[0]:
                return
            if bad < 0 and not validate(epoch + 1):
                bad = lrs.shape[1]
            if bad >= 0:
                history.diverged_at[trial] = before + bad
                return
            history.train_loss[trial, epoch] = loss / len(order)
            history.train_correct[trial, epoch] = n_correct
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
