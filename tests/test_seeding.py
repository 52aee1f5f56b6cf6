import random
from itertools import product

import numpy as np
import torch

from initbench.seeding import permutation, stream


def test_streams_are_the_same_for_ever() -> None:
    # Golden values: a change here changes every result ever recorded.
    assert stream(0, "init", "layers.0.weight").bit_generator.random_raw(2).tolist() == [
        18197766097035964920,
        8626799495164124183,
    ]
    assert permutation(8, 0, "order", "epoch.0").tolist() == [5, 6, 2, 1, 4, 0, 7, 3]


def test_every_name_is_a_stream_of_its_own() -> None:
    names = product([0, 1, 5, 5 + 2**32, 2**64], ["init", "order"], ["", "0", "layers.0.weight"])
    firsts = [stream(*name).bit_generator.random_raw() for name in names]
    assert len(set(firsts)) == len(firsts) == 30


def test_drawing_leaves_the_global_generators_alone() -> None:
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
    stream(0, "init").standard_normal(10)
    permutation(10, 0, "order")
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002


def test_a_permutation_holds_every_number_once() -> None:
    assert sorted(permutation(1000, 3, "order")) == list(range(1000))


def test_permutations_are_uniform() -> None:
    # Position of element 0 among 5 over 2,000 streams: chi-square with 4 degrees of freedom, p = 0.001 at 18.5.
    places = np.bincount([permutation(5, seed, "order").tolist().index(0) for seed in range(2000)], minlength=5)
    assert ((places - 400) ** 2 / 400).sum() < 18.5
