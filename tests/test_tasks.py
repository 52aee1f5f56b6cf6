"""What networks can learn: every task against a plain loop with torch's own loss, and scikit-learn's scores."""

import math
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.nn import functional
from training import RULES, TORCH, initial, make_samples, train_many, train_stacked

from initbench import records
from initbench.data import Samples, load
from initbench.data import samples as prepared
from initbench.engine.optimizers import OPTIMIZERS
from initbench.experiment.plan import plan
from initbench.experiment.start import initial as initial_of
from initbench.experiment.start import shapes
from initbench.seeding import permutation
from initbench.settings.compose import compose
from initbench.settings.request import request
from initbench.tasks import TASKS

WIDTH, EPOCHS, BATCH = (9, 7), 3, 31

# Torch's own loss of each task, of outputs ``[n, output]`` and targets ``[n]``.
LOSSES = {
    "classification": functional.cross_entropy,
    "next_token": functional.cross_entropy,
    "binary": lambda outputs, y: functional.binary_cross_entropy(outputs[:, 0].sigmoid(), y.to(outputs.dtype)),
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
        named = {"binary": outputs[:, 0] > 0}.get(task, outputs.argmax(1))
        assert history.test_answers[i] == (-1 if task == "regression" else len(np.unique(named)))
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


def test_the_preset_of_article_d0_is_its_keras_model() -> None:
    (cell, *_) = cells = request(compose(["experiment=d0"])).cells
    assert {name: shape for name, shape in shapes(cell).items() if name.endswith("weight")} == {
        "layers.0.weight": (64, 20),
        "layers.1.weight": (64, 64),
        "layers.2.weight": (1, 64),
    }
    assert (cell.dataset.task, cell.activation.name, cell.optimizer.name) == ("binary", "relu", "adam")
    # The laws that the article names.
    assert [one.init.name for one in cells] == ["random", "zero", "xavier_d0", "he"]


@pytest.mark.full
@pytest.mark.parametrize(("more", "task"), [([], "regression"), (["dataset.task=binary"], "binary")])
def test_what_records_and_reports_say_is_what_scikit_learn_says_of_a_plain_loop(
    initbench: Callable[..., Any], more: list[str], task: str
) -> None:
    dataset = "diabetes" if task == "regression" else "breast_cancer"
    command = [f"dataset={dataset}", *more, "optimizer=adam", "epochs=5", "schedule=constant", "seeds=1"]
    assert initbench("run", *command, "width=16").code == 0
    (record,) = records.load([Path("results")]).records.values()
    (trial,) = plan(request(compose([*command, "width=16"])), {}).trials
    params, data = initial_of(trial), prepared(trial.cell.dataset)
    x, y = torch.tensor((data.x - data.mean) / data.std), torch.tensor(data.y)
    net = nn.Sequential(nn.Linear(x.shape[1], 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    with torch.no_grad():
        for param, values in zip(net.parameters(), params.values(), strict=True):
            param.copy_(torch.tensor(values))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for epoch in range(5):
        order = torch.tensor(data.train[permutation(len(data.train), 0, "order", f"epoch.{epoch}")])
        for rows in order.split(128):
            optimizer.zero_grad()
            LOSSES[task](net(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        outputs = net(x[data.test])[:, 0].numpy()
    table = pd.read_csv(StringIO(initbench("report", "--format", "csv").out))
    if task == "regression":
        # Against the numbers as they were, not as they are trained on.
        target = load(trial.cell.dataset).y
        own = target[data.train]
        expected = metrics.r2_score(target[data.test], outputs * own.std() + own.mean())
        assert table["test_score"].tolist() == [pytest.approx(expected, abs=1e-5)]
        assert table["score"].tolist() == ["R²"]
        assert record.n_correct is None
        assert math.isnan(table["test_accuracy"][0])
    else:
        expected = metrics.accuracy_score(data.y[data.test], outputs > 0)
        assert table["test_accuracy"].tolist() == [pytest.approx(expected)]
    assert initbench("verify", "results").code == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dataset=diabetes dataset.task=classification", "unknown dataset.task 'classification'"),
        ("dataset=digits dataset.task=regression", "unknown dataset.task 'regression'"),
        ("dataset=iris dataset.task=binary", "dataset.task=binary needs two classes, and data set 'iris' has 3"),
        ("dataset=diabetes bias=log_prior", "bias=log_prior needs an output for each class"),
    ],
)
def test_what_a_task_does_not_go_with_is_one_line(initbench: Callable[..., Any], command: str, message: str) -> None:
    answer = initbench("run", *command.split(), "seeds=1", "epochs=1")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert message in answer.err


def test_probes_of_other_tasks_are_refused_in_one_line(initbench: Callable[..., Any]) -> None:
    answer = initbench("probe", "dataset=diabetes")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "probes know networks for classification only" in answer.err


def test_a_search_prefers_a_poor_fit_to_none(initbench: Callable[..., Any]) -> None:
    """A negative R² is better than a training that diverged."""
    grid = "protocol.search.lr=[0.001,1e30]"
    tuned = ["protocol=tuned", "protocol.extend=0", "protocol.seeds=1", grid]
    assert initbench("run", "dataset=diabetes", *tuned, "epochs=1", "depth=0", "init=gaussian", "seeds=1").code == 0
    final = [one for one in records.load([Path("results")]).records.values() if one.asked.stage == "final"]
    assert [one.trial["lr"] for one in final] == [0.001]
