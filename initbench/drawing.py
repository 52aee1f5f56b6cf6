"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from initbench.data import DatasetSpec, load, split
from initbench.errors import InputError
from initbench.initializers import draw, draw_bias
from initbench.models.mlp import parameters
from initbench.seeding import stream
from initbench.sweep import Trial
from initbench.trial import Cell

Params = dict[str, NDArray[np.float32]]


def shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Name to shape of every parameter, in torch's layout.

    Raises:
        InputError: the data set cannot be read.
    """
    arrays = load(cell.dataset)
    return parameters(arrays.x.shape[1], cell.width, arrays.n_classes)


def initial(trial: Trial) -> Params:
    """Name to initial value of every parameter.

    Raises:
        InputError: the law refuses a layer's shape, or draws something that is not finite.
    """
    return _initial(trial, shapes(trial.cell))


def check(trials: Iterable[Trial]) -> None:
    """Draw every initializer once for its layers, so that one that cannot serve is told before any training.

    Raises:
        InputError: as :func:`initial`.
    """
    seen = set()
    for trial in trials:
        cell, wanted = trial.cell, shapes(trial.cell)
        asked = (cell.init, cell.init_first, cell.init_output, cell.bias, tuple(wanted.items()))
        if asked not in seen:
            seen.add(asked)
            _initial(trial, wanted)


def _initial(trial: Trial, wanted: Mapping[str, tuple[int, ...]]) -> Params:
    cell, params = trial.cell, {}
    weights = [name for name in wanted if name.endswith("weight")]
    for name, shape in wanted.items():
        rng = stream(trial.seed, "init", name)
        layer, _, kind = name.rpartition(".")
        weight_name = f"{layer}.weight"
        is_output = weight_name == weights[-1]
        if kind == "bias":
            frequencies = _frequencies(cell.dataset) if is_output else None
            params[name] = draw_bias(cell.bias.name, wanted[weight_name], rng, frequencies, **dict(cell.bias.params))
            continue
        # With one layer there is no first one before the output.
        init = (is_output and cell.init_output) or (name == weights[0] and cell.init_first) or cell.init
        try:
            weight = draw(init.law, shape, rng, **dict(init.params))
        except ValueError as error:
            raise InputError(f"init '{init.name}' on {layer} of shape {shape}: {error}") from None
        if weight.shape != shape or not np.isfinite(weight).all():
            raise InputError(f"init '{init.name}' on {layer}: not a finite weight of shape {shape}")
        params[name] = weight
    return params


@lru_cache(maxsize=4)
def _frequencies(spec: DatasetSpec) -> NDArray[np.float64]:
    """Of the classes among the training samples."""
    arrays = load(spec)
    labels = arrays.y[split(arrays, spec).train]
    frequencies: NDArray[np.float64] = np.bincount(labels, minlength=arrays.n_classes) / len(labels)
    return frequencies
