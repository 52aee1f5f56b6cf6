"""Train perceptrons on the CPU: as many at once as there are threads, each by itself."""

import numpy as np
import torch

from initbench.activations import ACTIVATIONS
from initbench.data import Samples
from initbench.engine.compiled import blas
from initbench.engine.compiled.network import (
    ADAM,
    ADAMW,
    NESTEROV,
    SGD,
    Rule,
    evaluate,
    network,
    parameters,
    train_epoch,
)
from initbench.engine.job import History, Networks, Orders, Progress, Schedule
from initbench.engine.job import Rule as Rules
from initbench.engine.threads import each


def train(
    samples: Samples,
    networks: Networks,
    rule: Rules,
    schedule: Schedule,
    orders: Orders,
    progress: Progress = lambda n_steps: None,
    threads: int | None = None,
) -> History:
    """Train every network on cross-entropy, each by itself.

    A network is trained on one thread from start to end, so its numbers depend on nothing but itself.

    Args:
        samples: the data.
        networks: multilayer perceptrons with their initial parameters; not modified.
        rule: the optimizer.
        schedule: learning rates, epochs and batch size.
        orders: in which order each trial sees the samples.
        progress: called from the calling thread.
        threads: how many networks to train at once; all processors if None.

    Returns:
        The histories and final parameters, in the order of the given networks.
    """
    history = History.empty(networks, int(schedule.epochs.max()))
    steps = np.zeros(len(networks), np.int64)
    stop = np.zeros(1, np.int64)
    by_std = (1 / samples.std.astype(np.float64)).astype(samples.std.dtype)
    address = blas.chosen().address(samples.mean.dtype)

    def train_one(trial: int) -> None:
        blas.chosen().enter_thread()
        # Of this thread, which ends with the training. The velocities of units that died decay to subnormal numbers,
        # with which a processor is many times slower.
        torch.set_flush_denormal(True)
        data = (samples.x, samples.y, samples.mean, by_std)
        one = _rule(rule, trial)
        initial = {name: values[trial] for name, values in networks.params.items()}
        net = network(
            initial,
            networks.activation,
            ACTIVATIONS[networks.activation].parameter(networks.activation_params),
            schedule.batch_size,
            one,
        )
        n_epochs, made = int(schedule.epochs[trial]), steps[trial : trial + 1]
        lrs = schedule.lr[trial] * schedule.factors(len(samples.train), n_epochs)

        def validate(epoch: int) -> bool:
            loss, n_correct = evaluate(address, net, *data, samples.val)
            if np.isfinite(loss):
                history.val_loss[trial, epoch] = loss / len(samples.val)
                history.val_correct[trial, epoch] = n_correct
            return bool(np.isfinite(loss))

        validate(0)
        for epoch in range(n_epochs):
            order = orders.rows(int(orders.of[trial]), epoch)
            before = epoch * lrs.shape[1]
            loss, n_correct, bad = train_epoch(
                address, net, one, *data, order, schedule.batch_size, lrs[epoch], before, made, stop
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
        loss, n_correct = evaluate(address, net, *data, samples.test)
        history.test_loss[trial] = loss / len(samples.test)
        history.test_correct[trial] = n_correct
        for name, values in parameters(net).items():
            history.params[name][trial] = values

    with blas.single_threaded():
        each(train_one, steps, stop, progress, threads)
    return history


def _rule(rule: Rules, trial: int) -> Rule:
    kind = {"sgd": NESTEROV if rule.nesterov else SGD, "adam": ADAM, "adamw": ADAMW}[rule.name]
    hyper = {name: float(values[trial]) for name, values in rule.hyper.items()}
    return Rule(kind, *(hyper.get(name, 0.0) for name in Rule._fields[1:]))
