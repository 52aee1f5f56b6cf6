"""Compiled convolutional networks: against plain torch, alone and in company, killed and resumed."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted import killed_until_whole
from test_models import ARCHITECTURES, assert_as_plain, assert_same_trial, make_samples, train, train_plainly

from initbench.engine import compiled
from initbench.engine.choose import choose
from initbench.engine.compiled import convolution
from initbench.engine.job import History, Job
from initbench.models import Architecture


def of(
    depth: int = 2, shape: tuple[int, int, int] = (2, 5, 5), activation: str = "tanh", **settings: int
) -> Architecture:
    chosen = {"channels": 5, "kernel": 3, "stride": 2, **settings}
    return replace(
        ARCHITECTURES["cnn"], depth=depth, sample_shape=shape, activation=activation, settings=tuple(chosen.items())
    )


def engine(architecture: Architecture) -> Callable[..., History]:
    images = compiled.Images(*architecture.sample_shape, dict(architecture.settings)["stride"])

    def run(job: Job, build: object, **options: Any) -> History:
        return compiled.train(job, images=images, **options)

    return run


# All of them with 50 numbers a sample, in maps that are square or not, smaller than the kernel or not.
SHAPES = {
    "usual": of(),
    "one": of(1, stride=1),
    "deep": of(4, (1, 5, 10), "gelu"),
    "flat": of(2, (5, 1, 10), "relu", kernel=5, stride=3),
    "points": of(3, (2, 5, 5), "silu", kernel=1, stride=2),
    "wide": of(2, (50, 1, 1), "relu", kernel=7, channels=3, stride=1),
}


@pytest.mark.full
@pytest.mark.parametrize("part", [None, 1, 60_000], ids=["all at once", "one by one", "some"])
@pytest.mark.parametrize("name", SHAPES)
def test_equals_plain_torch(monkeypatch: pytest.MonkeyPatch, name: str, part: int | None) -> None:
    if part is not None:
        monkeypatch.setattr(convolution, "_PART_BYTES", part)
    architecture, samples, seeds = SHAPES[name], make_samples(np.float64), [0, 3]
    history = train(architecture, seeds, engine=engine(architecture), samples=samples, epochs=3)
    for i, seed in enumerate(seeds):
        assert_as_plain(history, i, *train_plainly(architecture, seed, samples, epochs=3))


@pytest.mark.full
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_trial_is_bit_for_bit_the_same_in_any_company(threads: int) -> None:
    architecture = of()
    alone = {seed: train(architecture, [seed], engine=engine(architecture), threads=1) for seed in range(2)}
    for seeds, lrs in (([1, 0, 5], [0.05, 0.05, 0.05]), ([4, 1, 6, 0, 7], [1e30, 0.05, 0.01, 0.05, 1e30])):
        together = train(architecture, seeds, engine=engine(architecture), lr=lrs, threads=threads)
        for slot, seed in enumerate(seeds):
            if seed in alone:
                assert_same_trial(alone[seed], 0, together, slot)
        assert (together.diverged_at >= 0).tolist() == [lr > 1 for lr in lrs]


@pytest.mark.full
def test_whoever_is_killed_again_and_again_has_the_bits_of_whoever_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, seeds = of(), [0, 3]
    whole = train(architecture, seeds, engine=engine(architecture), threads=1)
    # Compiled code comes back after every step.
    monkeypatch.setattr(sys.modules["initbench.engine.compiled.train"], "_CALL_FLOPS", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    again, lives, found = killed_until_whole(
        tmp_path,
        2,
        7,
        lambda kept: train(architecture, seeds, engine=engine(architecture), threads=1, checkpoints=kept),
    )
    assert lives >= 4
    assert found >= lives - 2
    for i in range(2):
        assert_same_trial(whole, i, again, i)


def test_plain_convolutional_networks_are_compiled_and_others_are_torchs() -> None:
    cpu = torch.device("cpu")
    assert choose(of(), "adam", cpu).name == "compiled"
    for other in (of(0), ARCHITECTURES["residual_cnn"]):
        assert choose(other, "sgd", cpu).name == "torch"
