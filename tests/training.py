"""Small trainings by both engines, and the same training as anyone would write it in torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from initbench.activations import torch_function
from initbench.data import Samples
from initbench.engine import compiled, stacked
from initbench.engine.job import History, Job, Networks, Orders, Schedule
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.stacked.perceptrons import MLP, parameters
from initbench.initializers import draw, draw_bias
from initbench.seeding import permutation, stream

Trained = Sequence[nn.Parameter]


def _sgd(params: Trained, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


def _adam(params: Trained, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> Any:
    return torch.optim.Adam(params, lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


def _adamw(params: Trained, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float) -> Any:
    return torch.optim.AdamW(params, lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


# Each optimizer as torch has it, from our hyperparameters.
TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "adam": _adam,
    "adamw": _adamw,
    "rmsprop": torch.optim.RMSprop,
}

# What is trained with: optimizer, and the hyperparameters that are not the default.
RULES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "sgd": ("sgd", {"momentum": 0.0}),
    "momentum": ("sgd", {}),
    "decay": ("sgd", {"weight_decay": 1e-3}),
    "nesterov": ("sgd", {"momentum": 0.8, "nesterov": True}),
    "nesterov decay": ("sgd", {"momentum": 0.8, "nesterov": True, "weight_decay": 1e-3}),
    "adam": ("adam", {"weight_decay": 1e-3}),
    "adam plain": ("adam", {"beta1": 0.0}),
    "adamw": ("adamw", {"beta1": 0.8, "beta2": 0.99, "eps": 1e-7, "weight_decay": 0.1}),
    "rmsprop": ("rmsprop", {}),
    "rmsprop momentum decay": ("rmsprop", {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 1e-3}),
}


def train_stacked(job: Job, each: bool = False, **options: Any) -> History:
    networks = job.networks
    build = partial(MLP, activation=networks.activation, activation_params=networks.activation_params)
    return (stacked.train_each if each else stacked.train)(job, build, **options)


ENGINES: dict[str, Callable[..., History]] = {"compiled": compiled.train, "stacked": train_stacked}
engines = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)


def make_samples(features: int = 33, classes: int = 7, n: int = 300, dtype: Any = np.float32) -> Samples:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, features)) + 2
    rows = np.arange(n)
    return Samples(
        x=x.astype(dtype),
        y=x[:, :classes].argmax(1),
        mean=np.full(features, 2.0, dtype),
        std=np.full(features, 1.5, dtype),
        train=rows[: n // 2],
        val=rows[n // 2 : 3 * n // 4],
        test=rows[3 * n // 4 :],
        n_classes=classes,
    )


def initial(
    samples: Samples, width: Sequence[int], seeds: Sequence[int], law: str = "he_normal", bias: str = "uniform_fan_in"
) -> dict[str, Any]:
    shapes = parameters(samples.x.shape[1], width, samples.n_classes)
    drawn: dict[str, list[Any]] = {name: [] for name in shapes}
    for seed in seeds:
        for name, shape in shapes.items():
            rng, layer = stream(seed, "init", name), name.rpartition(".")[0]
            is_bias = name.endswith("bias")
            drawn[name].append(draw_bias(bias, shapes[f"{layer}.weight"], rng) if is_bias else draw(law, shape, rng))
    return {name: np.stack(values).astype(samples.mean.dtype) for name, values in drawn.items()}


def hyper(rule: str, n_trials: int) -> dict[str, Any]:
    optimizer, given = RULES[rule]
    return {name: np.full(n_trials, value) for name, value in {**OPTIMIZERS[optimizer].defaults, **given}.items()}


def train_many(
    engine: Callable[..., History],
    samples: Samples | Sequence[Samples],
    width: Sequence[int],
    seeds: Sequence[int],
    *,
    law: str = "he_normal",
    activation: str = "relu",
    rule: str = "momentum",
    lr: float | Sequence[float] = 0.05,
    batch: int = 31,
    epochs: int | Sequence[int] = 3,
    schedule: str = "constant",
    params: dict[str, Any] | None = None,
    **options: Any,
) -> History:
    """Train one trial per seed, each in its own data order and, where there are several, on its own samples."""
    distinct = list(dict.fromkeys(seeds))
    of_seed = [samples] * len(distinct) if isinstance(samples, Samples) else list(samples)
    n_train = len(of_seed[0].train)
    job = Job(
        of_seed,
        Networks(params or initial(of_seed[0], width, seeds, law), activation, {}),
        RULES[rule][0],
        hyper(rule, len(seeds)),
        Schedule(
            np.broadcast_to(np.array(lr, float), len(seeds)),
            np.broadcast_to(np.array(epochs), len(seeds)),
            batch,
            schedule,
        ),
        Orders(
            np.array([distinct.index(seed) for seed in seeds]),
            lambda order, epoch: of_seed[order].train[permutation(n_train, distinct[order], "order", str(epoch))],
        ),
    )
    return engine(job, **options)


def train_plainly(
    samples: Samples,
    width: Sequence[int],
    seed: int,
    activation: str,
    rule: str,
    lr: float,
    batch: int,
    epochs: int,
) -> tuple[dict[str, Tensor], list[list[float]], int]:
    """The same training as anyone would write it: nn.Module, autograd, torch.optim, one network.

    Returns:
        The parameters, the curves, and how many classes it names of the test samples.
    """
    params = initial(samples, width, [seed])
    layers = []
    for i in range(len(width) + 1):
        weight, bias = (torch.tensor(params[f"layers.{i}.{kind}"][0]) for kind in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
        layer.weight.data, layer.bias.data = weight, bias
        layers.append(layer)
    phi = torch_function(activation)

    def forward(x: Tensor) -> Tensor:
        for layer in layers[:-1]:
            x = phi(layer(x))
        return layers[-1](x)

    trained = [p for layer in layers for p in (layer.weight, layer.bias)]
    optimizer, given = RULES[rule]
    opt = TORCH[optimizer](trained, lr, **{**OPTIMIZERS[optimizer].defaults, **given})
    x, y = torch.tensor((samples.x - samples.mean) / samples.std), torch.tensor(samples.y)
    curves = []
    for epoch in range(epochs):
        loss_sum, n_correct = 0.0, 0
        order = torch.tensor(samples.train[permutation(len(samples.train), seed, "order", str(epoch))])
        for rows in order.split(batch):
            logits = forward(x[rows])
            loss = nn.functional.cross_entropy(logits, y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            loss_sum += loss.item() * len(rows)
            n_correct += int((logits.argmax(1) == y[rows]).sum())
        with torch.no_grad():
            logits = forward(x[samples.val])
            val_loss = nn.functional.cross_entropy(logits, y[samples.val]).item()
            val_correct = int((logits.argmax(1) == y[samples.val]).sum())
        curves.append([loss_sum / len(order), n_correct, val_loss, val_correct])
    final = {f"layers.{i}.{k}": p.data for i, layer in enumerate(layers) for k, p in layer.named_parameters()}
    with torch.no_grad():
        named = forward(x[samples.test]).argmax(1).unique()
    return final, curves, len(named)


def assert_equal_to_plain(
    engine: Callable[..., History],
    width: Sequence[int],
    activation: str,
    rule: str,
    lr: float,
    batch: int,
    epochs: int,
) -> None:
    samples = make_samples(dtype=np.float64)
    seeds = [0, 3]
    history = train_many(
        engine, samples, width, seeds, activation=activation, rule=rule, lr=lr, batch=batch, epochs=epochs
    )
    for i, seed in enumerate(seeds):
        final, curves, n_answers = train_plainly(samples, width, seed, activation, rule, lr, batch, epochs)
        for name, values in final.items():
            np.testing.assert_allclose(history.params[name][i], values, rtol=1e-10, atol=1e-12)
        train_loss, train_correct, val_loss, val_correct = map(list, zip(*curves, strict=True))
        np.testing.assert_allclose(history.train_loss[i], train_loss, rtol=1e-10)
        np.testing.assert_allclose(history.val_loss[i, 1:], val_loss, rtol=1e-10)
        assert history.test_answers[i] == n_answers
        assert history.train_correct[i].tolist() == train_correct
        assert history.val_correct[i, 1:].tolist() == val_correct
