"""Splitting and checking data."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from initbench.data import SOURCES, STANDARDIZE, Arrays, DatasetSpec, load, samples, split, statistics
from initbench.errors import InputError


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    arrays = SOURCES["digits"]()
    assert arrays.x.dtype == np.uint8
    assert (arrays.x == load_digits().data).all()
    assert (arrays.y == load_digits().target).all()


def test_synthetic_clouds_are_those_that_records_name() -> None:
    arrays = load(DatasetSpec("synthetic", "synthetic"))
    # Part of the key of every trial on them.
    assert arrays.sha256 == "2fd6356e6a721c08a8572d687ea8db5f22ca430797a22f0e9d24bada5fb55706"
    # Around the mean of its class a cloud has the deviation asked for, 1.
    centres = np.stack([arrays.x[arrays.y == label].mean(0) for label in range(4)])
    assert (arrays.x - centres[arrays.y]).std() == pytest.approx(1, abs=0.03)


def test_content_that_is_not_the_expected_is_refused() -> None:
    spec = DatasetSpec("digits", "digits", sha256="0" * 64)
    with pytest.raises(InputError, match="not the expected 0000"):
        load(spec)


def test_the_content_hash_sees_values_types_shapes_and_the_test_set() -> None:
    x, y = np.zeros((6, 2), np.uint8), np.array([0, 1] * 3)
    variants = [
        Arrays(x, y),
        Arrays(x.astype(np.float32), y),
        Arrays(x.reshape(3, 4), y[:3]),
        Arrays(x, y, n_test=2),
        Arrays(x, 1 - y),
        Arrays(x + 1, y),
        Arrays(x, y, image=(1, 1, 2)),
        Arrays(x, y, image=(1, 2, 1)),
    ]
    assert len({arrays.sha256 for arrays in variants}) == len(variants)
    assert Arrays(x.copy(order="F"), y).sha256 == variants[0].sha256


def test_splits_are_disjoint_whole_and_stratified() -> None:
    spec = DatasetSpec("digits", "digits", val=0.25, test=100)
    arrays = load(spec)
    parts = split(arrays, spec)
    assert sorted(np.concatenate([parts.train, parts.val, parts.test])) == list(range(1797))
    assert len(parts.test) == 100
    assert len(parts.val) == round(0.25 * 1697)
    share = np.bincount(arrays.y) / len(arrays.y)
    for rows in (parts.train, parts.val, parts.test):
        assert np.abs(np.bincount(arrays.y[rows], minlength=10) - share * len(rows)).max() <= 1


@pytest.mark.parametrize("train", [None, 300])
def test_each_seed_has_other_training_samples_and_the_same_test_samples(train: float | None) -> None:
    spec = DatasetSpec("digits", "digits", val=0.25, train=train)
    first, second = samples(spec, 0), samples(spec, 1)
    assert (first.x is second.x, first.y is second.y) == (True, True)
    assert (first.test == second.test).all()
    assert first.frequencies.tolist() == second.frequencies.tolist()
    whole = [np.concatenate([one.train, one.val, one.test]) for one in (first, second)]
    assert all(len(np.unique(rows)) == len(rows) for rows in whole)
    assert train is not None or (np.sort(whole[0]) == np.sort(whole[1])).all()
    for name in ("train", "val"):
        one, other = getattr(first, name), getattr(second, name)
        # By chance two draws of the 1,437 share this many.
        drawn, among = len(one), len(load(spec).y) - len(first.test)
        expected, sd = drawn**2 / among, drawn / among * (among - drawn) / math.sqrt(among - 1)
        assert abs(len(np.intersect1d(one, other)) - expected) < 5 * sd
    for one in (first, second):
        assert one.mean[0] == pytest.approx(load(spec).x[one.train].mean(dtype=np.float64), rel=1e-6)
    assert first.mean[0] != second.mean[0]
    fixed = replace(spec, split="fixed")
    assert (samples(fixed, 1).train == first.train).all()
    assert samples(fixed, 1) is samples(fixed, 0)


def test_the_only_sample_of_a_class_is_trained_on() -> None:
    arrays = Arrays(np.arange(20, dtype=np.float32).reshape(10, 2), np.array([0] * 9 + [1]))
    parts = split(arrays, DatasetSpec("own", "npz", val=0.2, test=0.2))
    assert 9 in parts.train
    assert (len(parts.val), len(parts.test)) == (2, 2)


def test_a_test_set_that_the_data_brings_is_kept() -> None:
    arrays = Arrays(np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2, n_test=6)
    parts = split(arrays, DatasetSpec("own", "npz", val=4))
    assert parts.test.tolist() == list(range(14, 20))
    assert (len(parts.train), len(parts.val)) == (10, 4)


@pytest.mark.parametrize(
    ("y", "val", "test", "message"),
    [
        ([0, 1] * 10, 20, 0.1, "the train split is empty"),
        ([0, 1] * 10, 0.01, 0.1, "the val split is empty"),
        ([0] * 18 + [1], 0.9, 0.2, "class 1 has no training sample"),
    ],
)
def test_an_impossible_split_is_told(y: list[int], val: float, test: float, message: str) -> None:
    arrays = Arrays(np.zeros((len(y), 2), np.float32), np.array(y))
    with pytest.raises(InputError, match=message):
        split(arrays, DatasetSpec("own", "npz", val=val, test=test))


@pytest.mark.parametrize("train", [100, 0.25])
def test_a_part_of_the_training_samples_is_one_of_every_class_alike(train: float) -> None:
    whole = DatasetSpec("digits", "digits")
    arrays = load(whole)
    every, part = split(arrays, whole), split(arrays, replace(whole, train=train))
    assert len(part.train) == (100 if train == 100 else round(0.25 * len(every.train)))
    assert set(part.train) < set(every.train)
    assert part.val.tolist() == every.val.tolist()
    assert part.test.tolist() == every.test.tolist()
    share = np.bincount(arrays.y[every.train]) / len(every.train)
    assert np.abs(np.bincount(arrays.y[part.train], minlength=10) - share * len(part.train)).max() <= 1
    with pytest.raises(InputError, match=r"'digits': 1150 samples are left to train on, not 1151"):
        split(arrays, replace(whole, train=1151))


@pytest.mark.parametrize("how", STANDARDIZE)
def test_training_rows_are_standardised(how: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((9000, 5)) * [1, 2, 3, 4, 0] + [0, 1, 2, 3, 4]).astype(np.float32)
    rows = np.arange(0, 9000, 2)
    mean, std = statistics(x, rows, how)
    z = (x[rows] - mean) / std
    if how == "unit":
        assert (z.min(), z.max()) == (0, 1)
        assert len(set(mean.tolist())) == len(set(std.tolist())) == 1
    elif how == "global":
        assert z.mean() == pytest.approx(0, abs=1e-6)
        assert z.std() == pytest.approx(1, abs=1e-6)
    elif how == "feature":
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(z.std(0), [1, 1, 1, 1, 0], atol=1e-6)
    else:
        assert (z == x[rows]).all()


def test_nothing_but_training_rows_decides_how_samples_are_standardised(tmp_path: Path) -> None:
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    # What is far from everything else is in the test set that the data brings.
    x[14:] += 1000
    np.savez(tmp_path / "own.npz", x_train=x[:14], y_train=np.arange(14) % 2, x_test=x[14:], y_test=np.arange(6) % 2)
    spec = DatasetSpec("own", "npz", (("path", str(tmp_path / "own.npz")),), val=4, standardize="feature")
    data = samples(spec)
    assert (len(data.train), len(data.val), len(data.test)) == (10, 4, 6)
    np.testing.assert_allclose(data.mean, x[data.train].mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.std, x[data.train].std(0), rtol=1e-6)
    # Validation rows would change it too.
    assert not np.allclose(data.mean, x[:14].mean(0), rtol=1e-6)
