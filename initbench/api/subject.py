"""A model of the user's as a command line names it: the function that makes it, a batch, what it is trained for."""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench import code
from initbench.api.diagnose import Diagnosis, diagnose
from initbench.errors import InputError, in_one_line, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

# How many samples of noise.
_NOISE = 32


@dataclass(frozen=True)
class Asked:
    """What a command line says of a model.

    Attributes:
        model: ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``.
        settings: ``KEY=VALUE``, of the data.
        batch: ``FILE.py:FUNCTION`` that gives a batch, or a batch and its target.
        shape: of a sample of noise, as ``3,32,32``.
        loss: a name, or ``FILE.py:FUNCTION``.
        optimizer: a class of ``torch.optim``.
        lr: its learning rate.
        sizes: keyword of the function to sizes.
    """

    model: str
    settings: tuple[str, ...] = ()
    batch: str | None = None
    shape: str | None = None
    loss: str | None = None
    optimizer: str | None = None
    lr: float = 1e-3
    sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Subject:
    """The same, found: arguments of :func:`initbench.diagnose`."""

    build: "Callable[..., nn.Module]"
    batch: Any
    target: "torch.Tensor | None"
    loss: "str | Callable[..., torch.Tensor] | None"
    optimizer: "Callable[[Any], torch.optim.Optimizer] | None"


def subject(asked: Asked) -> Subject:
    """Find what a command line names.

    Raises:
        InputError: a file, a function or a name that there is not, or functions that fail.
    """
    made = function(asked.model)
    sources = [bool(asked.settings), asked.batch is not None, asked.shape is not None]
    if sum(sources) > 1:
        raise InputError("give one of KEY=VALUE, --batch and --shape: each says what the module is called with")
    arguments: tuple[Any, ...] = ()
    if asked.settings:
        batch, target, arguments = _of_dataset(asked.settings)
    elif asked.shape is not None:
        batch, target = _noise(asked.shape), None
    else:
        batch, target = _pair(_batch_function(asked))
    wanted = _required(made, asked.sizes)
    if len(wanted) > len(arguments):
        raise InputError(
            f"{asked.model} needs {', '.join(wanted)}: only a function of (sample_shape, n_classes) can be called, and "
            "that with dataset=; write one without arguments"
        )
    build = partial(made, *arguments[: len(wanted)]) if wanted else made
    loss = function(asked.loss) if asked.loss is not None and ":" in asked.loss else asked.loss
    return Subject(build, batch, target, loss, _optimizer(asked))


def diagnosed(asked: Asked) -> Diagnosis:
    """:func:`initbench.diagnose` of what a command line names.

    Raises:
        InputError: as :func:`subject` and it.
    """
    of = subject(asked)
    return diagnose(of.build, of.batch, of.target, of.loss, optimizer=of.optimizer, sizes=asked.sizes)


def function(name: str) -> Callable[..., Any]:
    """``FILE.py:FUNCTION`` or ``package.module:FUNCTION``, imported.

    Raises:
        InputError: there is no such file, module or function, or its import fails.
    """
    place, _, own = name.rpartition(":")
    if not place or not own:
        raise InputError(f"'{name}' must be FILE.py:FUNCTION or package.module:FUNCTION")
    if place.endswith(".py"):
        try:
            file = code.read(Path(place).expanduser())
        except OSError as error:
            raise InputError(f"{place} cannot be read: {error.strerror or error}") from error
        with in_one_line(place):
            digest = file.hash(lambda content: hashlib.sha256(content).hexdigest()[:16])
            module = code.run(file, f"initbench_subject_{digest}")
    else:
        with in_one_line(place):
            module = importlib.import_module(place)
    found = getattr(module, own, None)
    if not callable(found):
        functions = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        have = f"; it has {', '.join(functions[:8])}" if functions and place.endswith(".py") else ""
        raise InputError(f"{place} has no function '{own}'{have}")
    return found  # type: ignore[no-any-return]


def _batch_function(asked: Asked) -> Callable[..., Any]:
    if asked.batch is not None:
        return function(asked.batch)
    place = asked.model.rpartition(":")[0]
    try:
        return function(f"{place}:batch")
    except InputError:
        raise InputError(
            f"what shall {asked.model} be called with? Give dataset=NAME, --shape C,H,W, --batch FILE.py:FUNCTION, or "
            f"write a function 'batch' in {place}"
        ) from None


def _pair(made: Callable[..., Any]) -> "tuple[Any, torch.Tensor | None]":
    """What a function of the user's gives: a batch, or a pair of that and the target."""
    import torch

    name = getattr(made, "__name__", "batch")
    with in_one_line(f"{name}()"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = made()
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], torch.Tensor):
        return given[0], given[1]
    return given, None


def _of_dataset(settings: Sequence[str]) -> "tuple[torch.Tensor, torch.Tensor, tuple[Any, ...]]":
    """The first batch of a data set, its classes, and what a function of (sample_shape, n_classes) is called with."""
    import torch

    from initbench.api.run import ask
    from initbench.data import load
    from initbench.experiment.start import architecture_of
    from initbench.probing.networks import first_batch

    _, wanted = ask([settings])
    cell = wanted.cells[0]
    if len(wanted.cells) > 1:
        raise InputError("a diagnosis is of one data set; a comma list is several")
    architecture = architecture_of(cell)
    x, y = first_batch(cell, wanted.seeds[0])
    # As a run or a race gives it to a module.
    shape = load(cell.dataset).sample_shape
    batch, target = torch.tensor(x).view(-1, *shape), torch.tensor(y)
    if architecture.task == "binary":
        # One logit, and whether it is the second class.
        target = target.bool()
    if architecture.vocabulary:
        batch = batch.long()
        # What comes after every character, as a run trains those that predict it.
        target = torch.cat([batch[:, 1:], target[:, None]], 1)
    return batch, target, (shape, architecture.n_classes)


def _noise(shape: str) -> "torch.Tensor":
    import torch

    return torch.randn(_NOISE, *whole_numbers("--shape", shape), generator=torch.Generator().manual_seed(0))


def _required(made: Callable[..., Any], given: dict[str, tuple[int, ...]]) -> list[str]:
    """The parameters of a function without a default, but for those that are given by name."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        one.name
        for one in parameters
        if one.kind in positional and one.default is inspect.Parameter.empty and one.name not in given
    ]


def _optimizer(asked: Asked) -> "Callable[[Any], torch.optim.Optimizer] | None":
    import torch

    if asked.optimizer is None:
        return None
    names: dict[str, Any] = {
        name.lower(): value
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    if asked.optimizer.lower() not in names:
        raise unknown("optimizer", asked.optimizer.lower(), names)
    return partial(names[asked.optimizer.lower()], lr=asked.lr)


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """``3,32,32`` as numbers.

    Raises:
        InputError: it is no list of positive whole numbers.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{name} must be whole numbers with commas between them, as 3,32,32; got '{text}'")
    return tuple(map(int, parts))
