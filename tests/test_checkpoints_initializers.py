"""An initializer that trains and is killed goes on from its checkpoint, and has the bits of one that was not."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interrupted import Killed, Killing, killed_until_whole
from problems import LEARNING, QUICK, make_problem

from initbench.data_driven import DATA_LAWS, Prepared, Task, prepare
from initbench.engine.checkpoints import NONE, Checkpoints, State
from initbench.engine.job import Ints

TRAINING = [*LEARNING, "metainit"]


def tasks(name: str) -> list[Task]:
    """Two networks, of layers of several sizes."""
    params = DATA_LAWS[name].defaults | QUICK[name]
    return [Task(name, params, make_problem(activation="sigmoid", seed=seed, depth=2, width=24)) for seed in (0, 1)]


def prepared(name: str, checkpoints: Checkpoints = NONE, **options: Any) -> list[Prepared]:
    results = prepare(tasks(name), threads=1, checkpoints=checkpoints, **options)
    assert all(isinstance(result, Prepared) for result in results), results
    return results  # type: ignore[return-value]


def equal(a: Prepared, b: Prepared) -> bool:
    assert (a.samples, a.steps, a.reconstruction) == (b.samples, b.steps, b.reconstruction)
    assert list(a.params) == list(b.params)
    return all(np.array_equal(values, b.params[name]) for name, values in a.params.items())


@pytest.mark.full
@pytest.mark.parametrize("name", TRAINING)
def test_whoever_is_killed_again_and_again_has_the_bits_of_whoever_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = prepared(name)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # Odd, so that it ends at every kind of place: within a layer, at its end, between two networks.
    again, lives, found = killed_until_whole(tmp_path, 2, 2, lambda kept: prepared(name, kept))
    # Of two networks: two layers of five epochs and their end, or twenty steps; those side by side may die together.
    assert lives >= 5
    assert found >= lives - 1
    assert all(equal(a, b) for a, b in zip(whole, again, strict=True))


@pytest.mark.parametrize("name", ["pretrain_rbm", "metainit"])
def test_progress_begins_where_the_checkpoint_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(Killed):
        prepared(name, Killing(tmp_path, 2, after=3))
    counted: list[int] = []
    again = prepared(name, Killing(tmp_path, 2, after=np.inf), progress=counted.append)
    assert sum(counted) == sum(result.steps for result in again)


@pytest.mark.parametrize("name", ["pretrain_autoencoder", "metainit"])
def test_what_is_finished_is_not_done_again(tmp_path: Path, name: str) -> None:
    first = prepared(name, Killing(tmp_path, 2, after=np.inf))
    # Whoever makes a step is killed.
    second = prepared(name, Killing(tmp_path, 2, after=0))
    assert all(equal(a, b) for a, b in zip(first, second, strict=True))


class Long(Checkpoints):
    """Where the work had begun an hour ago."""

    def find(self, trials: Ints, state: Callable[[], State | None]) -> State | None:
        begun = state()
        assert begun is not None
        return {**begun, "seconds": np.array([3600.0])}


@pytest.mark.parametrize("name", ["pretrain_rbm", "metainit"])
def test_the_seconds_are_those_of_all_lives(name: str) -> None:
    assert all(result.seconds > 3600 for result in prepared(name, Long()))
