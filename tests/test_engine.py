"""The stacked engine against plain torch, and its promise: a trial does not depend on its companions."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from initbench.activations import ACTIVATIONS, torch_function, torch_linearized
from initbench.engine.optimizers import Optimizer, schedule_factor
from initbench.engine.stack import Data
from initbench.engine.train import History, Schedule, train
from initbench.initializers import draw, draw_bias
from initbench.models.mlp import layer_shapes
from initbench.seeding import permutation, stream

OPTIMIZERS = {
    "sgd": ("sgd", {"momentum": 0.0}, False),
    "momentum": ("sgd", {"momentum": 0.9, "weight_decay": 1e-3}, False),
    "nesterov": ("sgd", {"momentum": 0.8}, True),
    "adam": ("adam", {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-3}, False),
    "adamw": ("adamw", {"beta1": 0.8, "beta2": 0.99, "eps": 1e-7, "weight_decay": 0.1}, False),
}


def make_data(features: int = 33, classes: int = 7, n: int = 300, dtype: torch.dtype = torch.float32) -> Data:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, features)) + 2
    y = (x[:, :classes].argmax(1)).astype(np.int64)
    rows = torch.arange(n)
    return Data(
        x=torch.tensor(x, dtype=dtype),
        y=torch.tensor(y),
        mean=torch.full((features,), 2.0, dtype=dtype),
        std=torch.full((features,), 1.5, dtype=dtype),
        train=rows[: n // 2],
        val=rows[n // 2 : 3 * n // 4],
        test=rows[3 * n // 4 :],
        n_classes=classes,
    )


def initial(
    data: Data,
    width: Sequence[int],
    seeds: Sequence[int],
    law: str = "he_normal",
    bias: str = "uniform_fan_in",
) -> tuple[list[Tensor], list[Tensor]]:
    weights, biases = [], []
    for i, shape in enumerate(layer_shapes(data.x.shape[1], width, data.n_classes)):
        ws = [draw(law, shape, stream(seed, "init", f"layers.{i}.weight")).T for seed in seeds]
        bs = [draw_bias(bias, shape, stream(seed, "init", f"layers.{i}.bias")) for seed in seeds]
        weights.append(torch.tensor(np.stack(ws), dtype=data.mean.dtype))
        biases.append(torch.tensor(np.stack(bs), dtype=data.mean.dtype))
    return weights, biases


def make_optimizer(name: str, n_trials: int, dtype: torch.dtype) -> Optimizer:
    kind, hyper, nesterov = OPTIMIZERS[name]
    return Optimizer(kind, {k: torch.full((n_trials,), v, dtype=dtype) for k, v in hyper.items()}, nesterov)


def train_stack(
    data: Data,
    width: Sequence[int],
    seeds: Sequence[int],
    *,
    law: str = "he_normal",
    activation: str = "relu",
    optimizer: str = "momentum",
    lr: float | Sequence[float] = 0.05,
    batch: int = 31,
    epochs: int = 3,
    schedule: str = "constant",
    warmup: float = 0.0,
) -> History:
    """Train one trial per seed, each in its own data order."""
    weights, biases = initial(data, width, seeds, law)
    dtype = data.mean.dtype
    orders = list(dict.fromkeys(seeds))
    return train(
        data,
        weights,
        biases,
        torch_linearized(activation),
        lambda epoch: torch.stack([data.train[permutation(len(data.train), s, "order", str(epoch))] for s in orders]),
        torch.tensor([orders.index(s) for s in seeds]),
        make_optimizer(optimizer, len(seeds), dtype),
        Schedule(torch.tensor(lr, dtype=dtype).expand(len(seeds)), epochs, batch, schedule, warmup),
    )


def train_plainly(
    data: Data,
    width: Sequence[int],
    seed: int,
    activation: str,
    optimizer: str,
    lr: float,
    batch: int,
    epochs: int,
) -> tuple[list[nn.Linear], list[list[float]]]:
    """The same training as anyone would write it: nn.Module, autograd, torch.optim, one network."""
    weights, biases = initial(data, width, [seed])
    layers = []
    for w, b in zip(weights, biases, strict=True):
        layer = nn.Linear(*w.shape[1:], dtype=data.mean.dtype)
        layer.weight.data, layer.bias.data = w[0].T.clone(), b[0].clone()
        layers.append(layer)
    phi = torch_function(activation)

    def forward(x: Tensor) -> Tensor:
        for layer in layers[:-1]:
            x = phi(layer(x))
        return layers[-1](x)

    kind, hyper, nesterov = OPTIMIZERS[optimizer]
    params = [p for layer in layers for p in (layer.weight, layer.bias)]
    weight_decay = hyper.get("weight_decay", 0.0)
    if kind == "sgd":
        opt: torch.optim.Optimizer = torch.optim.SGD(
            params, lr, momentum=hyper["momentum"], nesterov=nesterov, weight_decay=weight_decay
        )
    else:
        cls = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        opt = cls(params, lr, betas=(hyper["beta1"], hyper["beta2"]), eps=hyper["eps"], weight_decay=weight_decay)
    x = (data.x - data.mean) / data.std
    curves = []
    for epoch in range(epochs):
        loss_sum, n_correct = 0.0, 0
        order = data.train[permutation(len(data.train), seed, "order", str(epoch))]
        for rows in order.split(batch):
            logits = forward(x[rows])
            loss = nn.functional.cross_entropy(logits, data.y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            loss_sum += loss.item() * len(rows)
            n_correct += int((logits.argmax(1) == data.y[rows]).sum())
        with torch.no_grad():
            logits = forward(x[data.val])
            val_loss = nn.functional.cross_entropy(logits, data.y[data.val]).item()
            val_correct = int((logits.argmax(1) == data.y[data.val]).sum())
        curves.append([loss_sum / len(order), n_correct, val_loss, val_correct])
    return layers, curves


def assert_equal_to_plain(
    width: Sequence[int], activation: str, optimizer: str, lr: float, batch: int, epochs: int
) -> None:
    data = make_data(dtype=torch.float64)
    seeds = [0, 3]
    history = train_stack(
        data, width, seeds, activation=activation, optimizer=optimizer, lr=lr, batch=batch, epochs=epochs
    )
    for i, seed in enumerate(seeds):
        layers, curves = train_plainly(data, width, seed, activation, optimizer, lr, batch, epochs)
        for layer, w, b in zip(layers, history.weights, history.biases, strict=True):
            torch.testing.assert_close(w[i].T, layer.weight.data, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(b[i], layer.bias.data, rtol=1e-10, atol=1e-12)
        train_loss, train_correct, val_loss, val_correct = map(list, zip(*curves, strict=True))
        np.testing.assert_allclose(history.train_loss[i], train_loss, rtol=1e-10)
        np.testing.assert_allclose(history.val_loss[i, 1:], val_loss, rtol=1e-10)
        assert history.train_correct[i].tolist() == train_correct
        assert history.val_correct[i, 1:].tolist() == val_correct


# 150 training rows in batches of 31 are 5 steps an epoch: 40 epochs are 200 steps.
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_plain_torch_for_every_activation(activation: str) -> None:
    assert_equal_to_plain((17, 33), activation, "momentum", 0.02, 31, 40)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_equals_plain_torch_for_every_optimizer(optimizer: str) -> None:
    lr = 0.002 if optimizer.startswith("adam") else 0.05
    assert_equal_to_plain((20, 16), "tanh", optimizer, lr, 31, 40)


@pytest.mark.parametrize("width", [(), (8,), (16, 32, 16, 32, 16)])
@pytest.mark.parametrize("batch", [1, 32, 1000])
def test_equals_plain_torch_for_depths_and_batches(width: tuple[int, ...], batch: int) -> None:
    assert_equal_to_plain(width, "silu", "nesterov", 0.01, batch, 2)


# Widths, features, classes and batch: a usual shape, and one in which nothing is a multiple of anything.
SHAPES = {"even": ((64, 32), 64, 16, 32), "odd": ((17, 33, 5), 33, 7, 31), "mnist": ((128,), 784, 10, 128)}


@pytest.fixture(params=[1, 2, 4, 8])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Torch's number of threads, whether the machine has so many cores or not."""
    found = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_trial_is_bit_for_bit_the_same_in_any_company(
    shape: str, activation: str, optimizer: str, threads: int
) -> None:
    width, features, classes, batch = SHAPES[shape]
    data = make_data(features, classes)
    lr = 0.003 if optimizer == "adam" else 0.05

    def trained(seeds: Sequence[int]) -> History:
        return train_stack(data, width, seeds, activation=activation, optimizer=optimizer, lr=lr, batch=batch, epochs=4)

    alone = {seed: trained([seed]) for seed in range(3)}
    for seeds in ([0, 1, 2], [2, 0, 1, 3, 4, 5, 6, 7, 8, 9], [1] * 5 + [0], [2, 2, 2]):
        together = trained(seeds)
        for slot, seed in enumerate(seeds):
            if seed in alone:
                assert_same_trial(alone[seed], 0, together, slot)
    assert torch.get_num_threads() == threads


def assert_same_trial(a: History, i: int, b: History, j: int) -> None:
    for x, y in zip([*a.weights, *a.biases], [*b.weights, *b.biases], strict=True):
        assert torch.equal(x[i], y[j])
    for name in ("train_loss", "train_correct", "val_loss", "val_correct"):
        assert getattr(a, name)[i].tolist() == getattr(b, name)[j].tolist()
    for split in ("train", "val", "test"):
        assert a.final_loss[split][i] == b.final_loss[split][j]
        assert a.final_correct[split][i] == b.final_correct[split][j]


def test_divergence_ends_one_trial_and_touches_no_other() -> None:
    data = make_data()
    lrs = [0.05, 1e30, 0.05, 0.05]
    history = train_stack(data, (32, 32), [0, 1, 2, 3], lr=lrs, epochs=6)
    assert history.diverged_at.tolist()[0::2] == [-1, -1]
    assert history.diverged_at[3] == -1
    # The first update overflows; the loss of the second step (step 1) shows it.
    assert history.diverged_at[1] == 1
    assert history.train_correct[1].tolist() == [-1] * 6
    assert history.final_loss["test"][1].isnan()
    assert history.val_correct[1, 0] >= 0
    for slot in (0, 2, 3):
        assert_same_trial(train_stack(data, (32, 32), [slot], epochs=6), 0, history, slot)


def test_all_trials_may_diverge() -> None:
    history = train_stack(make_data(), (16,), [0, 1], lr=1e30)
    assert (history.diverged_at >= 0).all()


def test_a_nan_in_the_initial_weights_is_divergence_at_step_0() -> None:
    data = make_data()
    weights, biases = initial(data, (16,), [0, 1])
    weights[0][0] = float("nan")
    history = train(
        data, weights, biases, torch_linearized("relu"), lambda epoch: data.train[None], torch.tensor([0, 0]),
        make_optimizer("sgd", 2, torch.float32), Schedule(torch.tensor([0.1, 0.1]), 1, 32),
    )  # fmt: skip
    assert history.diverged_at.tolist() == [0, -1]


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_equal_units_stay_equal(activation: str) -> None:
    data = make_data()
    weights, biases = initial(data, (16, 16), [0], "constant", "zeros")
    history = train(
        data, weights, biases, torch_linearized(activation), lambda epoch: data.train[None], torch.tensor([0]),
        make_optimizer("momentum", 1, torch.float32), Schedule(torch.tensor([0.1]), 10, 32),
    )  # fmt: skip
    first, second, last = (w[0] for w in history.weights)
    assert not torch.equal(first, weights[0][0])
    assert (first == first[:, :1]).all()
    assert (second == second[0, 0]).all()
    assert (last == last[:1]).all()


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_schedules_are_torchs(name: str, warmup: int) -> None:
    total = 20
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    after = {
        "constant": torch.optim.lr_scheduler.ConstantLR(opt, factor=1.0),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(opt, total - warmup),
        "linear": torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, total - warmup),
    }[name]
    expected = [(step + 1) / warmup for step in range(warmup)]
    for _ in range(total - warmup):
        expected.append(opt.param_groups[0]["lr"])
        opt.step()
        after.step()
    assert [schedule_factor(name, step, total, warmup) for step in range(total)] == pytest.approx(expected)


def test_progress_counts_every_step_of_every_living_trial() -> None:
    data = make_data()
    weights, biases = initial(data, (16,), [0, 1])
    counted: list[int] = []
    train(
        data, weights, biases, torch_linearized("relu"), lambda epoch: data.train[None], torch.tensor([0, 0]),
        make_optimizer("sgd", 2, torch.float32), Schedule(torch.tensor([0.1, 0.1]), 2, 32), counted.append,
    )  # fmt: skip
    assert counted == [2] * 2 * math.ceil(150 / 32)
