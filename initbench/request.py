"""What a command line asks for: composed dictionaries, checked value by value, become a frozen request.

Every message names the setting, what it may be, and what it got.
"""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, kurtosis, rms_gain, torch_gain
from initbench.data import SOURCES, STANDARDIZE, DatasetSpec
from initbench.data_dependent import DATA_LAWS, INITIALIZERS
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS, draw
from initbench.initializers.branches import BRANCHES
from initbench.models import MODELS, code_hash
from initbench.seeding import stream
from initbench.trial import Cell, Init, Named

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
_OPTIONAL = ("init_first", "init_output", "bias")
_SCALARS = (
    *("depth", "width", "lr", "schedule", "warmup", "epochs", "batch_size"),
    *("seeds", "device", "results", "experiment"),
)
_SETTINGS = (*_GROUPS, *_SCALARS)

# The protocols, with their parameters.
PROTOCOLS: dict[str, tuple[str, ...]] = {"fixed": (), "tuned": ("lrs", "seeds", "extend", "halving")}

# A gain by name follows from the activation.
_GAINS = ("auto", "torch", "critical")
# Parameters of laws that learn from data.
_RANGES: dict[str, dict[str, Any]] = {
    "lr": {"above": 0},
    "eps": {"above": 0},
    "momentum": {"least": 0, "below": 1},
    "corruption": {"least": 0, "below": 1},
}

# The popular pair for tanh is σ_w² = 1.76, σ_b² = 0.05.
_CRITICAL_BIAS_STD = math.sqrt(0.05)

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
    checked = tuple(dict.fromkeys(map(_cell, cells)))
    if len({cell.lr for cell in checked if cell.protocol.name == "tuned"}) > 1:
        raise InputError("protocol=tuned chooses the learning rate; list the ones to try as protocol.lrs=[0.01,0.1]")
    return Request(checked, seeds, device, results, experiment)


def _cell(plain: Mapping[str, Any]) -> Cell:
    for group, keys in _GROUPS.items():
        node = plain[group]
        if node is None and group in _OPTIONAL:
            continue
        if not isinstance(node, Mapping):
            raise InputError(f"{group} must hold settings, one KEY: VALUE per line; got {_shown(node)}")
        for key in keys:
            if key not in node:
                raise InputError(f"{group} {_shown(node.get('name'))} lacks '{key}'")
    depth = _whole("depth", plain["depth"], 0)
    epochs = plain["epochs"] if plain["epochs"] is not None else plain["dataset"]["epochs"]
    activation = named_activation(plain["activation"])
    bias = bias_policy(plain["bias"], plain["init"], activation)
    inits = {
        group: initializer(plain[group], activation, bias, group)
        for group in ("init", "init_first", "init_output")
        if plain[group] is not None
    }
    model = _model(plain["model"])
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
        lr=_number("lr", plain["lr"], above=0),
        schedule=_choice("schedule", plain["schedule"], SCHEDULES),
        warmup=_number("warmup", plain["warmup"], least=0),
        epochs=_whole("epochs", epochs, 1),
        batch_size=_whole("batch_size", plain["batch_size"], 1),
        protocol=_protocol(plain["protocol"]),
    )
    if cell.init.law in DATA_LAWS and (model.name != "mlp" or dict(model.params).get("norm") is not None):
        raise InputError(f"init '{cell.init.name}' sets up plain perceptrons only; use model=mlp without normalisation")
    if cell.init.law in DATA_LAWS and DATA_LAWS[cell.init.law].hidden and not depth:
        raise InputError(f"init '{cell.init.name}' trains hidden layers, and depth=0 has none")
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


def named_activation(node: Mapping[str, Any]) -> Named:
    """An option of the group ``activation``, checked.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    name = _choice("activation", node["name"], ACTIVATIONS)
    allowed = inspect.signature(ACTIVATIONS[name].function).parameters if len(node) > 1 else {}
    params = {key: _number(f"activation.{key}", value) for key, value in node.items() if key != "name"}
    for key in params:
        if key not in allowed or key == "x":
            raise unknown("setting", f"activation.{key}", [f"activation.{name}" for name in allowed if name != "x"])
    return Named(name, tuple(sorted(params.items())))


def initializer(node: Mapping[str, Any], activation: Named | None, bias: Named, group: str = "init") -> Init:
    """An option of the group ``init``, checked, with every gain resolved to a number.

    Args:
        node: name, law, and parameters of the law; what is missing is the law's default.
        activation: that the gains are for; None where there is none to ask for.
        bias: the policy beside it, which the critical gain depends on.
        group: the setting that names it.

    Raises:
        InputError: a name, a parameter or a value that the law does not have.
    """
    law = _choice(f"{group}.law", node["law"], INITIALIZERS)
    if law in DATA_LAWS and group != "init":
        raise InputError(f"{group}: '{law}' sets all layers of a network; use it as init")
    defaults = INITIALIZERS[law].defaults
    own = ("name", "law", "bias", "branches")
    params = {key: value for key, value in node.items() if key not in own}
    for key, value in params.items():
        if key not in defaults:
            raise unknown("setting", f"{group}.{key}", [f"{group}.{name}" for name in (*own, *defaults)])
        if key == "gain":
            params[key] = _gain(value, activation, bias, group)
        elif key == "scale" and value in _GAINS:
            params[key] = _gain(value, activation, bias, group) ** 2
        elif key == "kurtosis" and value == "auto":
            of = _of(activation, f"{group}.{key}=auto")
            params[key] = kurtosis(of.name, dict(of.params))
        elif key == "base":
            params[key] = _choice(f"{group}.base", value, LAWS)
        elif key in _RANGES:
            params[key] = _number(f"{group}.{key}", value, **_RANGES[key])
        else:
            params[key] = _like(f"{group}.{key}", value, type(defaults[key]))
    params = defaults | params
    drawn_by, of_law = (params["base"], LAWS[params["base"]].defaults) if law in DATA_LAWS else (law, params)
    refusal = None if LAWS[drawn_by].code else _refusal(drawn_by, tuple(of_law.items()))
    if refusal is not None:
        raise InputError(f"{group} '{node['name']}': {refusal}")
    branches = "" if node.get("branches") is None else _choice(f"{group}.branches", node["branches"], BRANCHES)
    if branches and group != "init":
        raise InputError(f"{group} '{node['name']}' is for the branches of a whole network; use init={node['name']}")
    if branches and law in DATA_LAWS:
        raise InputError(f"{group} '{node['name']}': '{law}' has no rule for branches")
    code = LAWS[drawn_by].code
    return Init(_text(f"{group}.name", node["name"]), law, tuple(sorted(params.items())), code, branches)


@lru_cache(maxsize=1024)
def _refusal(law: str, params: tuple[tuple[str, Any], ...]) -> str | None:
    """What a law says of parameters that it does not accept, whatever the layer: a draw tells at once."""
    try:
        # With more inputs than nearly any layer has, for laws that count them.
        draw(law, (2, 4096), stream(0, "init"), **dict(params))
    except ValueError as error:
        return str(error)
    return None


def bias_policy(node: Mapping[str, Any] | None, init: Mapping[str, Any], activation: Named | None) -> Named:
    """An option of the group ``bias``, checked; None asks for the one that the initializer brings with it.

    Raises:
        InputError: a name, a parameter or a value that the policy does not have.
    """
    if node is None:
        node = {"name": init.get("bias") or "zeros"}
        if node["name"] == "critical":
            node["std"] = "auto"
    name = _choice("bias", node["name"], BIASES)
    defaults = BIASES[name].defaults
    params = {key: value for key, value in node.items() if key != "name"}
    for key, value in params.items():
        if key not in defaults:
            raise unknown("setting", f"bias.{key}", [f"bias.{name}" for name in ("name", *defaults)])
        if name == "critical" and value == "auto":
            has_pair = _critical(_of(activation, "bias.std=auto"), _CRITICAL_BIAS_STD) is not None
            params[key] = _CRITICAL_BIAS_STD if has_pair else 0.0
        else:
            params[key] = _number(f"bias.{key}", value, least=0 if key == "std" else None)
    return Named(name, tuple(sorted((defaults | params).items())))


def _gain(value: Any, activation: Named | None, bias: Named, group: str) -> float:
    """``auto`` is the activation's root-mean-square gain, ``torch`` is ``calculate_gain``'s, ``critical`` is σ_w."""
    if value not in _GAINS:
        return _number(f"{group}.gain", value, also="auto, torch or critical")
    of = _of(activation, f"{group}.gain={value}")
    if value == "auto":
        return rms_gain(of.name, dict(of.params))
    if value == "torch":
        gain = torch_gain(of.name, dict(of.params))
        if gain is None:
            raise InputError(f"torch has no gain for '{of.name}'; use {group}.gain=auto or a number")
        return gain
    std = BIASES[bias.name].std
    if std is None:
        raise InputError(f"{group}.gain=critical needs biases of mean 0 and one std: zeros, normal or critical")
    bias_std = std(**dict(bias.params))
    gain = _critical(of, bias_std)
    if gain is None:
        raise InputError(f"'{of.name}' has no critical gain beside biases of std {bias_std:.4g}; use a number")
    return gain


def _of(activation: Named | None, what: str) -> Named:
    if activation is None:
        raise InputError(f"{what} needs the activation")
    return activation


@lru_cache(maxsize=256)
def _critical(activation: Named, bias_std: float) -> float | None:
    return critical_gain(activation.name, bias_std, dict(activation.params))


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


def _protocol(node: Mapping[str, Any]) -> Named:
    name = _choice("protocol", node["name"], PROTOCOLS)
    for key in node:
        if key != "name" and key not in PROTOCOLS[name]:
            raise unknown("setting", f"protocol.{key}", [f"protocol.{key}" for key in ("name", *PROTOCOLS[name])])
    if name == "fixed":
        return Named(name)
    for key in PROTOCOLS[name]:
        if key not in node:
            raise InputError(f"protocol '{name}' lacks '{key}'")
    lrs = node["lrs"] if isinstance(node["lrs"], list) else [node["lrs"]]
    values = {_number("protocol.lrs", lr, above=0) for lr in lrs}
    if not values:
        raise InputError("protocol.lrs is an empty list; write protocol.lrs=[0.01,0.1]")
    params = {
        "lrs": tuple(sorted(values)),
        "seeds": _whole("protocol.seeds", node["seeds"], 1),
        "extend": _whole("protocol.extend", node["extend"], 0),
        "halving": _like("protocol.halving", node["halving"], bool),
    }
    return Named(name, tuple(sorted(params.items())))


def _model(node: Mapping[str, Any]) -> Named:
    name = _choice("model", node["name"], MODELS)
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
            settings[key] = _whole(f"model.{key}", value, allowed)
        elif value is None or value == "none":
            settings[key] = None
        elif value not in allowed:
            raise InputError(f"model.{key} must be one of {', '.join(map(str, allowed))}; got {_shown(value)}")
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
    path, colon, function = (_text("model.path", node["path"]) if node.get("path") else "").rpartition(":")
    if not colon or not function.isidentifier():
        raise InputError(f"model=module needs model.path=FILE.py:FUNCTION; got {_shown(node.get('path'))}")
    try:
        code = code_hash(Path(path).expanduser().read_bytes())
    except OSError as error:
        raise InputError(f"model.path: cannot read {path}: {error.strerror or error}") from None
    return Named("module", (("code", code), ("function", function), ("path", path)))


def _width(value: Any, depth: int, model: str) -> tuple[int, ...]:
    if depth < MODELS[model].least_depth:
        raise InputError(f"model={model} needs depth >= {MODELS[model].least_depth}; got {depth}")
    if not MODELS[model].width:
        return ()
    if MODELS[model].equal and isinstance(value, list) and len(set(value)) > 1:
        raise InputError(f"model={model} has one width for all layers; got {_shown(value)}")
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
