"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from initbench.data import DatasetSpec, load, split
from initbench.errors import InputError
from initbench.initializers import BIASES, LAWS, Promise, certify, draw_bias
from initbench.initializers.conformance import drawn
from initbench.models.mlp import parameters
from initbench.seeding import stream
from initbench.sweep import Trial
from initbench.trial import Cell, Init

Params = dict[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]


def shapes(cell: Cell) -> Shapes:
    """Name to shape of every parameter, in torch's layout.

    Raises:
        InputError: the data set cannot be read.
    """
    arrays = load(cell.dataset)
    return parameters(arrays.x.shape[1], cell.width, arrays.n_classes)


def initializers(cell: Cell, names: Iterable[str]) -> dict[str, Init]:
    """Which initializer every weight among the parameters gets; a layer that is first and last is an output layer."""
    weights = [name for name in names if name.endswith("weight")]
    of = dict.fromkeys(weights, cell.init)
    of[weights[0]] = cell.init_first or cell.init
    of[weights[-1]] = cell.init_output or of[weights[-1]]
    return of


def initial(trial: Trial) -> Params:
    """Name to initial value of every parameter.

    Raises:
        InputError: the law fails, refuses a layer's shape, or draws something that is not finite.
    """
    wanted = shapes(trial.cell)
    inits = initializers(trial.cell, wanted)
    return {name: _draw(trial, name, wanted, inits) for name in wanted}


def check(trials: Iterable[Trial]) -> list[str]:
    """Draw and certify every initializer once for every shape, so that a bad one is told before any training.

    Returns:
        One line for each thing that is no fault and still worth knowing.

    Raises:
        InputError: as :func:`initial`; or a law breaks its promise.
    """
    cells, seen, notes = set(), set(), []
    for trial in trials:
        if trial.cell in cells:
            continue
        cells.add(trial.cell)
        wanted = shapes(trial.cell)
        inits = initializers(trial.cell, wanted)
        for name in wanted:
            asked = (inits.get(name, trial.cell.bias), wanted[name], wanted[_weight_of(name)])
            if asked in seen:
                continue
            seen.add(asked)
            values = _draw(trial, name, wanted, inits)
            certificate = certify(asked[0].name, values, _promise(trial.cell, name, wanted, inits))
            where = f"'{certificate.law}' on {name} of shape {values.shape}"
            if certificate.faults:
                raise InputError(f"{where}: {certificate.faults[0]}")
            notes += [f"note: {where}: {note}" for note in certificate.notes]
    return notes


def certificate(cell: Cell, params: Params) -> dict[str, tuple[float | None, float]]:
    """Of every weight the standard deviation that its law promises, if it does, and the one it has; four digits."""
    wanted: Shapes = {name: values.shape for name, values in params.items()}
    inits = initializers(cell, wanted)
    found = {}
    for name in inits:
        promise = _promise(cell, name, wanted, inits)
        std = float(params[name].std(dtype=np.float64))
        found[name] = (None if promise is None else float(f"{promise.std:.4g}"), float(f"{std:.4g}"))
    return found


def _draw(trial: Trial, name: str, wanted: Shapes, inits: dict[str, Init]) -> NDArray[np.float32]:
    """One parameter, from a stream of its own."""
    cell, shape, rng = trial.cell, wanted[name], stream(trial.seed, "init", name)
    if name not in inits:
        frequencies = _frequencies(cell.dataset) if name == next(reversed(wanted)) else None
        return draw_bias(cell.bias.name, wanted[_weight_of(name)], rng, frequencies, **dict(cell.bias.params))
    init = inits[name]
    try:
        return drawn(LAWS[init.law], shape, rng, dict(init.params))
    except ValueError as error:
        raise InputError(f"init '{init.name}' on {name} of shape {shape}: {error}") from None


def _promise(cell: Cell, name: str, wanted: Shapes, inits: dict[str, Init]) -> Promise | None:
    """What is promised of a parameter; the output layer's log-prior bias is what the data say."""
    if name in inits:
        promise = LAWS[inits[name].law].promise
        return promise and promise(wanted[name], **dict(inits[name].params))
    if cell.bias.name == "log_prior":
        return None
    return BIASES[cell.bias.name].promise(wanted[_weight_of(name)], **dict(cell.bias.params))


def _weight_of(name: str) -> str:
    """The weight of the same layer."""
    return f"{name.rpartition('.')[0]}.weight"


@lru_cache(maxsize=4)
def _frequencies(spec: DatasetSpec) -> NDArray[np.float64]:
    """Of the classes among the training samples."""
    arrays = load(spec)
    labels = arrays.y[split(arrays, spec).train]
    frequencies: NDArray[np.float64] = np.bincount(labels, minlength=arrays.n_classes) / len(labels)
    return frequencies
