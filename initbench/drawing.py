"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from initbench.data import load
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
        wanted = shapes(trial.cell)
        if (trial.cell.init, tuple(wanted.items())) not in seen:
            seen.add((trial.cell.init, tuple(wanted.items())))
            _initial(trial, wanted)


def _initial(trial: Trial, wanted: Mapping[str, tuple[int, ...]]) -> Params:
    init, params = trial.cell.init, {}
    for name, shape in wanted.items():
        rng = stream(trial.seed, "init", name)
        layer, _, kind = name.rpartition(".")
        if kind == "bias":
            params[name] = draw_bias(init.bias, wanted[f"{layer}.weight"], rng)
            continue
        try:
            weight = draw(init.law, shape, rng, **dict(init.params))
        except ValueError as error:
            raise InputError(f"init '{init.name}' on {layer} of shape {shape}: {error}") from None
        if weight.shape != shape or not np.isfinite(weight).all():
            raise InputError(f"init '{init.name}' on {layer}: not a finite weight of shape {shape}")
        params[name] = weight
    return params
