"""What a command line asks for: composed dictionaries, checked value by value, become a frozen request.

Every message names the setting, what it may be, and what it got.
"""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS, rms_gain, torch_gain
from initbench.data import SOURCES, STANDARDIZE, DatasetSpec
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS, draw
from initbench.seeding import stream
from initbench.trial import Cell, Init, Named

MODELS = ("mlp",)
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
    "optimizer": ("name",),
}
_SCALARS = (
    *("depth", "width", "lr", "schedule", "warmup", "epochs", "batch_size"),
    *("seeds", "device", "results", "experiment"),
)
_SETTINGS = (*_GROUPS, *_SCALARS)

# More than anyone means, and still small enough to plan.
_MOST = 1_000_000


@dataclass(frozen=True)
class Request:
    """What a command line asks for: cells times seeds, where to run them, where to keep the records."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    device: str
    results: Path
    experiment: str


def request(cells: Sequence[Mapping[str, Any]]) -> Request:
    """Check and freeze composed cells; equal ones are asked for once.

    Raises:
        InputError: a value of the wrong type or outside its range, or a name that is not in its table.
    """
    for name in cells[0]:
        if name not in _SETTINGS:
            raise unknown("setting", name, _SETTINGS)
    first = cells[0]
    seeds = _seeds(*(cell["seeds"] for cell in cells))
    device = _text("device", first["device"])
    number = device.removeprefix("cuda:")
    if device not in ("auto", "cpu", "cuda") and not (number != device and number.isdecimal()):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N; got '{device}'")
    results = Path(_text("results", first["results"])).expanduser()
    experiment = first["experiment"] or "run"
    return Request(tuple(dict.fromkeys(map(_cell, cells))), seeds, device, results, experiment)


def _cell(plain: Mapping[str, Any]) -> Cell:
    for group, keys in _GROUPS.items():
        node = plain[group]
        if not isinstance(node, Mapping):
            raise InputError(f"{group} must hold settings, one KEY: VALUE per line; got {_shown(node)}")
        for key in keys:
            if key not in node:
                raise InputError(f"{group} {_shown(node.get('name'))} lacks '{key}'")
    depth = _whole("depth", plain["depth"], 0)
    epochs = plain["epochs"] if plain["epochs"] is not None else plain["dataset"]["epochs"]
    activation = _activation(plain["activation"])
    cell = Cell(
        dataset=_dataset(plain["dataset"]),
        model=_choice("model", plain["model"]["name"], MODELS),
        depth=depth,
        width=_width(plain["width"], depth),
        activation=activation,
        init=_init(plain["init"], activation),
        optimizer=_optimizer(plain["optimizer"]),
        lr=_number("lr", plain["lr"], above=0),
        schedule=_choice("schedule", plain["schedule"], SCHEDULES),
        warmup=_number("warmup", plain["warmup"], least=0),
        epochs=_whole("epochs", epochs, 1),
        batch_size=_whole("batch_size", plain["batch_size"], 1),
    )
    if cell.warmup > cell.epochs:
        raise InputError(f"warmup ({cell.warmup} epochs) is longer than the training ({cell.epochs} epochs)")
    return cell


def _dataset(node: Mapping[str, Any]) -> DatasetSpec:
    source = _choice("dataset.source", node["source"], SOURCES)
    allowed = inspect.signature(SOURCES[source]).parameters
    common = ("name", "source", "val", "test", "standardize", "sha256", "epochs")
    options = {key: value for key, value in node.items() if key not in common}
    for key, value in options.items():
        if key not in allowed:
            raise unknown("setting", f"dataset.{key}", [f"dataset.{name}" for name in (*common, *allowed)])
        options[key] = _like(f"dataset.{key}", value, allowed[key].annotation)
    name = _text("dataset.name", node["name"])
    if options.get("path") and name == source:
        name = Path(options["path"]).stem
    return DatasetSpec(
        name=name,
        source=source,
        options=tuple(sorted(options.items())),
        val=_number("dataset.val", node["val"], above=0),
        test=_number("dataset.test", node["test"], above=0) if "test" in node else 0.0,
        standardize=_choice("dataset.standardize", node["standardize"], STANDARDIZE),
        sha256=None if node.get("sha256") is None else _text("dataset.sha256", node["sha256"]),
    )


def _activation(node: Mapping[str, Any]) -> Named:
    name = _choice("activation", node["name"], ACTIVATIONS)
    allowed = inspect.signature(ACTIVATIONS[name].function).parameters if len(node) > 1 else {}
    params = {key: _number(f"activation.{key}", value) for key, value in node.items() if key != "name"}
    for key in params:
        if key not in allowed or key == "x":
            raise unknown("setting", f"activation.{key}", [f"activation.{name}" for name in allowed if name != "x"])
    return Named(name, tuple(sorted(params.items())))


def _init(node: Mapping[str, Any], activation: Named) -> Init:
    law = _choice("init.law", node["law"], LAWS)
    defaults = LAWS[law].defaults
    params = {key: value for key, value in node.items() if key not in ("name", "law", "bias")}
    for key, value in params.items():
        if key not in defaults:
            raise unknown("setting", f"init.{key}", [f"init.{name}" for name in ("name", "law", "bias", *defaults)])
        params[key] = _gain(value, activation) if key == "gain" else _like(f"init.{key}", value, type(defaults[key]))
    params = defaults | params
    try:
        # A draw tells at once, and in the law's own words, whether it accepts its parameters.
        draw(law, (32, 32), stream(0, "init"), **params)
    except ValueError as error:
        raise InputError(f"init '{node['name']}': {error}") from None
    bias = _choice("init.bias", node.get("bias", "zeros"), BIASES)
    return Init(_text("init.name", node["name"]), law, tuple(sorted(params.items())), bias)


def _gain(value: Any, activation: Named) -> float:
    """``auto`` is the activation's root-mean-square gain, ``torch`` is ``calculate_gain``'s; else a number."""
    if value == "auto":
        return rms_gain(activation.name, dict(activation.params))
    if value == "torch":
        gain = torch_gain(activation.name, dict(activation.params))
        if gain is None:
            raise InputError(f"torch has no gain for '{activation.name}'; use init.gain=auto or a number")
        return gain
    return _number("init.gain", value, also="auto or torch")


def _optimizer(node: Mapping[str, Any]) -> Named:
    name = _choice("optimizer", node["name"], OPTIMIZERS)
    params: dict[str, float | bool] = dict(OPTIMIZERS[name])
    for key, value in node.items():
        if key == "name":
            continue
        if key not in params:
            raise unknown("setting", f"optimizer.{key}", [f"optimizer.{name}" for name in params])
        if isinstance(params[key], bool):
            params[key] = _like(f"optimizer.{key}", value, bool)
        elif key in ("momentum", "beta1", "beta2"):
            params[key] = _number(f"optimizer.{key}", value, least=0, below=1)
        elif key == "eps":
            params[key] = _number(f"optimizer.{key}", value, above=0)
        else:
            params[key] = _number(f"optimizer.{key}", value, least=0)
    if params.get("nesterov") and not params["momentum"]:
        raise InputError("optimizer.nesterov=true needs optimizer.momentum > 0")
    return Named(name, tuple(sorted(params.items())))


def _width(value: Any, depth: int) -> tuple[int, ...]:
    if not isinstance(value, list):
        return (_whole("width", value, 1),) * depth
    if len(value) != depth:
        raise InputError(f"width lists {len(value)} layers but depth is {depth}")
    return tuple(_whole("width", item, 1) for item in value)


def _seeds(*values: Any) -> tuple[int, ...]:
    """``10`` means 0..9, a list means those; 0 is a seed like any other."""
    seeds: dict[int, None] = {}
    for value in values:
        if isinstance(value, list):
            seeds |= dict.fromkeys(_whole("seeds", item, 0, 2**64 - 1) for item in value)
        else:
            seeds |= dict.fromkeys(range(_whole("seeds", value, 1)))
    if not seeds:
        raise InputError("seeds is an empty list; write seeds=10 for 0..9, or seeds=[3,7]")
    return tuple(seeds)


def _whole(name: str, value: Any, least: int, most: int = _MOST) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}; got {_shown(value)}")
    if value > most:
        raise InputError(f"{name} must be at most {most:,}; got {value:,}")
    return value


def _number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    also: str = "",
) -> float:
    bounds = [f"{sign} {bound}" for sign, bound in ((">", above), (">=", least), ("<", below)) if bound is not None]
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ok = ok and (above is None or value > above) and (least is None or value >= least)
    if not ok or (below is not None and value >= below):
        kind = " ".join(["a finite number", " and ".join(bounds)]).strip()
        raise InputError(f"{name} must be {kind}{f', {also}' if also else ''}; got {_shown(value)}")
    return float(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} must be a text; got {_shown(value)}")
    return value


def _choice(name: str, value: Any, allowed: Mapping[str, Any] | Sequence[str]) -> str:
    if value not in list(allowed):
        raise unknown(name, str(value), allowed)
    return str(value)


def _like(name: str, value: Any, kind: Any) -> Any:
    """The value if it is of the annotated type: bool, int, float or str, or one of them or None."""
    if value is None and kind in (str | None, int | None):
        return None
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false; got {_shown(value)}")
        return value
    if kind in (int, int | None):
        return _whole(name, value, 1)
    return _number(name, value) if kind is float else _text(name, value)


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)
