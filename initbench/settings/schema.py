"""The table of settings: what can be set, what it may be, and what it is for.

A setting is a value, or it names an option of a group, a file in ``configs/GROUP/``. Defaults are in
``configs/config.yaml``. The parameters of options are declared in the same form where they are used;
:func:`parameters` finds them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS
from initbench.data import SOURCES, SPLITTING, STANDARDIZE
from initbench.data_driven import DataLaw
from initbench.engine.optimizers import OPTIMIZERS
from initbench.initializers import BIASES, Law
from initbench.initializers.fans import MODES
from initbench.initializers.schemes import SCHEMES
from initbench.models import MODELS
from initbench.settings.executors import EXECUTORS, executor, offered
from initbench.signature import declared, refined
from initbench.tasks import TASKS
from initbench.values import Parameter


@dataclass(frozen=True)
class Setting:
    """One line of the table.

    Attributes:
        parameter: its name, what it may be, and what it is for.
        label: in tables and titles.
        group: the folder of the options that it names; empty for a value.
        identity: whether it is part of what makes a trial this trial.
        single: whether it is of the whole command, where a sweep has no meaning.
    """

    parameter: Parameter
    label: str
    group: str = ""
    identity: bool = True
    single: bool = False


def _option(group: str, label: str, about: str, name: str = "", **more: Any) -> Setting:
    parameter = Parameter(name or group, None, str, optional=more.pop("optional", False), help=about)
    return Setting(parameter, label, group, **more)


def _value(name: str, kind: Any, label: str, about: str, **limits: Any) -> Setting:
    return Setting(Parameter(name, None, kind, help=about, **limits), label)


def _of_command(setting: Setting) -> Setting:
    return replace(setting, identity=False, single=True)


# Whose matrix product compiled code calls: the routes of the engine, which plans need not import.
BLAS = ("auto", "mkl", "scipy")

# In the order in which a command names them.
SETTINGS: dict[str, Setting] = {
    setting.parameter.name: setting
    for setting in (
        _option("dataset", "data", "what is learned"),
        _option("init", "initializer", "what draws the weights"),
        _option("init", "first layer", "draws the first layer; null: as init", "init_first", optional=True),
        _option("init", "output layer", "draws the output layer; null: as init", "init_output", optional=True),
        _option("bias", "biases", "what draws the biases; null: what init brings, most often zeros", optional=True),
        _option("model", "model", "the network"),
        _value("depth", int, "depth", "hidden layers, convolutions or blocks; 0 is softmax regression", least=0),
        _value("width", int, "width", "units per hidden layer; a list gives each layer its own", least=1),
        _option("activation", "activation", "what comes after each hidden layer"),
        _option("optimizer", "optimizer", "what turns gradients into steps"),
        _value("lr", float, "lr", "of a step, at its highest; null: the optimizer's own", above=0, optional=True),
        _value("epochs", int, "epochs", "passes over the data; null: the data set's own", least=1, optional=True),
        _value("batch_size", int, "batch size", "samples of a step", least=1),
        _value(
            "schedule",
            str,
            "schedule",
            "how lr goes on; cosine and linear end at zero",
            choices=("constant", "cosine", "linear"),
        ),
        _value("warmup", float, "warm-up", "epochs over which lr rises linearly to its value first", least=0),
        replace(_option("protocol", "protocol", "what is held equal, and what is searched"), identity=False),
        _of_command(_option("experiment", "preset", "settings and a sweep from a file", optional=True)),
        _of_command(_value("name", str, "run", "of the run and its folder; null: the preset's, or run", optional=True)),
        _value("seeds", int, "run", "10 means 0 to 9, [3,7] means those two", least=1),
        _of_command(_value("device", str, "device", "auto, cpu, cuda or cuda:N")),
        _of_command(_value("blas", str, "matrix product", "of a CPU; auto: mkl on Intel", choices=BLAS)),
        _of_command(
            _value(
                "timeout",
                float,
                "timeout",
                "seconds for a step, after which a trial counts as hung and fails; null: no limit",
                above=0,
                optional=True,
            )
        ),
        _of_command(_option("executor", "executor", "who trains: processes here, or those of a cluster")),
        _of_command(_value("results", Path, "results", "folder of the records, for run and report alike")),
    )
}

# Settings that name an option of a group, in the order in which a command has them, with that group.
GROUPS = {name: setting.group for name, setting in SETTINGS.items() if setting.group}
# Settings that name an option of the group init.
INIT_GROUPS = tuple(name for name, group in GROUPS.items() if group == "init")


# Beside its parameters a protocol that searches has lists of values, by ``search.SETTING``.
SEARCH = "search."
PROTOCOLS: dict[str, tuple[Parameter, ...]] = {
    "fixed": (),
    "tuned": (
        Parameter("seeds", 3, int, least=1, help="of the search; the final ones are the setting seeds, and others"),
        Parameter(
            "extend", 2, int, least=0, below=101, help="values added to each geometric setting whose best is at an edge"
        ),
        Parameter("geometric", ("lr",), str, many=True, help="settings whose values go on by their own ratio"),
        Parameter("halving", False, bool, help="all for a part of the epochs, the better half for twice as many, ..."),
    ),
}

# A gain by name follows from the activation.
GAINS = ("auto", "torch", "critical")
_LAW: dict[str, dict[str, Any]] = {
    "gain": {"words": GAINS, "help": "factor of the standard deviation"},
    "scale": {"words": GAINS, "help": "factor of the variance"},
    "kurtosis": {"words": ("auto",)},
}
_LAW_WORDS: dict[str, dict[str, Any]] = {"mode": {"choices": MODES, "help": "which fan the variance is divided by"}}
# Of the laws that learn from data.
_DATA_LAW: dict[str, dict[str, Any]] = {
    "lr": {"above": 0},
    "eps": {"above": 0},
    "momentum": {"least": 0, "below": 1},
    "corruption": {"least": 0, "below": 1},
}
_BIAS: dict[str, dict[str, Any]] = {"std": {"least": 0, "help": "standard deviation"}, "value": {"help": "of each"}}
_SOURCE: dict[str, dict[str, Any]] = {
    "path": {"kind": Path, "help": "the file or folder"},
    "drop": {"kind": str | int, "many": True, "optional": True, "help": "columns that are no features"},
    "root": {"kind": Path, "help": "where it is looked for and downloaded to; null: the user's cache folder"},
}
_SPLIT: dict[str, Any] = {"above": 0, "help": "size of the split: a fraction of the samples, or how many"}
_DATASET = (
    Parameter("name", None, str, required=True, help="in tables"),
    Parameter("source", None, str, choices=tuple(SOURCES), required=True, help="what reads it"),
    Parameter("val", None, required=True, **_SPLIT),
    Parameter("test", None, **_SPLIT),
    Parameter(
        "standardize", None, str, choices=STANDARDIZE, required=True, help="what has mean 0 and variance 1; unit: 0..1"
    ),
    Parameter("train", None, optional=True, **_SPLIT),
    Parameter(
        "split", "seed", str, choices=SPLITTING, help="seed: other training samples for each seed; fixed: the same"
    ),
    Parameter("sha256", None, str, optional=True, help="the content hash that the data must have"),
    Parameter("task", None, str, choices=tuple(TASKS), optional=True, help="what is learned; none: what the data say"),
    Parameter("epochs", None, int, least=1, required=True, help="where the setting epochs is null"),
)
_NAME = Parameter("name", None, str, required=True, help="in tables")
_INIT = (
    _NAME,
    Parameter("law", None, str, required=True, help="how a weight is drawn"),
    Parameter("bias", None, str, choices=tuple(BIASES), optional=True, help="the biases it brings with it"),
    Parameter("scheme", None, str, choices=tuple(SCHEMES), optional=True, help="what differs from layer to layer"),
)

# What every option of a group has, whatever it names.
COMMON: dict[str, tuple[Parameter, ...]] = {
    group: {"dataset": _DATASET, "init": _INIT}.get(group, (_NAME,)) for group in dict.fromkeys(GROUPS.values())
}
# The key whose value decides which parameters an option has.
KIND = {"dataset": "source", "init": "law"}


def parameters(group: str, kind: str, laws: Mapping[str, Law | DataLaw]) -> tuple[Parameter, ...] | None:
    """What can be set of an option, beside what all of its group have.

    Args:
        group: a folder of options.
        kind: what decides: the option's law, source, or else its name.
        laws: those there are.

    Returns:
        None where there is nothing of the kind.
    """
    if group == "init":
        return _of_law(laws[kind], laws) if kind in laws else None
    return _TABLES[group][0](kind) if kind in kinds(group, laws) else None


def own_value(name: str, cell: Mapping[str, Any]) -> Any:
    """What a setting means that is null: the epochs of the data set, the learning rate of the optimizer.

    Args:
        name: the setting.
        cell: composed, see :func:`initbench.settings.compose.compose`.
    """
    if name == "lr" and cell["optimizer"].get("name") in OPTIMIZERS:
        return OPTIMIZERS[cell["optimizer"]["name"]].lr
    return cell["dataset"].get("epochs") if name == "epochs" else None


def kinds(group: str, laws: Mapping[str, Law | DataLaw]) -> tuple[str, ...]:
    """The kinds of options of a group that :func:`parameters` knows."""
    if group == "executor":
        return (*EXECUTORS, *offered())
    return tuple(laws if group == "init" else _TABLES[group][1])


def _of_law(law: Law | DataLaw, laws: Mapping[str, Law | DataLaw]) -> tuple[Parameter, ...]:
    found = declared(law.function)
    if isinstance(law, DataLaw):
        bases = tuple(name for name, base in laws.items() if isinstance(base, Law))
        about = _DATA_LAW | {"base": {"choices": bases, "help": "the law that draws the weights it starts from"}}
        return tuple(_positive(parameter) for parameter in refined(found, _LAW | about))
    # What else a law from outside means by a value is its own to say.
    found = tuple(replace(p, **_LAW.get(p.name, {})) if p.kind is float else p for p in found)
    return found if law.code else tuple(map(_positive, refined(found, _LAW_WORDS)))


def _positive(parameter: Parameter) -> Parameter:
    """A whole number of ours counts something."""
    return replace(parameter, least=1) if parameter.kind is int and parameter.least is None else parameter


def _of_bias(name: str) -> tuple[Parameter, ...]:
    critical = {"words": ("auto",), "default": "auto"} if name == "critical" else {}
    return refined(declared(BIASES[name].function), _BIAS | {"std": _BIAS["std"] | critical})


def _of_activation(name: str) -> tuple[Parameter, ...]:
    found = declared(ACTIVATIONS[name].function)
    if name != "tat":
        return found
    about = "of what is negative; auto: what follows from eta and the depth"
    slope = {"words": ("auto",), "default": "auto", "least": 0, "below": 1, "help": about}
    eta = Parameter("eta", 0.9, above=0, below=1, help="correlation that all layers map 0 to; where the slope is auto")
    return (*refined(found, {"negative_slope": slope}), eta)


def _of_source(name: str) -> tuple[Parameter, ...]:
    # The task is a setting of every data set, and those that need to know it are told.
    own = tuple(p for p in declared(SOURCES[name], all_of_them=True) if p.name != "task")
    return tuple(map(_positive, refined(own, _SOURCE)))


_TABLES: dict[str, tuple[Callable[[str], tuple[Parameter, ...]], Mapping[str, Any]]] = {
    "dataset": (_of_source, SOURCES),
    "bias": (_of_bias, BIASES),
    "model": (lambda name: MODELS[name].parameters, MODELS),
    "activation": (_of_activation, ACTIVATIONS),
    "optimizer": (lambda name: OPTIMIZERS[name].parameters, OPTIMIZERS),
    "protocol": (PROTOCOLS.__getitem__, PROTOCOLS),
    "executor": (lambda name: executor(name).parameters, EXECUTORS),
    "experiment": (lambda name: (), {}),
}
