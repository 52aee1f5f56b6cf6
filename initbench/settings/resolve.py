"""One option of a group, checked, with every gain resolved to a number."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, kurtosis, rms_gain, torch_gain
from initbench.code import read
from initbench.data import DatasetSpec
from initbench.data_driven import DATA_LAWS
from initbench.engine.optimizers import OPTIMIZERS
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS, Law
from initbench.initializers.conformance import drawn
from initbench.initializers.schemes import SCHEMES
from initbench.models import MODELS, code_hash
from initbench.seeding import stream
from initbench.settings.catalogue import Catalogue
from initbench.settings.schema import COMMON, GAINS, PROTOCOLS, SEARCH, parameters
from initbench.trial import Init, Named
from initbench.values import choice, path, shown, text, whole

# The popular pair for tanh is σ_w² = 1.76, σ_b² = 0.05.
_CRITICAL_BIAS_STD = math.sqrt(0.05)
_OURS = Catalogue()


def checked(
    group: str, kind: str, node: Mapping[str, Any], where: str = "", catalogue: Catalogue = _OURS
) -> dict[str, Any]:
    """The parameters of an option, by name: as they are given, else their defaults; names for numbers stay names.

    Args:
        group: of the option.
        kind: what decides which parameters it has, see :func:`initbench.settings.schema.parameters`.
        node: the option.
        where: the setting that names it, if not the group.
        catalogue: the laws there are.

    Raises:
        InputError: a parameter that it does not have, or a value that is not in its range.
    """
    found, where = parameters(group, kind, catalogue.laws) or (), where or group
    names = [parameter.name for parameter in (*COMMON[group], *found)]
    for key in node:
        if key not in names:
            raise unknown("setting", f"{where}.{key}", [f"{where}.{name}" for name in names])
    for parameter in found:
        if parameter.required and parameter.name not in node:
            raise InputError(f"{where} {shown(node.get('name'))} lacks '{parameter.name}'")
    return {p.name: p.check(node.get(p.name, p.default), f"{where}.{p.name}") for p in found}


def _common(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """What every option of a group has, of those that this one has."""
    return {p.name: p.check(node[p.name], f"{group}.{p.name}") for p in COMMON[group] if p.name in node}


def _named(group: str, node: Mapping[str, Any], table: Mapping[str, Any]) -> Named:
    name = choice(group, node["name"], table)
    return Named(name, tuple(sorted(checked(group, name, node).items())))


def named_activation(node: Mapping[str, Any]) -> Named:
    """An option of the group ``activation``, checked.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    return _named("activation", node, ACTIVATIONS)


def initializer(
    node: Mapping[str, Any],
    activation: Named | None,
    bias: Named,
    group: str = "init",
    catalogue: Catalogue = _OURS,
) -> Init:
    """An option of the group ``init``, checked, with every gain resolved to a number.

    Args:
        node: name, law, and parameters of the law; what is missing is the law's default.
        activation: that the gains are for; None where there is none to ask for.
        bias: the policy beside it, which the critical gain depends on.
        group: the setting that names it.
        catalogue: the laws there are.

    Raises:
        InputError: a name, a parameter or a value that the law does not have.
    """
    laws = catalogue.laws
    name = choice(f"{group}.law", node["law"], laws)
    if name in DATA_LAWS and group != "init":
        raise InputError(f"{group}: '{name}' sets all layers of a network; use it as init")
    params = checked("init", name, node, group, catalogue)
    for key, value in params.items():
        if value in GAINS and key in ("gain", "scale"):
            params[key] = _gain(value, activation, bias, group) ** (2 if key == "scale" else 1)
        elif value == "auto" and key == "kurtosis":
            known = _needed(activation, f"{group}.{key}=auto")
            params[key] = kurtosis(known.name, dict(known.params))
    drawn_by = laws[params["base"]] if name in DATA_LAWS else laws[name]
    assert isinstance(drawn_by, Law)
    if not drawn_by.code:
        of_law = drawn_by.defaults if name in DATA_LAWS else params
        refusal = _refusal(params["base"] if name in DATA_LAWS else name, tuple(of_law.items()))
        if refusal is not None:
            raise InputError(f"{group} '{node['name']}': {refusal}")
    scheme = "" if node.get("scheme") is None else choice(f"{group}.scheme", node["scheme"], SCHEMES)
    if scheme and group != "init" and not SCHEMES[scheme].residual:
        scheme = ""
    if scheme and group != "init":
        raise InputError(f"{group} '{node['name']}' is for the branches of a whole network; use init={node['name']}")
    if scheme and name in DATA_LAWS:
        raise InputError(f"{group} '{node['name']}': '{name}' has no scheme")
    label = text(f"{group}.name", node["name"])
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


def bias_policy(node: Mapping[str, Any] | None, init: Mapping[str, Any], activation: Named | None) -> Named:
    """An option of the group ``bias``, checked; None asks for the one that the initializer brings with it.

    Raises:
        InputError: a name, a parameter or a value that the policy does not have.
    """
    name = choice("bias", (node or {"name": init.get("bias") or "zeros"})["name"], BIASES)
    params = checked("bias", name, node or {})
    if params.get("std") == "auto":
        has_pair = _critical(_needed(activation, "bias.std=auto"), _CRITICAL_BIAS_STD) is not None
        params["std"] = _CRITICAL_BIAS_STD if has_pair else 0.0
    return Named(name, tuple(sorted(params.items())))


def dataset(node: Mapping[str, Any]) -> DatasetSpec:
    """An option of the group ``dataset``, checked.

    Raises:
        InputError: a source, a setting or a value that there is not.
    """
    common = _common("dataset", node)
    options = checked("dataset", common["source"], node)
    for key in ("val", "test"):
        if key in common and common[key] > 1 and not common[key].is_integer():
            raise InputError(
                f"dataset.{key} must be a fraction below 1 or a whole number of samples; got {shown(node[key])}"
            )
    name = common["name"]
    if options.get("path") and name == common["source"]:
        name = Path(options["path"]).stem
    return DatasetSpec(
        name=name,
        source=common["source"],
        options=tuple(sorted(options.items())),
        val=common["val"],
        test=common.get("test", 0.0),
        standardize=common["standardize"],
        sha256=common.get("sha256"),
    )


def optimizer(node: Mapping[str, Any]) -> Named:
    """An option of the group ``optimizer``, checked.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    found = _named("optimizer", node, OPTIMIZERS)
    refusal = OPTIMIZERS[found.name].refusal(dict(found.params))
    if refusal is not None:
        raise InputError(refusal)
    return found


def protocol(node: Mapping[str, Any]) -> Named:
    """An option of the group ``protocol``, checked but for what it searches, see :func:`.searching.searching`.

    Raises:
        InputError: a name, a parameter or a value that there is not.
    """
    return _named("protocol", {key: value for key, value in node.items() if not key.startswith(SEARCH)}, PROTOCOLS)


def model(node: Mapping[str, Any]) -> Named:
    """An option of the group ``model``, checked; a user's function with the hash of the file it is in.

    Raises:
        InputError: a name, a setting or a value that there is not; a file that cannot be read.
    """
    found = _named("model", node, MODELS)
    if found.name != "module":
        return found
    given = dict(found.params)["path"]
    file, colon, function = (given or "").rpartition(":")
    if not colon or not function.isidentifier():
        raise InputError(f"model=module needs model.path=FILE.py:FUNCTION; got {shown(given)}")
    try:
        code = read(path("model.path", file)).hash(code_hash)
    except OSError as error:
        raise InputError(f"model.path: cannot read {error.filename or file}: {error.strerror or error}") from error
    return Named("module", (("code", code), ("function", function), ("path", file)))


def width(value: Any, depth: int, model: str) -> tuple[int, ...]:
    """The units of each layer; nothing in models whose layers have none.

    Raises:
        InputError: a depth or a width that the model cannot have.
    """
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
