"""Both engines against plain torch, and the promise that a trial does not depend on its companions."""

import math
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training import (
    ENGINES,
    RULES,
    TORCH,
    assert_equal_to_plain,
    engines,
    initial,
    make_samples,
    train_many,
    train_stacked,
)

from initbench.activations import ACTIVATIONS
from initbench.engine import compiled
from initbench.engine.job import History
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.stacked.perceptrons import MLP


# 150 training rows in batches of 31 are 5 steps an epoch: 40 epochs are 200 steps.
@pytest.mark.full
@engines
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_plain_torch_for_every_activation(engine: Callable[..., History], activation: str) -> None:
    assert_equal_to_plain(engine, (17, 33), activation, "momentum", 0.02, 31, 40)


@pytest.mark.full
@engines
@pytest.mark.parametrize("rule", RULES)
def test_equals_plain_torch_for_every_optimizer(engine: Callable[..., History], rule: str) -> None:
    lr = 0.05 if RULES[rule][0] == "sgd" else 0.002
    assert_equal_to_plain(engine, (20, 16), "tanh", rule, lr, 31, 40)


def test_every_optimizer_has_a_twin_here() -> None:
    assert set(TORCH) == {optimizer for optimizer, _ in RULES.values()} == set(OPTIMIZERS)


@pytest.mark.full
@engines
@pytest.mark.parametrize("width", [(), (8,), (16, 32, 16, 32, 16)])
@pytest.mark.parametrize("batch", [1, 32, 1000])
def test_equals_plain_torch_for_depths_and_batches(
    engine: Callable[..., History], width: tuple[int, ...], batch: int
) -> None:
    assert_equal_to_plain(engine, width, "silu", "nesterov", 0.01, batch, 2)


# Widths, features, classes and batch: a usual shape, and one in which nothing is a multiple of anything.
SHAPES = {"even": ((64, 32), 64, 16, 32), "odd": ((17, 33, 5), 33, 7, 31), "mnist": ((128,), 784, 10, 128)}


@pytest.mark.full
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_trial_is_bit_for_bit_the_same_in_any_company(shape: str, activation: str, rule: str, threads: int) -> None:
    width, features, classes, batch = SHAPES[shape]
    samples = make_samples(features, classes)
    lr = 0.003 if rule == "adam" else 0.05
    trained = partial(
        train_many, compiled.train, samples, width, activation=activation, rule=rule, lr=lr, batch=batch,
        epochs=4,
    )  # fmt: skip
    alone = {seed: trained([seed], threads=1) for seed in range(3)}
    for seeds in ([0, 1, 2], [2, 0, 1, 3, 4, 5, 6, 7, 8, 9], [1] * 5 + [0], [2, 2, 2]):
        together = trained(seeds, threads=threads)
        for slot, seed in enumerate(seeds):
            if seed in alone:
                assert_same_trial(alone[seed], 0, together, slot)


def assert_same_trial(a: History, i: int, b: History, j: int) -> None:
    for name, values in a.params.items():
        assert np.array_equal(values[i], b.params[name][j])
    for name in ("train_loss", "train_correct", "val_loss", "val_correct"):
        mine, theirs = getattr(a, name)[i], getattr(b, name)[j]
        assert np.array_equal(mine, theirs[: len(mine)], equal_nan=True)
    assert a.test_loss[i] == b.test_loss[j]
    assert a.test_correct[i] == b.test_correct[j]
    assert a.test_answers[i] == b.test_answers[j]


def test_no_global_setting_is_left_changed() -> None:
    from threadpoolctl import threadpool_info

    def settings() -> Any:
        subnormal = float(np.float32(1e-39) * np.float32(1))
        libraries = sorted(map(str, threadpool_info()))
        return torch.get_num_threads(), torch.get_float32_matmul_precision(), libraries, subnormal

    # The first one may compile, for which libraries are loaded.
    train_many(compiled.train, make_samples(), (8,), [0])
    before = settings()
    train_many(compiled.train, make_samples(), (8,), [0, 1])
    assert settings() == before


@engines
def test_divergence_ends_one_trial_and_touches_no_other(engine: Callable[..., History]) -> None:
    samples = make_samples(dtype=np.float64 if engine is train_stacked else np.float32)
    overflow = 1e300 if engine is train_stacked else 1e30
    history = train_many(engine, samples, (32, 32), [0, 1, 2, 3], lr=[0.05, overflow, 0.05, 0.05], epochs=6)
    # The first update overflows; the loss of the second step (step 1) shows it.
    assert history.diverged_at.tolist() == [-1, 1, -1, -1]
    assert history.train_correct[1].tolist() == [-1] * 6
    assert np.isnan(history.test_loss[1])
    assert history.val_correct[1, 0] >= 0
    assert history.val_correct[1, 1:].tolist() == [-1] * 6
    for slot in (0, 2, 3):
        alone = train_many(engine, samples, (32, 32), [slot], epochs=6)
        if engine is compiled.train:
            assert_same_trial(alone, 0, history, slot)
        np.testing.assert_allclose(alone.train_loss[0], history.train_loss[slot], rtol=1e-10)


@pytest.mark.parametrize("engine", [*ENGINES.values(), partial(train_stacked, each=True)], ids=[*ENGINES, "each"])
def test_every_seed_has_a_split_of_its_own(engine: Callable[..., History]) -> None:
    one, rng = make_samples(dtype=np.float64), np.random.default_rng(5)
    splits = [one]
    for shift in (0.5, -0.25):
        rows = rng.permutation(len(one.train) + len(one.val))
        own = {"train": np.sort(rows[: len(one.train)]), "val": np.sort(rows[len(one.train) :])}
        splits.append(replace(one, mean=one.mean + shift, std=one.std * 2, y=(one.y + 1) % 7, **own))
    seeds = [3, 0, 8]
    history = train_many(engine, splits, (16,), seeds)
    for slot, seed in enumerate(seeds):
        alone = train_many(engine, [splits[slot]], (16,), [seed])
        for name in ("train_loss", "val_loss", "test_loss", "val_correct", "test_correct"):
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(history, name)[slot], rtol=1e-10, err_msg=name)


@engines
def test_all_trials_may_diverge(engine: Callable[..., History]) -> None:
    history = train_many(engine, make_samples(), (16,), [0, 1], lr=1e30)
    assert (history.diverged_at >= 0).all()


@engines
def test_a_nan_in_the_initial_weights_is_divergence_at_step_0(engine: Callable[..., History]) -> None:
    samples = make_samples()
    params = initial(samples, (16,), [0, 1])
    params["layers.0.weight"][0] = float("nan")
    history = train_many(engine, samples, (16,), [0, 1], epochs=1, params=params)
    assert history.diverged_at.tolist() == [0, -1]


@engines
def test_a_trial_may_train_for_fewer_epochs_than_its_companions(engine: Callable[..., History]) -> None:
    samples = make_samples(dtype=np.float64)
    together = train_many(engine, samples, (16,), [0, 1, 2], epochs=[4, 2, 3], schedule="cosine")
    for slot, epochs in enumerate([4, 2, 3]):
        alone = train_many(engine, samples, (16,), [slot], epochs=epochs, schedule="cosine")
        np.testing.assert_allclose(together.train_loss[slot, :epochs], alone.train_loss[0], rtol=1e-10)
        np.testing.assert_allclose(together.test_loss[slot], alone.test_loss[0], rtol=1e-10)
        assert np.isnan(together.train_loss[slot, epochs:]).all()
        assert together.diverged_at[slot] == -1


@engines
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_equal_units_stay_equal(engine: Callable[..., History], activation: str) -> None:
    samples = make_samples()
    params = initial(samples, (16, 16), [0], "constant", "zeros")
    history = train_many(engine, samples, (16, 16), [0], activation=activation, lr=0.1, epochs=10, params=params)
    first, second, last = (history.params[f"layers.{i}.weight"][0] for i in range(3))
    assert not np.array_equal(first, params["layers.0.weight"][0])
    # Each of these is a sum of the same numbers, which a BLAS may add up in another order for units at the edge of its
    # tiles: equal to the rounding of float32.
    np.testing.assert_allclose(first, np.broadcast_to(first[:1], first.shape), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second, np.full_like(second, second[0, 0]), rtol=1e-4)
    np.testing.assert_allclose(last, np.broadcast_to(last[:, :1], last.shape), rtol=1e-4, atol=1e-6)


@engines
def test_progress_counts_every_step_of_every_trial(engine: Callable[..., History]) -> None:
    counted: list[int] = []
    train_many(engine, make_samples(), (16,), [0, 1], batch=32, epochs=2, progress=counted.append)
    assert sum(counted) == 2 * 2 * math.ceil(150 / 32)


def test_an_error_stops_the_threads_that_train() -> None:
    class Stopped(BaseException):
        pass

    def stop(n_steps: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train_many(compiled.train, make_samples(784, 10), (512, 512), list(range(4)), epochs=1000, progress=stop)
    assert threading.active_count() == 1


def test_memory_is_a_few_times_the_parameters() -> None:
    samples, seeds = make_samples(784, 10), list(range(40))
    params = initial(samples, (128, 128), seeds)
    train_many(compiled.train, samples, (128, 128), [0], epochs=1)  # Compile first.
    tracemalloc.start()
    try:
        train_many(compiled.train, samples, (128, 128), seeds, epochs=1, params=params, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The history's copy of the final parameters, and the memory of two networks in training: parameters, velocities
    # and 256 rows of inputs, outputs, slopes and gradients, 3.4 MB each.
    n_bytes = sum(values.nbytes for values in params.values())
    assert peak < n_bytes + 2 * 3.5e6 + 2e6


def test_a_stack_that_does_not_fit_is_halved_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = make_samples(dtype=np.float64)
    whole = train_many(train_stacked, samples, (16,), list(range(7)))
    sizes: list[int] = []
    forward = MLP.forward

    def with_little_memory(self: MLP, x: Tensor, training: bool = False) -> Tensor:
        if len(self.params["layers.0.weight"]) > 2:
            raise torch.OutOfMemoryError
        sizes.append(len(x))
        return forward(self, x, training)

    monkeypatch.setattr(MLP, "forward", with_little_memory)
    counted: list[int] = []
    parts = train_many(train_stacked, samples, (16,), list(range(7)), progress=counted.append)
    assert max(sizes) == 2
    assert sum(counted) == 7 * 3 * 5
    for name, values in whole.params.items():
        np.testing.assert_allclose(parts.params[name], values, rtol=1e-10)
    np.testing.assert_allclose(parts.val_loss, whole.val_loss, rtol=1e-10)
