"""Networks to be prepared, and what prepares them: shared by the tests of initializers that look at data."""

import itertools
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from initbench.activations import torch_function
from initbench.data import DatasetSpec, load, split, statistics
from initbench.data_driven import DATA_LAWS, Inputs, Prepared, Problem, Task, prepare
from initbench.initializers import draw
from initbench.seeding import stream

LEARNING = [name for name, law in DATA_LAWS.items() if law.hidden]
# Enough to learn something in tenths of a second.
QUICK = dict.fromkeys(LEARNING, {"epochs": 5}) | {"metainit": {"steps": 20}}


def digits() -> Inputs:
    spec = DatasetSpec("digits", "digits")
    arrays = load(spec)
    rows = split(arrays, spec).train
    mean, std = statistics(arrays.x, rows, "global")
    return Inputs(arrays.x[rows], mean.astype(np.float32), std.astype(np.float32))


def shapes(*sizes: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        found |= {f"layers.{layer}.weight": (fan_out, fan_in), f"layers.{layer}.bias": (fan_out,)}
    return found


def make_problem(
    law: str = "he_normal", depth: int = 3, activation: str = "relu", seed: int = 0, width: int = 32
) -> Problem:
    params = {}
    for name, shape in shapes(64, *[width] * depth, 10).items():
        rng = stream(seed, "init", name)
        # Biases that are not zero, so that a law that forgets or resets them is seen.
        params[name] = draw(law if name.endswith("weight") else "normal", shape, rng)
    return Problem(params, digits(), activation, {}, seed)


def run(name: str, problem: Problem, **params: Any) -> Prepared:
    (result,) = prepare([Task(name, DATA_LAWS[name].defaults | params, problem)])
    assert isinstance(result, Prepared), result
    return result


def pre_activations(problem: Problem, params: dict[str, Any], x: Any) -> list[torch.Tensor]:
    """Of every layer, with and by torch, in float64."""
    found, h = [], torch.from_numpy(np.asarray(x, np.float64))
    for layer in range(problem.n_layers):
        weight, bias = (torch.from_numpy(params[f"layers.{layer}.{kind}"]).double() for kind in ("weight", "bias"))
        found.append(F.linear(h, weight, bias))
        h = torch_function(problem.activation)(found[-1])
    return found
