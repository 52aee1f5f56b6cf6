"""The initial parameters of a trial, each drawn from a stream of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.data import load, samples
from initbench.data_driven import DATA_LAWS, Inputs, Problem, Task, prepare
from initbench.engine.checkpoints import NONE, Checkpoints
from initbench.errors import InputError
from initbench.experiment.plan import Trial
from initbench.initializers import BIASES
from initbench.initializers.network import Part, assign
from initbench.initializers.plugins import law_of
from initbench.initializers.schemes import SCHEMES, Draw, Rule, scheme_rules
from initbench.models import MODELS, Architecture, modules
from initbench.models.roles import parameters
from initbench.tasks import TASKS
from initbench.trial import Cell, Init

ParamArrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Start:
    """Where the training of a trial starts.

    Attributes:
        params: name to initial value of every parameter, and of what else the network keeps, as running statistics.
        cost: ``samples`` read, optimizer ``steps`` and wall ``seconds`` of an initializer that works on the network.
    """

    params: ParamArrays
    cost: dict[str, float] | None = None


def architecture_of(cell: Cell) -> Architecture:
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
    if MODELS[name].text and not arrays.vocabulary:
        raise InputError(f"model={name} needs text, and '{cell.dataset.name}' is none; use dataset=text")
    if cell.init.law in DATA_LAWS and arrays.vocabulary:
        raise InputError(f"init '{cell.init.name}' looks at numbers, and '{cell.dataset.name}' is a text")
    flat = not MODELS[name].images and name != "module"
    return Architecture(
        model=name,
        settings=cell.model.params,
        depth=cell.depth,
        width=cell.width,
        activation=cell.activation.name,
        activation_params=cell.activation.params,
        sample_shape=arrays.x.shape[1:] if flat else arrays.sample_shape,
        n_classes=TASKS[cell.dataset.task].n_outputs(arrays.n_classes),
        task=cell.dataset.task,
        vocabulary=arrays.vocabulary,
    )


def shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Name to shape of every parameter, in torch's layout.

    Raises:
        InputError: as :func:`architecture_of`, or a user's module cannot be built.
    """
    module = modules.template(architecture_of(cell))
    return {parameter.name: tuple(parameter.tensor.shape) for parameter in parameters(module)}


def starts(
    trials: Sequence[Trial],
    progress: Callable[[int], None] = lambda n_steps: None,
    blas: str = "auto",
    kept: Callable[[Sequence[str]], Checkpoints] = lambda keys: NONE,
) -> list[Start | InputError]:
    """Where the training of each trial starts, or the error of :func:`initial` or of its initializer.

    Initializers that work on whole networks do so side by side, a network per processor; each result depends on its
    own trial only.

    Args:
        trials: of one data set.
        progress: called from the calling thread with numbers of optimizer steps.
        blas: whose matrix product initializers that train shall call.
        kept: the checkpoints of initializers at work, by the keys of their trials.
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
            data = samples(trial.cell.dataset, trial.seed)
            inputs = Inputs(data.x, data.mean, data.std, data.train)
            problem = Problem(params, inputs, activation.name, dict(activation.params), trial.seed, blas=blas)
            tasks[i] = Task(init.law, dict(init.params), problem)
    if not tasks:
        return found
    results = prepare(list(tasks.values()), progress, checkpoints=kept([trials[i].key for i in tasks]))
    for i, result in zip(tasks, results, strict=True):
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


def initial(trial: Trial) -> ParamArrays:
    """Name to initial value of every parameter, and of what else the network keeps, as running statistics.

    Weights are drawn by the initializer, or by the base law of one that works on whole networks; biases by the bias
    policy; everything else is as the module makes it.

    Raises:
        InputError: the law fails, refuses a layer's shape, or draws something that is not finite.
    """
    module = modules.template(architecture_of(trial.cell), trial.seed)
    own = dict(module.named_parameters())
    params = {
        part.name: np.array(own[part.name].detach().numpy())
        if part.kept
        else part.parameter.assembled(part.blocks(trial.seed))
        for part in parts_of(trial.cell)
    }
    return params | {name: buffer.numpy().copy() for name, buffer in module.named_buffers()}


def certificate(cell: Cell, params: ParamArrays) -> dict[str, tuple[float | None, float]]:
    """Of every weight the standard deviation that its law promises, if it does, and the one it has; four digits."""
    found = {}
    for part in parts_of(cell):
        if part.draws and "weight" in part.parameter.roles:
            stds = {None if promise is None else promise.std for promise in part.promises()}
            promised = stds.pop() if len(stds) == 1 and cell.init.law not in DATA_LAWS else None
            std = float(params[part.name].std(dtype=np.float64))
            found[part.name] = (None if promised is None else float(f"{promised:.4g}"), float(f"{std:.4g}"))
    return found


@lru_cache(maxsize=1024)
def parts_of(cell: Cell) -> tuple[Part, ...]:
    """How every parameter of a cell's networks starts; what is kept, each trial's own module has.

    Raises:
        InputError: as :func:`architecture_of`, or there is nothing that an initializer could draw.
    """
    architecture = architecture_of(cell)
    parts = assign(parameters(modules.template(architecture)), _rules(cell, architecture.n_classes))
    if cell.init.scheme != "own" and not any(part.draws and "weight" in part.parameter.roles for part in parts):
        raise InputError(f"{modules.where(architecture)} has no weight that an initializer could draw")
    return tuple(parts)


def _rules(cell: Cell, n_classes: int) -> list[Rule]:
    """The scheme of a cell. A layer that is first and last is an output layer."""
    init, bias = cell.init, Draw(cell.bias.name, BIASES[cell.bias.name], cell.bias.params)
    rules = []
    if cell.init_output is not None:
        rules.append(Rule("output", _draw(cell.init_output), factor=1.0))
    if cell.init_first is not None:
        rules.append(Rule("input", _draw(cell.init_first), factor=1.0))
    if bias.name == "log_prior":
        if cell.dataset.task in ("regression", "binary"):
            raise InputError(f"bias=log_prior needs an output for each class; dataset.task={cell.dataset.task} has one")
        # Where the units of the output layer are the classes. They are as frequent in the splits of all seeds.
        informed = replace(bias, frequencies=tuple(samples(cell.dataset).frequencies.tolist()))
        rules.append(Rule("output_bias", lambda block: informed if block.shape[0] == n_classes else bias))
    return [*rules, *scheme_rules(_draw(init), bias, SCHEMES.get(init.scheme))]


def _draw(init: Init) -> Draw:
    """What draws a single weight: of an initializer that works on whole networks the base law."""
    if init.law not in DATA_LAWS:
        return Draw(init.name, law_of(init.law, init.code, init.file), init.params)
    base = law_of(dict(init.params)["base"], init.code, init.file)
    return Draw(init.name, base, tuple(base.defaults.items()))
