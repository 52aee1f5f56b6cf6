"""One option of the groups init, bias and activation, checked, with every gain resolved to a number."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, kurtosis, rms_gain, torch_gain
from initbench.data_driven import DATA_LAWS, INITIALIZERS
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS
from initbench.initializers.conformance import drawn
from initbench.initializers.schemes import BRANCHES
from initbench.models import MODELS
from initbench.seeding import stream
from initbench.trial import Init, Named
from initbench.values import choice, exactly, like, number, text

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


def named_activation(node: Mapping[str, Any]) -> Named:
    """An option of the group ``activation``, checked.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    name = choice("activation", node["name"], ACTIVATIONS)
    allowed = ACTIVATIONS[name].defaults
    params = {key: number(f"activation.{key}", value) for key, value in node.items() if key != "name"}
    for key in params:
        if key not in allowed:
            raise unknown("setting", f"activation.{key}", [f"activation.{name}" for name in allowed])
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
    law = choice(f"{group}.law", node["law"], INITIALIZERS)
    if law in DATA_LAWS and group != "init":
        raise InputError(f"{group}: '{law}' sets all layers of a network; use it as init")
    defaults = INITIALIZERS[law].defaults
    own = ("name", "law", "bias", "branches")
    params = {key: value for key, value in node.items() if key not in own}
    foreign = law in LAWS and bool(LAWS[law].code)
    for key, value in params.items():
        if key not in defaults:
            raise unknown("setting", f"{group}.{key}", [f"{group}.{name}" for name in (*own, *defaults)])
        if foreign and (isinstance(defaults[key], str) or (key != "gain" and value not in _GAINS)):
            # What it may be is the law's to say, whatever a parameter of this name means to ours.
            params[key] = exactly(f"{group}.{key}", value, type(defaults[key]))
        elif key == "gain":
            params[key] = _gain(value, activation, bias, group)
        elif key == "scale" and value in _GAINS:
            params[key] = _gain(value, activation, bias, group) ** 2
        elif key == "kurtosis" and value == "auto":
            of = _of(activation, f"{group}.{key}=auto")
            params[key] = kurtosis(of.name, dict(of.params))
        elif key == "base":
            params[key] = choice(f"{group}.base", value, LAWS)
        elif key in _RANGES:
            params[key] = number(f"{group}.{key}", value, **_RANGES[key])
        else:
            params[key] = like(f"{group}.{key}", value, type(defaults[key]))
    params = defaults | params
    drawn_by, of_law = (params["base"], LAWS[params["base"]].defaults) if law in DATA_LAWS else (law, params)
    refusal = None if LAWS[drawn_by].code else _refusal(drawn_by, tuple(of_law.items()))
    if refusal is not None:
        raise InputError(f"{group} '{node['name']}': {refusal}")
    branches = "" if node.get("branches") is None else choice(f"{group}.branches", node["branches"], BRANCHES)
    if branches and group != "init" and not BRANCHES[branches].branches:
        branches = ""
    if branches and group != "init":
        raise InputError(f"{group} '{node['name']}' is for the branches of a whole network; use init={node['name']}")
    if branches and law in DATA_LAWS:
        raise InputError(f"{group} '{node['name']}': '{law}' has no rule for branches")
    code = LAWS[drawn_by].code
    return Init(text(f"{group}.name", node["name"]), law, tuple(sorted(params.items())), code, branches)


def unsuited(init: Mapping[str, Any], model: Mapping[str, Any], depth: int) -> str | None:
    """Why an initializer is not for such a model; None if it is.

    Args:
        init: an option of the group ``init``, with its law and its rule for residual branches.
        model: an option of the group ``model`` with its settings.
        depth: of the network.
    """
    name, law, rule = init["name"], init["law"], init.get("branches")
    if law in DATA_LAWS and (model["name"] != "mlp" or model.get("norm") not in (None, "none")):
        return f"init '{name}' sets up plain perceptrons only; use model=mlp without normalisation"
    if law in DATA_LAWS and DATA_LAWS[law].hidden and not depth:
        return f"init '{name}' trains hidden layers, and depth=0 has none"
    if rule not in BRANCHES or not BRANCHES[rule].branches:
        return None
    if not MODELS[model["name"]].branches:
        models = " or ".join(f"model={name}" for name, of in MODELS.items() if of.branches)
        return f"init '{name}' is for residual branches, and model={model['name']} has none; use {models}"
    if model["layers"] < BRANCHES[rule].least_layers:
        return f"init '{name}' needs model.layers >= {BRANCHES[rule].least_layers}; got {model['layers']}"
    return None


def draws_images(init: Mapping[str, Any], model: Mapping[str, Any], depth: int) -> bool:
    """Whether the law of an initializer of ours draws the first convolution of such a model, even for grey images."""
    law = LAWS.get(init["law"])
    if law is None or law.code or not MODELS[model["name"]].images or not depth:
        return True
    # A gain by name changes no law's mind about a shape.
    params = {key: init[key] for key in law.defaults if key in init and init[key] not in _GAINS}
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


def bias_policy(node: Mapping[str, Any] | None, init: Mapping[str, Any], activation: Named | None) -> Named:
    """An option of the group ``bias``, checked; None asks for the one that the initializer brings with it.

    Raises:
        InputError: a name, a parameter or a value that the policy does not have.
    """
    if node is None:
        node = {"name": init.get("bias") or "zeros"}
        if node["name"] == "critical":
            node["std"] = "auto"
    name = choice("bias", node["name"], BIASES)
    defaults = BIASES[name].defaults
    params = {key: value for key, value in node.items() if key != "name"}
    for key, value in params.items():
        if key not in defaults:
            raise unknown("setting", f"bias.{key}", [f"bias.{name}" for name in ("name", *defaults)])
        if name == "critical" and value == "auto":
            has_pair = _critical(_of(activation, "bias.std=auto"), _CRITICAL_BIAS_STD) is not None
            params[key] = _CRITICAL_BIAS_STD if has_pair else 0.0
        else:
            params[key] = number(f"bias.{key}", value, least=0 if key == "std" else None)
    return Named(name, tuple(sorted((defaults | params).items())))


def _gain(value: Any, activation: Named | None, bias: Named, group: str) -> float:
    """``auto`` is the activation's root-mean-square gain, ``torch`` is ``calculate_gain``'s, ``critical`` is σ_w."""
    if value not in _GAINS:
        return number(f"{group}.gain", value, also="auto, torch or critical")
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
