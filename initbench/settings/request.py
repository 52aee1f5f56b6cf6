"""What a command line asks for: composed dictionaries, checked value by value, become a frozen request.

Every message names the setting, what it may be, and what it got.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initbench.data import SOURCES, STANDARDIZE, DatasetSpec
from initbench.errors import InputError, unknown
from initbench.experiment.search import search_seeds
from initbench.models import MODELS, code_hash
from initbench.settings.overrides import INIT_GROUPS
from initbench.settings.resolve import bias_policy, initializer, named_activation, unsuited
from initbench.trial import Cell, Named
from initbench.values import choice, like, number, path, shown, text, whole

SCHEDULES = ("constant", "cosine", "linear")
OPTIMIZERS: dict[str, dict[str, float | bool]] = {
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
}


# The settings there are, and what a file of each group must hold.
_GROUPS = {
    "dataset": ("name", "source", "val", "standardize", "epochs"),
    "model": ("name",),
    "activation": ("name",),
    "init": ("name", "law"),
    "init_first": ("name", "law"),
    "init_output": ("name", "law"),
    "bias": ("name",),
    "optimizer": ("name",),
    "protocol": ("name",),
}
# Groups that need no option: an initializer of one layer is the same as init, biases are as init's file says.
OPTIONAL = ("init_first", "init_output", "bias")
_SCALARS = (
    *("depth", "width", "lr", "schedule", "warmup", "epochs", "batch_size"),
    *("seeds", "device", "results", "experiment"),
)
SETTINGS = (*_GROUPS, *_SCALARS)

# The protocols, with their parameters.
PROTOCOLS: dict[str, tuple[str, ...]] = {"fixed": (), "tuned": ("lrs", "seeds", "extend", "halving")}


@dataclass(frozen=True)
class Request:
    """What a command line asks for: cells times seeds, where to run them, where to keep the records."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    device: str
    results: Path
    experiment: str

    @property
    def folder(self) -> Path:
        """Where its records are written."""
        return self.results / self.experiment / "records"


def request(cells: Sequence[Mapping[str, Any]]) -> Request:
    """Check and freeze composed cells; equal ones are asked for once.

    Raises:
        InputError: a value of the wrong type or outside its range, or a name that is not in its table.
    """
    for name in cells[0]:
        if name not in SETTINGS:
            raise unknown("setting", name, SETTINGS)
    first = cells[0]
    seeds = _seeds(*(cell["seeds"] for cell in cells))
    device = text("device", first["device"])
    number = device.removeprefix("cuda:")
    if device not in ("auto", "cpu", "cuda") and not (number != device and number.isdecimal()):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N; got '{device}'")
    results = path("results", first["results"])
    experiment = first["experiment"] or "run"
    checked = tuple(dict.fromkeys(map(_cell, cells)))
    if len({cell.lr for cell in checked if cell.protocol.name == "tuned"}) > 1:
        raise InputError("protocol=tuned chooses the learning rate; list the ones to try as protocol.lrs=[0.01,0.1]")
    taken = {seed for cell in checked if cell.protocol.name == "tuned" for seed in search_seeds(cell)}
    if taken & set(seeds):
        raise InputError(f"protocol=tuned searches with seeds from {min(taken)} on; choose others, to be fresh")
    return Request(checked, seeds, device, results, experiment)


def _cell(plain: Mapping[str, Any]) -> Cell:
    for group, keys in _GROUPS.items():
        node = plain[group]
        if node is None and group in OPTIONAL:
            continue
        if not isinstance(node, Mapping):
            raise InputError(f"{group} must hold settings, one KEY: VALUE per line; got {shown(node)}")
        for key in keys:
            if key not in node:
                raise InputError(f"{group} {shown(node.get('name'))} lacks '{key}'")
    depth = whole("depth", plain["depth"], 0)
    epochs = plain["epochs"] if plain["epochs"] is not None else plain["dataset"]["epochs"]
    activation = named_activation(plain["activation"])
    bias = bias_policy(plain["bias"], plain["init"], activation)
    inits = {
        group: initializer(plain[group], activation, bias, group) for group in INIT_GROUPS if plain[group] is not None
    }
    model = _model(plain["model"])
    if model.name != "module" and inits["init"].branches == "torch":
        # Our models have no layer in which torch's scheme differs from its law: with or without, it is one trial.
        inits["init"] = replace(inits["init"], branches="")
    cell = Cell(
        dataset=_dataset(plain["dataset"]),
        model=model,
        depth=depth if model.name != "module" else 0,
        width=_width(plain["width"], depth, model.name),
        activation=activation,
        init=inits["init"],
        init_first=inits.get("init_first"),
        init_output=inits.get("init_output"),
        bias=bias,
        optimizer=_optimizer(plain["optimizer"]),
        lr=number("lr", plain["lr"], above=0),
        schedule=choice("schedule", plain["schedule"], SCHEDULES),
        warmup=number("warmup", plain["warmup"], least=0),
        epochs=whole("epochs", epochs, 1),
        batch_size=whole("batch_size", plain["batch_size"], 1),
        protocol=_protocol(plain["protocol"]),
    )
    refusal = unsuited(plain["init"], plain["model"], depth)
    if refusal is not None:
        raise InputError(refusal)
    if cell.warmup > cell.epochs:
        raise InputError(f"warmup ({cell.warmup} epochs) is longer than the training ({cell.epochs} epochs)")
    return cell


def _dataset(node: Mapping[str, Any]) -> DatasetSpec:
    source = choice("dataset.source", node["source"], SOURCES)
    allowed = inspect.signature(SOURCES[source]).parameters
    common = ("name", "source", "val", "test", "standardize", "sha256", "epochs")
    options = {key: value for key, value in node.items() if key not in common}
    for key, value in options.items():
        if key not in allowed:
            raise unknown("setting", f"dataset.{key}", [f"dataset.{name}" for name in (*common, *allowed)])
        options[key] = like(f"dataset.{key}", value, allowed[key].annotation)
    for key in ("path", "root"):
        if options.get(key):
            path(f"dataset.{key}", options[key])
    name = text("dataset.name", node["name"])
    if options.get("path") and name == source:
        name = Path(options["path"]).stem
    return DatasetSpec(
        name=name,
        source=source,
        options=tuple(sorted(options.items())),
        val=_part("dataset.val", node["val"]),
        test=_part("dataset.test", node["test"]) if "test" in node else 0.0,
        standardize=choice("dataset.standardize", node["standardize"], STANDARDIZE),
        sha256=None if node.get("sha256") is None else text("dataset.sha256", node["sha256"]),
    )


def _part(name: str, value: Any) -> float:
    """The size of a split: a fraction of the samples, or how many."""
    size = number(name, value, above=0)
    if size > 1 and not size.is_integer():
        raise InputError(f"{name} must be a fraction below 1 or a whole number of samples; got {shown(value)}")
    return size


def _optimizer(node: Mapping[str, Any]) -> Named:
    name = choice("optimizer", node["name"], OPTIMIZERS)
    params: dict[str, float | bool] = dict(OPTIMIZERS[name])
    for key, value in node.items():
        if key == "name":
            continue
        if key not in params:
            raise unknown("setting", f"optimizer.{key}", [f"optimizer.{name}" for name in params])
        if isinstance(params[key], bool):
            params[key] = like(f"optimizer.{key}", value, bool)
        elif key in ("momentum", "beta1", "beta2"):
            params[key] = number(f"optimizer.{key}", value, least=0, below=1)
        elif key == "eps":
            params[key] = number(f"optimizer.{key}", value, above=0)
        else:
            params[key] = number(f"optimizer.{key}", value, least=0)
    if params.get("nesterov") and not params["momentum"]:
        raise InputError("optimizer.nesterov=true needs optimizer.momentum > 0")
    return Named(name, tuple(sorted(params.items())))


def _protocol(node: Mapping[str, Any]) -> Named:
    name = choice("protocol", node["name"], PROTOCOLS)
    for key in node:
        if key != "name" and key not in PROTOCOLS[name]:
            raise unknown("setting", f"protocol.{key}", [f"protocol.{key}" for key in ("name", *PROTOCOLS[name])])
    if name == "fixed":
        return Named(name)
    for key in PROTOCOLS[name]:
        if key not in node:
            raise InputError(f"protocol '{name}' lacks '{key}'")
    lrs = node["lrs"] if isinstance(node["lrs"], list) else [node["lrs"]]
    values = {number("protocol.lrs", lr, above=0) for lr in lrs}
    if not values:
        raise InputError("protocol.lrs is an empty list; write protocol.lrs=[0.01,0.1]")
    params = {
        "lrs": tuple(sorted(values)),
        "seeds": whole("protocol.seeds", node["seeds"], 1),
        "extend": whole("protocol.extend", node["extend"], 0),
        "halving": like("protocol.halving", node["halving"], bool),
    }
    return Named(name, tuple(sorted(params.items())))


def _model(node: Mapping[str, Any]) -> Named:
    name = choice("model", node["name"], MODELS)
    if name == "module":
        return _module(node)
    settings: dict[str, Any] = {}
    for key, value in node.items():
        if key == "name":
            continue
        if key not in MODELS[name].settings:
            raise unknown("setting", f"model.{key}", [f"model.{name}" for name in MODELS[name].settings])
        allowed = MODELS[name].settings[key]
        if isinstance(allowed, int):
            settings[key] = whole(f"model.{key}", value, allowed)
        elif value is None or value == "none":
            settings[key] = None
        elif value not in allowed:
            raise InputError(f"model.{key} must be one of {', '.join(map(str, allowed))}; got {shown(value)}")
        else:
            settings[key] = value
    for key in MODELS[name].settings:
        if key not in settings:
            raise InputError(f"model '{name}' lacks '{key}'")
    return Named(name, tuple(sorted(settings.items())))


def _module(node: Mapping[str, Any]) -> Named:
    """A user's function, with the hash of the file it is in."""
    for key in node:
        if key not in ("name", "path"):
            raise unknown("setting", f"model.{key}", ["model.path"])
    file, colon, function = (text("model.path", node["path"]) if node.get("path") else "").rpartition(":")
    if not colon or not function.isidentifier():
        raise InputError(f"model=module needs model.path=FILE.py:FUNCTION; got {shown(node.get('path'))}")
    try:
        code = code_hash(path("model.path", file).read_bytes())
    except OSError as error:
        raise InputError(f"model.path: cannot read {file}: {error.strerror or error}") from error
    return Named("module", (("code", code), ("function", function), ("path", file)))


def _width(value: Any, depth: int, model: str) -> tuple[int, ...]:
    if depth < MODELS[model].least_depth:
        raise InputError(f"model={model} needs depth >= {MODELS[model].least_depth}; got {depth}")
    if not MODELS[model].width:
        return ()
    if not isinstance(value, list):
        return (whole("width", value, 1),) * depth
    widths = tuple(whole("width", item, 1) for item in value)
    if MODELS[model].equal and len(set(widths)) > 1:
        raise InputError(f"model={model} has one width for all layers; got {shown(value)}")
    if len(widths) != depth:
        raise InputError(f"width lists {len(widths)} layers but depth is {depth}")
    return widths


def _seeds(*values: Any) -> tuple[int, ...]:
    """``10`` means 0..9, a list means those; 0 is a seed like any other."""
    seeds: dict[int, None] = {}
    for value in values:
        if isinstance(value, list):
            seeds |= dict.fromkeys(whole("seeds", item, 0, 2**64 - 1) for item in value)
        else:
            seeds |= dict.fromkeys(range(whole("seeds", value, 1)))
    if not seeds:
        raise InputError("seeds is an empty list; write seeds=10 for 0..9, or seeds=[3,7]")
    return tuple(seeds)
