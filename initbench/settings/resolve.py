"""The second of two steps from a composed cell to a typed one: what follows from what, every gain a number.

Every value by itself was looked at in the first step, :mod:`initbench.settings.check`.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, kurtosis, rms_gain, tat_slope, torch_gain
from initbench.code import read
from initbench.data import TOLD, DatasetSpec, tasks_of
from initbench.data_driven import DATA_LAWS
from initbench.engine.optimizers import OPTIMIZERS
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS, Law
from initbench.initializers.conformance import drawn
from initbench.initializers.schemes import SCHEMES
from initbench.models import MODELS, code_hash
from initbench.seeding import stream
from initbench.settings.check import Laws, Option
from initbench.settings.schema import GAINS
from initbench.trial import Init, Named
from initbench.values import path, shown

# The popular pair for tanh is σ_w² = 1.76, σ_b² = 0.05.
_CRITICAL_BIAS_STD = math.sqrt(0.05)


def named(option: Option) -> Named:
    """An option of which nothing follows but what it says."""
    return Named(option.common["name"], tuple(sorted(option.params.items())))


def activation(option: Option, depth: int | None = None, model: str = "mlp") -> Named:
    """An option of the group ``activation``, with a slope that follows from the depth resolved to a number.

    Args:
        option: checked.
        depth: of the network; None where nobody says.
        model: a name of :data:`initbench.models.MODELS`.

    Raises:
        InputError: the slope follows from a depth, and there is none, or one that counts something else than layers.
    """
    names, params = ACTIVATIONS[option.kind].defaults, dict(option.params)
    if params.get("negative_slope") == "auto":
        if depth is None:
            raise InputError(f"activation '{option.kind}' needs negative_slope=NUMBER where no depth is known")
        if MODELS[model].branches or model == "module":
            raise InputError(f"activation.negative_slope=auto needs model=mlp or cnn; give a number with model={model}")
        params["negative_slope"] = tat_slope(depth, params["eta"])
    # What only decides another parameter is no part of what is trained.
    return Named(option.common["name"], tuple(sorted((name, params[name]) for name in names)))


def initializer(option: Option, activation: Named | None, bias: Named, laws: Laws) -> Init:
    """An option of the group ``init``, with every gain resolved to a number.

    Args:
        option: checked.
        activation: that the gains are for; None where there is none to ask for.
        bias: the policy beside it, which the critical gain depends on.
        laws: those there are.

    Raises:
        InputError: a gain that there is not, a value that the law refuses, or a law or a scheme that is not for this.
    """
    setting, name, label, params = option.setting, option.kind, option.common["name"], dict(option.params)
    if name in DATA_LAWS and setting != "init":
        raise InputError(f"{setting}: '{name}' sets all layers of a network; use it as init")
    for key, value in params.items():
        if value in GAINS and key in ("gain", "scale"):
            params[key] = _gain(value, activation, bias, setting) ** (2 if key == "scale" else 1)
        elif value == "auto" and key == "kurtosis":
            known = _needed(activation, f"{setting}.{key}=auto")
            params[key] = kurtosis(known.name, dict(known.params))
    drawn_by = laws[params["base"]] if name in DATA_LAWS else laws[name]
    assert isinstance(drawn_by, Law)
    if not drawn_by.code:
        of_law = drawn_by.defaults if name in DATA_LAWS else params
        refusal = _refusal(params["base"] if name in DATA_LAWS else name, tuple(of_law.items()))
        if refusal is not None:
            raise InputError(f"{setting} '{label}': {refusal}")
    scheme = option.common.get("scheme") or ""
    if scheme and SCHEMES[scheme].law not in ("", name):
        raise InputError(f"{setting} '{label}': scheme '{scheme}' is for the law '{SCHEMES[scheme].law}'")
    if scheme and setting != "init" and SCHEMES[scheme].law:
        raise InputError(f"{setting} '{label}' is for the layers of a whole network; use init={label}")
    if scheme and setting != "init" and not SCHEMES[scheme].residual:
        scheme = ""
    if scheme and setting != "init":
        raise InputError(f"{setting} '{label}' is for the branches of a whole network; use init={label}")
    if scheme and name in DATA_LAWS:
        raise InputError(f"{setting} '{label}': '{name}' has no scheme")
    return Init(label, name, tuple(sorted(params.items())), drawn_by.code, scheme, drawn_by.file)


def unsuited(init: Mapping[str, Any], model: Mapping[str, Any], depth: int) -> str | None:
    """Why an initializer is not for such a model; None if it is.

    Args:
        init: an option of the group ``init``, with its law and its scheme.
        model: an option of the group ``model`` with its settings.
        depth: of the network.
    """
    name, law, scheme = init["name"], init["law"], init.get("scheme")
    if law in DATA_LAWS and (model["name"] != "mlp" or model.get("norm") not in (None, "none")):
        return f"init '{name}' sets up plain perceptrons only; use model=mlp without normalisation"
    if law in DATA_LAWS and DATA_LAWS[law].hidden and not depth:
        return f"init '{name}' trains hidden layers, and depth=0 has none"
    if scheme == "own" and model["name"] != "module":
        return f"init '{name}' is what a module of yours makes of itself; use model.path=FILE.py:FUNCTION"
    if scheme not in SCHEMES or not SCHEMES[scheme].residual:
        return None
    if not MODELS[model["name"]].branches:
        models = " or ".join(f"model={name}" for name, network in MODELS.items() if network.branches)
        return f"init '{name}' is for residual branches, and model={model['name']} has none; use {models}"
    if model["layers"] < SCHEMES[scheme].least_layers:
        return f"init '{name}' needs model.layers >= {SCHEMES[scheme].least_layers}; got {model['layers']}"
    return None


def draws_images(law: Law, init: Mapping[str, Any], model: Mapping[str, Any], depth: int) -> bool:
    """Whether the law of an initializer of ours draws the first convolution of such a model, even for grey images."""
    if law.code or not MODELS[model["name"]].images or not depth:
        return True
    # A gain by name changes no law's mind about a shape.
    params = {key: init[key] for key in law.defaults if key in init and init[key] not in GAINS}
    shape = (model["channels"], 1, model["kernel"], model["kernel"])
    return _refusal(init["law"], tuple((law.defaults | params).items()), shape) is None


@lru_cache(maxsize=1024)
def _refusal(law: str, params: tuple[tuple[str, Any], ...], shape: tuple[int, ...] = (2, 4096)) -> str | None:
    """What a law says of parameters that it does not accept: a draw tells at once.

    By default whatever the layer: a weight with more inputs than nearly any has, for laws that count them.
    """
    try:
        drawn(LAWS[law], shape, stream(0, "init"), dict(params))
    except ValueError as error:
        return str(error)
    return None


def bias_policy(option: Option, activation: Named | None) -> Named:
    """An option of the group ``bias``, with its standard deviation resolved to a number.

    Raises:
        InputError: it needs an activation, and there is none.
    """
    params = dict(option.params)
    if params.get("std") == "auto":
        has_pair = _critical(_needed(activation, "bias.std=auto"), _CRITICAL_BIAS_STD) is not None
        params["std"] = _CRITICAL_BIAS_STD if has_pair else 0.0
    return Named(option.kind, tuple(sorted(params.items())))


def dataset(option: Option) -> DatasetSpec:
    """An option of the group ``dataset``.

    Raises:
        InputError: a split of so many samples and a half, or a task that the data are not for.
    """
    common, told = option.common, option.common.get("task")
    allowed = tasks_of(option.kind)
    if told is not None and told not in allowed:
        raise unknown("dataset.task", told, allowed)
    for key in ("train", "val", "test"):
        if common.get(key) is not None and common[key] > 1 and not common[key].is_integer():
            raise InputError(
                f"dataset.{key} must be a fraction below 1 or a whole number of samples; got {shown(common[key])}"
            )
    name = common["name"]
    if option.params.get("path") and name == option.kind:
        name = Path(option.params["path"]).stem
    return DatasetSpec(
        name=name,
        source=option.kind,
        options=tuple(sorted({**option.params, **({"task": told} if option.kind in TOLD else {})}.items())),
        val=common["val"],
        test=common.get("test", 0.0),
        standardize=common["standardize"],
        sha256=common.get("sha256"),
        train=common.get("train"),
        split=common["split"],
        task=told or allowed[0],
    )


def optimizer(option: Option) -> Named:
    """An option of the group ``optimizer``.

    Raises:
        InputError: values that do not go together.
    """
    refusal = OPTIMIZERS[option.kind].refusal(dict(option.params))
    if refusal is not None:
        raise InputError(refusal)
    return named(option)


def model(option: Option) -> Named:
    """An option of the group ``model``; a user's function with the hash of the file it is in.

    Raises:
        InputError: a file that cannot be read.
    """
    if option.kind != "module":
        found = named(option)
        # Where there was no choice at first, keys say nothing of what is off.
        off = ("norm", None) if found.name != "mlp" else None
        return replace(found, params=tuple(param for param in found.params if param != off))
    given = option.params["path"]
    file, colon, function = (given or "").rpartition(":")
    if not colon or not function.isidentifier():
        raise InputError(f"model=module needs model.path=FILE.py:FUNCTION; got {shown(given)}")
    try:
        code = read(path("model.path", file)).hash(code_hash)
    except OSError as error:
        raise InputError(f"model.path: cannot read {error.filename or file}: {error.strerror or error}") from error
    # Where they are first, nobody said so at first.
    channels = (("channels", "last"),) if option.params["channels"] == "last" else ()
    return Named("module", (*channels, ("code", code), ("function", function), ("path", file)))


def width(value: int | list[int], depth: int, model: str) -> tuple[int, ...]:
    """The units of each layer; nothing in models whose layers have none.

    Raises:
        InputError: a depth or a width that the model cannot have.
    """
    if depth < MODELS[model].least_depth:
        raise InputError(f"model={model} needs depth >= {MODELS[model].least_depth}; got {depth}")
    if not MODELS[model].width:
        return ()
    widths = tuple(value) if isinstance(value, list) else (value,) * depth
    if MODELS[model].equal and len(set(widths)) > 1:
        raise InputError(f"model={model} has one width for all layers; got {shown(value)}")
    if len(widths) != depth:
        raise InputError(f"width lists {len(widths)} layers but depth is {depth}")
    return widths


def _gain(value: str, activation: Named | None, bias: Named, group: str) -> float:
    """``auto`` is the activation's root-mean-square gain, ``torch`` is ``calculate_gain``'s, ``critical`` is σ_w."""
    known = _needed(activation, f"{group}.gain={value}")
    if value == "auto":
        return rms_gain(known.name, dict(known.params))
    if value == "torch":
        gain = torch_gain(known.name, dict(known.params))
        if gain is None:
            raise InputError(f"torch has no gain for '{known.name}'; use {group}.gain=auto or a number")
        return gain
    std = BIASES[bias.name].std
    if std is None:
        raise InputError(f"{group}.gain=critical needs biases of mean 0 and one std: zeros, normal or critical")
    bias_std = std(**dict(bias.params))
    gain = _critical(known, bias_std)
    if gain is None:
        raise InputError(f"'{known.name}' has no critical gain beside biases of std {bias_std:.4g}; use a number")
    return gain


def _needed(activation: Named | None, what: str) -> Named:
    if activation is None:
        raise InputError(f"{what} needs the activation")
    return activation


@lru_cache(maxsize=256)
def _critical(activation: Named, bias_std: float) -> float | None:
    return critical_gain(activation.name, bias_std, dict(activation.params))
