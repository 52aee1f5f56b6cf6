"""What networks can learn: every task against a plain loop with torch's own loss, and scikit-learn's scores."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.nn import functional
from training import RULES, TORCH, initial, make_samples, train_many, train_stacked

from initbench.data import Samples
from initbench.engine.optimizers import OPTIMIZERS
from initbench.seeding import permutation
from initbench.tasks import TASKS

WIDTH, EPOCHS, BATCH = (9, 7), 3, 31

# Torch's own loss of each task, of outputs ``[n, output]`` and targets ``[n]``.
LOSSES = {
    "classification": functional.cross_entropy,
    "next_token": functional.cross_entropy,
    "binary": lambda outputs, y: functional.binary_cross_entropy_with_logits(outputs[:, 0], y.double()),
    "regression": lambda outputs, y: functional.mse_loss(outputs[:, 0], y),
}


def samples_of(task: str) -> Samples:
    """Made data of a task, in float64."""
    data = make_samples(dtype=np.float64)
    if task == "binary":
        return replace(data, y=(data.y > 2).astype(np.int64), n_classes=2, task=task)
    if task == "regression":
        target = np.tanh(data.x[:, 0] - 2) + 0.3 * data.x[:, 1]
        return replace(data, y=target - target[data.train].mean(), n_classes=0, task=task)
    return replace(data, task=task)


def train_plainly(
    data: Samples, params: dict[str, Any], seed: int, rule: str, lr: float
) -> tuple[nn.Module, list[Any]]:
    """A network as anyone would train it, and the mean validation loss before training and after each epoch."""
    layers: list[nn.Module] = []
    for i in range(len(WIDTH) + 1):
        weight, bias = (torch.tensor(params[f"layers.{i}.{kind}"]) for kind in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layer.weight.data, layer.bias.data = weight, bias
        layers += [layer, nn.ReLU()]
    net, loss = nn.Sequential(*layers[:-1]), LOSSES[data.task]
    optimizer, given = RULES[rule]
    opt = TORCH[optimizer](list(net.parameters()), lr, **{**OPTIMIZERS[optimizer].defaults, **given})
    x, y = torch.tensor((data.x - data.mean) / data.std), torch.tensor(data.y)
    curve = []
    for epoch in range(EPOCHS + 1):
        with torch.no_grad():
            curve.append(loss(net(x[data.val]), y[data.val]).item())
        if epoch < EPOCHS:
            order = torch.tensor(data.train[permutation(len(data.train), seed, "order", str(epoch))])
            for rows in order.split(BATCH):
                opt.zero_grad()
                loss(net(x[rows]), y[rows]).backward()
                opt.step()
    return net, curve


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_trained_as_a_plain_loop_with_torchs_own_loss_trains_it(task: str, rule: str) -> None:
    data, seeds, lr = samples_of(task), [0, 3], 0.02
    n_outputs = TASKS[task].n_outputs(data.n_classes)
    params = initial(replace(data, n_classes=n_outputs), WIDTH, seeds)
    history = train_many(train_stacked, data, WIDTH, seeds, params=params, rule=rule, lr=lr, batch=BATCH, epochs=EPOCHS)
    x = torch.tensor((data.x - data.mean) / data.std)
    for i, seed in enumerate(seeds):
        net, curve = train_plainly(data, {name: values[i] for name, values in params.items()}, seed, rule, lr)
        for (_, param), final in zip(net.named_parameters(), history.params.values(), strict=True):
            np.testing.assert_allclose(final[i], param.detach(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(history.val_loss[i], curve, rtol=1e-10)
        with torch.no_grad():
            outputs = net(x[data.test]).numpy()
        expected = {
            "binary": lambda y, out: int((y == (out[:, 0] > 0)).sum()),
            "regression": lambda y, out: -1,
        }.get(task, lambda y, out: int((y == out.argmax(1)).sum()))(data.y[data.test], outputs)
        assert history.test_correct[i] == expected
        if task == "regression":
            assert (history.val_correct == -1).all()
            assert (history.train_correct == -1).all()


def test_r_squared_is_scikit_learns() -> None:
    task, rng = TASKS["regression"], np.random.default_rng(0)
    assert task.of_loss is not None
    assert task.constant is not None
    y = rng.normal(3, 2, 50)
    for predicted in (rng.normal(3, 2, 50), y + rng.normal(0, 0.5, 50), np.full(50, y.mean())):
        found = task.of_loss(metrics.mean_squared_error(y, predicted), task.constant(y))
        assert found == pytest.approx(metrics.r2_score(y, predicted), abs=1e-12)


def test_bits_of_a_constant_prediction_are_the_entropy_of_the_characters() -> None:
    task = TASKS["next_token"]
    assert task.of_loss is not None
    assert task.constant is not None
    # Two of four equally likely things are two bits; what is certain is none.
    assert task.of_loss(task.constant(np.arange(8) % 4), 0) == pytest.approx(-2)
    assert task.of_loss(task.constant(np.zeros(8)), 0) == 0
