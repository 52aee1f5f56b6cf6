"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.data import Samples, load, samples
from initbench.data_driven import DATA_LAWS, Inputs, Problem, Task, prepare
from initbench.errors import InputError
from initbench.experiment.plan import Trial
from initbench.initializers import BIASES, Certificate, Promise, certify, draw_bias
from initbench.initializers.conformance import drawn, unrepeatable
from initbench.initializers.plugins import law_of
from initbench.initializers.schemes import BRANCHES, BranchRule
from initbench.models import MODELS, Architecture, modules
from initbench.models.roles import Parameter, parameters
from initbench.seeding import stream
from initbench.trial import Cell, Init, Named

Params = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Start:
    """Where the training of a trial starts.

    Attributes:
        params: name to initial value of every parameter, and of what else the network keeps, as running statistics.
        cost: ``samples`` read, optimizer ``steps`` and wall ``seconds`` of an initializer that works on the network.
    """

    params: Params
    cost: dict[str, float] | None = None


def architecture(cell: Cell) -> Architecture:
    """What the networks of a cell compute.

    Raises:
        InputError: the data set cannot be read, or its samples are not what the model needs.
    """
    arrays, name = load(cell.dataset), cell.model.name
    if MODELS[name].images and arrays.image is None:
        raise InputError(
            f"model={name} needs images, and a sample of '{cell.dataset.name}' is a row of {arrays.x.shape[1]} "
            "numbers; images in an .npz file have the shape [n, height, width] or [n, height, width, channels]"
        )
    flat = not MODELS[name].images and name != "module"
    return Architecture(
        model=name,
        settings=cell.model.params,
        depth=cell.depth,
        width=cell.width,
        activation=cell.activation.name,
        activation_params=cell.activation.params,
        sample_shape=arrays.x.shape[1:] if flat else arrays.sample_shape,
        n_classes=arrays.n_classes,
    )


def shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Name to shape of every parameter, in torch's layout.

    Raises:
        InputError: as :func:`architecture`, or a user's module cannot be built.
    """
    module = modules.template(architecture(cell))
    return {parameter.name: tuple(parameter.tensor.shape) for parameter in parameters(module)}


@dataclass(frozen=True)
class _Part:
    """One parameter of a network and what it starts with.

    Attributes:
        parameter: itself.
        by: the initializer of a weight, the policy of a bias; None where ``value`` says it.
        value: what it starts with, or what the drawn weight is multiplied by.
        is_output: whether it belongs to the output layer.
    """

    parameter: Parameter
    by: Init | Named | None
    value: Any
    is_output: bool = False

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.parameter.name


def _parts(cell: Cell, of: Architecture, seed: int) -> Iterator[_Part]:
    """Every parameter of a cell's network."""
    found = list(parameters(modules.template(of, seed)))
    weights = [parameter.name for parameter in found if parameter.kind == "weight" and parameter.tensor.requires_grad]
    if not weights:
        raise InputError(f"{modules.where(of)} has no weight that an initializer could draw")
    everywhere = _drawn_by(cell.init)
    inits = dict.fromkeys(weights, everywhere)
    # A layer that is first and last is an output layer.
    inits[weights[0]] = cell.init_first or everywhere
    inits[weights[-1]] = cell.init_output or inits[weights[-1]]
    n_branches = sum(parameter.kind == "multiplier" for parameter in found)
    rule = BRANCHES.get(cell.init.branches, BranchRule("", ""))
    for parameter in found:
        name, is_output = parameter.name, _layer(parameter.name) == _layer(weights[-1])
        if name in inits:
            factor = 1.0
            if parameter.place:
                layer, n_layers = parameter.place
                factor = rule.factor(n_branches, n_layers, layer)
            elif is_output and not cell.init_output:
                factor = rule.output
            yield _Part(parameter, inits[name], factor, is_output)
        elif parameter.kind == "bias" and parameter.tensor.requires_grad:
            yield _Part(parameter, cell.bias, 1.0, is_output)
        elif parameter.kind == "multiplier":
            yield _Part(parameter, None, np.array(rule.multiplier(n_branches), np.float32))
        else:
            yield _Part(parameter, None, parameter.tensor.detach().numpy())


def starts(trials: Sequence[Trial], progress: Callable[[int], None] = lambda n_steps: None) -> list[Start | InputError]:
    """Where the training of each trial starts, or the error of :func:`initial` or of its initializer.

    Initializers that work on whole networks do so side by side, a network per processor; each result depends on its
    own trial only.

    Args:
        trials: of one data set.
        progress: called from the calling thread with numbers of optimizer steps.
    """
    found: list[Start | InputError] = []
    tasks = {}
    for i, trial in enumerate(trials):
        try:
            params = initial(trial)
        except InputError as error:
            found.append(error)
            continue
        found.append(Start(params))
        init, activation = trial.cell.init, trial.cell.activation
        if init.law in DATA_LAWS:
            inputs = _inputs(samples(trial.cell.dataset))
            problem = Problem(params, inputs, activation.name, dict(activation.params), trial.seed)
            tasks[i] = Task(init.law, dict(init.params), problem)
    for i, result in zip(tasks, prepare(list(tasks.values()), progress) if tasks else (), strict=True):
        if isinstance(result, ValueError):
            refused = InputError(f"init '{trials[i].cell.init.name}': {result}")
            refused.__cause__ = result
            found[i] = refused
        else:
            cost = {"samples": result.samples, "steps": result.steps, "seconds": round(result.seconds, 4)}
            found[i] = Start(dict(result.params), cost)
    return found


def n_steps(cell: Cell) -> int:
    """Optimizer steps that the initializer of a cell takes before the training starts."""
    init = cell.init
    if init.law not in DATA_LAWS:
        return 0
    return DATA_LAWS[init.law].steps(len(samples(cell.dataset).train), cell.depth + 1, dict(init.params))


def _drawn_by(init: Init) -> Init:
    """What draws a single weight: of an initializer that works on whole networks the base law."""
    if init.law not in DATA_LAWS:
        return init
    base = dict(init.params)["base"]
    defaults = law_of(base, init.code, init.file).defaults
    return Init(init.name, base, tuple(defaults.items()), init.code, file=init.file)


def initial(trial: Trial) -> Params:
    """Name to initial value of every parameter, and of what else the network keeps, as running statistics.

    Weights are drawn by the initializer, or by the base law of one that works on whole networks; biases by the bias
    policy; everything else is as the module makes it.

    Raises:
        InputError: the law fails, refuses a layer's shape, or draws something that is not finite.
    """
    cell, of = trial.cell, architecture(trial.cell)
    parts = list(_parts(cell, of, trial.seed))
    params = {part.name: _start(trial, part, of.n_classes) for part in parts}
    return params | {name: buffer.numpy().copy() for name, buffer in modules.template(of, trial.seed).named_buffers()}


def check(trials: Iterable[Trial]) -> list[str]:
    """Run every module and draw and certify every initializer once for every shape, before any training.

    Returns:
        One line for each thing that is no fault and still worth knowing.

    Raises:
        InputError: as :func:`initial`; a law breaks its promise; a module cannot be trained.
    """
    cells, run, seen, notes = set(), set(), set(), []
    for trial in trials:
        if trial.cell in cells:
            continue
        cells.add(trial.cell)
        cell, of = trial.cell, architecture(trial.cell)
        if not of.is_plain and (of, cell.dataset, cell.batch_size) not in run:
            run.add((of, cell.dataset, cell.batch_size))
            n_train = len(samples(cell.dataset).train)
            modules.check(of, n_train % cell.batch_size or cell.batch_size)
        for part in _parts(cell, of, trial.seed):
            shape = tuple(part.parameter.tensor.shape)
            asked = (part.by or part.name, part.parameter.shape, part.parameter.blocks, part.is_output)
            if asked in seen:
                continue
            seen.add(asked)
            if part.by is None:
                if _might_be_drawn(part.parameter):
                    notes.append(f"note: {part.name} of shape {shape} keeps the module's own values")
                continue
            draw = partial(_drawn, trial, part, of.n_classes)
            weight = draw()
            found = _certificate(part, weight)
            faults = list(found.faults)
            if isinstance(part.by, Init) and part.by.code:
                faults += unrepeatable(weight, draw)
            where = f"'{found.law}' on {part.name} of shape {shape}"
            if faults:
                raise InputError(f"{where}: {faults[0]}")
            notes += [f"note: {where}: {note}" for note in found.notes]
    return notes


def certificate(cell: Cell, params: Params) -> dict[str, tuple[float | None, float]]:
    """Of every weight the standard deviation that its law promises, if it does, and the one it has; four digits."""
    found = {}
    for part in _parts(cell, architecture(cell), 0):
        if isinstance(part.by, Init):
            promise = None if cell.init.law in DATA_LAWS else _promise(part)
            std = float(params[part.name].std(dtype=np.float64))
            promised = None if promise is None else float(f"{part.value * promise.std:.4g}")
            found[part.name] = (promised, float(f"{std:.4g}"))
    return found


def _start(trial: Trial, part: _Part, n_classes: int) -> NDArray[Any]:
    if part.by is None:
        return np.array(part.value)
    return part.parameter.assembled(_blocks(trial, part, n_classes)) * np.float32(part.value)


def _blocks(trial: Trial, part: _Part, n_classes: int) -> list[NDArray[np.float32]]:
    """One parameter's blocks, from a stream of its own."""
    parameter, rng = part.parameter, stream(trial.seed, "init", part.name)
    if isinstance(part.by, Named):
        frequencies = None
        if part.is_output and parameter.shape[0] == n_classes:
            frequencies = samples(trial.cell.dataset).frequencies
        params = dict(part.by.params)
        return [draw_bias(part.by.name, parameter.shape, rng, frequencies, **params) for _ in range(parameter.blocks)]
    assert part.by is not None
    try:
        law, params = law_of(part.by.law, part.by.code, part.by.file), dict(part.by.params)
        return [drawn(law, parameter.shape, rng, params) for _ in range(parameter.blocks)]
    except ValueError as error:
        raise InputError(f"init '{part.by.name}' on {part.name} of shape {parameter.shape}: {error}") from error


def _drawn(trial: Trial, part: _Part, n_classes: int) -> NDArray[np.float32]:
    """One parameter's blocks on top of each other."""
    return np.concatenate(_blocks(trial, part, n_classes))


def _might_be_drawn(parameter: Parameter) -> bool:
    """Whether it looks like a weight, of a layer that is none of torch's: more than a vector, and trained."""
    several = sum(size > 1 for size in parameter.tensor.shape) > 1
    return parameter.kind == "other" and parameter.tensor.requires_grad and several


def _certificate(part: _Part, weight: NDArray[np.float32]) -> Certificate:
    promise = _promise(part)
    name = part.by.name if part.by else ""
    return certify(name, weight, promise and promise.of_blocks(part.parameter.blocks))


def _promise(part: _Part) -> Promise | None:
    """What is promised of a block; the output layer's log-prior bias is what the data say."""
    if isinstance(part.by, Init):
        promise = law_of(part.by.law, part.by.code, part.by.file).promise
        return promise and promise(part.parameter.shape, **dict(part.by.params))
    if part.by is None or part.by.name == "log_prior":
        return None
    return BIASES[part.by.name].promise(part.parameter.shape, **dict(part.by.params))


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


@lru_cache(maxsize=2)
def _inputs(data: Samples) -> Inputs:
    """The training inputs: all that initializers of whole networks see of a data set."""
    return Inputs(data.x[data.train], data.mean, data.std)
