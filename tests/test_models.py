"""Models that torch trains: against plain torch, alone and in company."""

import copy
import math
import threading
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_model import OWN, own
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, linear

from initbench.data import Samples
from initbench.engine import stacked
from initbench.engine.job import History, Job, Networks, Orders, Schedule
from initbench.engine.stacked.module import StackedModule
from initbench.engine.stacked.single import SingleModule
from initbench.models import MODELS, Architecture, modules
from initbench.seeding import permutation
from initbench.settings.compose import compose
from initbench.settings.options import option_files

CONVOLUTION = (("channels", 5), ("kernel", 3), ("stride", 2))
ARCHITECTURES = {
    "layer": Architecture("mlp", (("norm", "layer"),), 2, (9, 7), "tanh", (), (50,), 4),
    "batch": Architecture("mlp", (("norm", "batch"),), 2, (9, 7), "relu", (), (50,), 4),
    "cnn": Architecture("cnn", CONVOLUTION, 2, (), "tanh", (), (2, 5, 5), 4),
    "residual_mlp": Architecture("residual_mlp", (("layers", 2),), 2, (8, 8), "gelu", (), (50,), 4),
    "residual_cnn": Architecture("residual_cnn", (*CONVOLUTION, ("layers", 3)), 2, (), "silu", (), (2, 5, 5), 4),
    "cnn batch": Architecture("cnn", (*CONVOLUTION, ("norm", "batch")), 2, (), "relu", (), (2, 5, 5), 4),
    "residual_mlp layer": Architecture(
        "residual_mlp", (("layers", 2), ("norm", "layer")), 1, (8,), "relu", (), (50,), 4
    ),
    "residual_cnn layer": Architecture(
        "residual_cnn", (*CONVOLUTION, ("layers", 2), ("norm", "layer")), 1, (), "relu", (), (2, 5, 5), 4
    ),
    "residual_cnn batch": Architecture(
        "residual_cnn", (*CONVOLUTION, ("layers", 1), ("norm", "batch")), 2, (), "tanh", (), (2, 5, 5), 4
    ),
    "module": Architecture("module", (), 0, (), "relu", (), (2, 5, 5), 4),
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest, tmp_path: Path) -> Architecture:
    of = ARCHITECTURES[request.param]
    if of.model != "module":
        return of
    path, _, function = own(tmp_path).rpartition(":")
    settings = (("code", modules.code_hash(OWN.encode())), ("function", function), ("path", path))
    return Architecture("module", settings, 0, (), "relu", (), of.sample_shape, of.n_classes)


def make_samples(dtype: Any = np.float32, n: int = 200) -> Samples:
    x = np.random.default_rng(0).standard_normal((n, 50)) + 2
    rows = np.arange(n)
    return Samples(
        x=x.astype(dtype),
        y=x[:, :4].argmax(1),
        mean=np.full(50, 2.0, dtype),
        std=np.full(50, 1.5, dtype),
        train=rows[: n // 2],
        val=rows[n // 2 : 3 * n // 4],
        test=rows[3 * n // 4 :],
        n_classes=4,
    )


def initial(of: Architecture, seeds: Sequence[int], dtype: Any) -> dict[str, Any]:
    """Some values for every parameter, from the seed and its name, and the module's own buffers."""
    module, values = modules.template(of), {}
    for name, param in module.named_parameters():
        drawn = [
            0.4 * np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(param.shape)
            for seed in seeds
        ]
        values[name] = np.stack(drawn).astype(dtype)
    for name, buffer in module.named_buffers():
        one = buffer.numpy()
        values[name] = np.stack([one.astype(dtype) if one.dtype == np.float32 else one] * len(seeds))
    return values


def train(
    of: Architecture,
    seeds: Sequence[int],
    *,
    engine: Callable[..., History] = stacked.train_each,
    samples: Samples | None = None,
    lr: float | Sequence[float] = 0.05,
    momentum: float = 0.9,
    epochs: int | Sequence[int] = 3,
    **options: Any,
) -> History:
    samples = samples or make_samples()
    module = modules.template(of)
    rows = samples.train
    hyper = {"momentum": momentum, "nesterov": False, "weight_decay": 1e-3}
    job = Job(
        [samples] * len(seeds),
        Networks(initial(of, seeds, samples.mean.dtype), of.activation, {}),
        "sgd",
        {name: np.full(len(seeds), value) for name, value in hyper.items()},
        Schedule(*(np.broadcast_to(np.array(each), len(seeds)) for each in (lr, epochs)), 23, "cosine"),
        Orders(
            np.arange(len(seeds)),
            lambda order, epoch: rows[permutation(len(rows), seeds[order], "order", str(epoch))],
        ),
    )
    kind = SingleModule if engine is stacked.train_each else StackedModule
    return engine(job, lambda params: kind(module, params, of.sample_shape), **options)


def train_plainly(of: Architecture, seed: int, samples: Samples, epochs: int) -> tuple[dict[str, Tensor], list[Any]]:
    """The same training as anyone would write it: nn.Module, autograd, torch.optim, one network."""
    module = copy.deepcopy(modules.template(of)).double()
    values = {name: torch.tensor(value[0]) for name, value in initial(of, [seed], np.float64).items()}
    module.load_state_dict(values)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    steps = epochs * math.ceil(len(samples.train) / 23)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    x = torch.tensor((samples.x - samples.mean) / samples.std).reshape(-1, *of.sample_shape)
    y, curves = torch.tensor(samples.y), []
    for epoch in range(epochs):
        order = torch.tensor(samples.train[permutation(len(samples.train), seed, "order", str(epoch))])
        total, correct = 0.0, 0
        module.train()
        for rows in order.split(23):
            logits = module(x[rows])
            loss = cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
            correct += int((logits.argmax(1) == y[rows]).sum())
        module.eval()
        with torch.no_grad():
            logits = module(x[samples.val])
        val = cross_entropy(logits, y[samples.val]).item(), int((logits.argmax(1) == y[samples.val]).sum())
        curves.append((total / len(order), correct, *val))
    return module.state_dict(), curves


ENGINES = {"a thread each": stacked.train_each, "a stack": stacked.train}


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_equals_plain_torch(architecture: Architecture, engine: Callable[..., History]) -> None:
    samples, seeds = make_samples(np.float64), [0, 3, 8]
    history = train(architecture, seeds, engine=engine, samples=samples, epochs=4)
    for i, seed in enumerate(seeds):
        assert_as_plain(history, i, *train_plainly(architecture, seed, samples, epochs=4))


def assert_as_plain(history: History, i: int, final: dict[str, Tensor], curves: list[Any]) -> None:
    assert set(final) == set(history.params)
    for name, values in final.items():
        np.testing.assert_allclose(history.params[name][i], values, rtol=1e-9, atol=1e-11, err_msg=name)
    train_loss, train_correct, val_loss, val_correct = map(list, zip(*curves, strict=True))
    np.testing.assert_allclose(history.train_loss[i], train_loss, rtol=1e-10)
    np.testing.assert_allclose(history.val_loss[i, 1:], val_loss, rtol=1e-10)
    assert history.train_correct[i].tolist() == train_correct
    assert history.val_correct[i, 1:].tolist() == val_correct


@pytest.mark.full
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_trial_is_bit_for_bit_the_same_in_any_company(architecture: Architecture, threads: int) -> None:
    alone = {seed: train(architecture, [seed], threads=1) for seed in range(2)}
    for seeds, lrs in (([1, 0, 5], [0.05, 0.05, 0.05]), ([4, 1, 6, 0, 7], [1e30, 0.05, 0.01, 0.05, 1e30])):
        together = train(architecture, seeds, lr=lrs, threads=threads)
        for slot, seed in enumerate(seeds):
            if seed in alone:
                assert_same_trial(alone[seed], 0, together, slot)
        assert (together.diverged_at >= 0).tolist() == [lr > 1 for lr in lrs]


def assert_same_trial(a: History, i: int, b: History, j: int) -> None:
    for name, values in a.params.items():
        assert np.array_equal(values[i], b.params[name][j]), name
    for name in ("train_loss", "train_correct", "val_loss", "val_correct"):
        assert np.array_equal(getattr(a, name)[i], getattr(b, name)[j], equal_nan=True)
    assert a.test_loss[i] == b.test_loss[j]
    assert a.test_correct[i] == b.test_correct[j]
    assert a.test_answers[i] == b.test_answers[j]


def test_what_a_diverged_trial_leaves_is_its_start() -> None:
    of = ARCHITECTURES["batch"]
    history = train(of, [0, 1], lr=[1e30, 0.05])
    for name, values in initial(of, [0, 1], np.float32).items():
        assert (history.params[name][0] == values[0]).all()
        assert (history.params[name][1] != values[1]).any()
    assert np.isnan(history.test_loss).tolist() == [True, False]


def test_a_trial_may_train_for_fewer_epochs_than_its_companions(architecture: Architecture) -> None:
    together = train(architecture, [0, 1], epochs=[3, 1])
    alone = train(architecture, [1], epochs=1)
    assert (together.test_loss[1], together.diverged_at[1]) == (alone.test_loss[0], -1)
    assert np.isnan(together.train_loss[1, 1:]).all()


def test_progress_counts_every_step_and_nothing_global_changes(architecture: Architecture) -> None:
    counted: list[int] = []
    before = torch.get_num_threads(), torch.get_rng_state()
    modules._template.cache_clear()
    train(architecture, [0, 1, 2], epochs=2, progress=counted.append)
    assert sum(counted) == 3 * 2 * math.ceil(100 / 23)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_an_error_stops_the_threads_that_train() -> None:
    class Stopped(BaseException):
        pass

    def stop(n_steps: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(ARCHITECTURES["residual_cnn"], list(range(4)), epochs=10_000, progress=stop)
    assert threading.active_count() == 1


def expected_logits(of: Architecture, p: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the model computes in training, written out with the parameters by name."""
    phi = getattr(torch.nn.functional, of.activation, None) or getattr(torch, of.activation)
    norm = dict(of.settings).get("norm")

    def normed(x: Tensor, p: dict[str, Tensor], name: str) -> Tensor:
        """Over all numbers of a sample, or over all samples and places of a unit; then each unit's scale and shift."""
        if norm is None:
            return x
        over = tuple(range(1, x.dim())) if norm == "layer" else (0, *range(2, x.dim()))
        x = (x - x.mean(over, keepdim=True)) / torch.sqrt(x.var(over, unbiased=False, keepdim=True) + 1e-5)
        scale, shift = (p[f"{name}.{part}"].view(-1, *[1] * (x.dim() - 2)) for part in ("weight", "bias"))
        return x * scale + shift

    if of.model == "mlp":
        for i in range(of.depth):
            x = linear(x, p[f"layers.{i}.weight"], p[f"layers.{i}.bias"])
            x = phi(normed(x, p, f"norms.{i}"))
        return linear(x, p[f"layers.{of.depth}.weight"], p[f"layers.{of.depth}.bias"])
    if of.model == "cnn":
        for i in range(of.depth):
            x = conv2d(x, p[f"layers.{i}.weight"], p[f"layers.{i}.bias"], stride=2 if i == 0 else 1, padding=1)
            x = phi(normed(x, p, f"norms.{i}"))
        return linear(x.flatten(1), p[f"layers.{of.depth}.weight"], p[f"layers.{of.depth}.bias"])
    layer = partial(conv2d, padding=1) if of.model == "residual_cnn" else linear
    stride = {"stride": 2} if of.model == "residual_cnn" else {}
    x = layer(x, p["first.weight"], p["first.bias"], **stride)
    for block in range(of.depth):
        h, name = x, f"blocks.{block}"
        for i in range(dict(of.settings)["layers"]):
            h = layer(
                phi(normed(h, p, f"{name}.norms.{i}")), p[f"{name}.layers.{i}.weight"], p[f"{name}.layers.{i}.bias"]
            )
        x = x + p[f"{name}.multiplier"] * h
    return linear(phi(normed(x, p, "norm")).flatten(1), p["output.weight"], p["output.bias"])


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "module"])
def test_the_models_compute_what_they_say(name: str) -> None:
    of = ARCHITECTURES[name]
    module = copy.deepcopy(modules.template(of)).double()
    values = {name: torch.tensor(value[0]) for name, value in initial(of, [0], np.float64).items()}
    module.load_state_dict(values)
    x = torch.tensor(np.random.default_rng(1).standard_normal((6, *of.sample_shape)))
    torch.testing.assert_close(module(x), expected_logits(of, values, x), rtol=1e-12, atol=1e-12)


def test_tables_and_files_agree() -> None:
    assert set(MODELS) == set(modules.BUILDERS) == set(option_files("model"))
    for name, model in MODELS.items():
        (plain,) = compose([f"model={name}"])
        assert set(plain["model"]) - {"name"} == {parameter.name for parameter in model.parameters}


def test_cost_counts_products_and_outputs() -> None:
    flops, outputs = modules.cost(ARCHITECTURES["cnn"])
    # 5 channels on 3x3 positions from 2 channels, then from 5; kernels of 9; then 45 to 4.
    assert flops == 2 * (9 * 5 * 2 * 9 + 9 * 5 * 5 * 9 + 45 * 4)
    assert outputs == 45 + 45 + 4
