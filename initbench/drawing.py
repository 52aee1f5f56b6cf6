"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Iterable, Mapping
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
        InputError: the law fails, refuses a layer's shape, or draws something that is not finite.
    """
    return _initial(trial, shapes(trial.cell))


def check(trials: Iterable[Trial]) -> list[str]:
    """Draw and certify every initializer once for its layers, so that a bad one is told before any training.

    Returns:
        One line for each thing that is no fault and still worth knowing.

    Raises:
        InputError: as :func:`initial`; or a law breaks its promise.
    """
    seen, notes = set(), []
    for trial in trials:
        cell, wanted = trial.cell, shapes(trial.cell)
        asked = (cell.init, cell.init_first, cell.init_output, cell.bias, tuple(wanted.items()))
        if asked in seen:
            continue
        seen.add(asked)
        for name, values in _initial(trial, wanted).items():
            law, promise = _promise(cell, wanted, name)
            certificate = certify(law, values, promise)
            if certificate.faults:
                raise InputError(f"'{law}' on {name} of shape {values.shape}: {certificate.faults[0]}")
            notes += [f"note: '{law}' on {name}: {note}" for note in certificate.notes]
    return notes


def certificate(cell: Cell, params: Params) -> dict[str, tuple[float | None, float]]:
    """Of every weight the standard deviation that its law promises, if it does, and the one it has; four digits."""
    wanted = {name: values.shape for name, values in params.items()}
    found = {}
    for name, values in params.items():
        if name.endswith("weight"):
            _, promise = _promise(cell, wanted, name)
            std = float(values.std(dtype=np.float64))
            found[name] = (None if promise is None else float(f"{promise.std:.4g}"), float(f"{std:.4g}"))
    return found


def initializer_of(cell: Cell, names: Iterable[str], name: str) -> Init:
    """The initializer of one weight: that of the first or of the output layer, or the one for all."""
    weights = [other for other in names if other.endswith("weight")]
    # Where there is but one layer, it is the output layer.
    return (name == weights[-1] and cell.init_output) or (name == weights[0] and cell.init_first) or cell.init


def _initial(trial: Trial, wanted: Mapping[str, tuple[int, ...]]) -> Params:
    cell, params = trial.cell, {}
    for name, shape in wanted.items():
        rng = stream(trial.seed, "init", name)
        if name.endswith("bias"):
            frequencies = _frequencies(cell.dataset) if name == list(wanted)[-1] else None
            of = wanted[_weight_of(name)]
            params[name] = draw_bias(cell.bias.name, of, rng, frequencies, **dict(cell.bias.params))
            continue
        init = initializer_of(cell, wanted, name)
        try:
            params[name] = drawn(LAWS[init.law], shape, rng, dict(init.params))
        except ValueError as error:
            raise InputError(f"init '{init.name}' on {name} of shape {shape}: {error}") from None
    return params


def _promise(cell: Cell, wanted: Mapping[str, tuple[int, ...]], name: str) -> tuple[str, Promise | None]:
    """What drew a parameter, and what it promises; the output layer's bias is what the data say."""
    if name.endswith("bias"):
        if cell.bias.name == "log_prior":
            return cell.bias.name, None
        return cell.bias.name, BIASES[cell.bias.name].promise(wanted[_weight_of(name)], **dict(cell.bias.params))
    init = initializer_of(cell, wanted, name)
    promise = LAWS[init.law].promise
    return init.name, promise and promise(wanted[name], **dict(init.params))


def _weight_of(bias: str) -> str:
    return bias.removesuffix("bias") + "weight"


@lru_cache(maxsize=4)
def _frequencies(spec: DatasetSpec) -> NDArray[np.float64]:
    """Of the classes among the training samples."""
    arrays = load(spec)
    labels = arrays.y[split(arrays, spec).train]
    frequencies: NDArray[np.float64] = np.bincount(labels, minlength=arrays.n_classes) / len(labels)
    return frequencies
