"""Initialize anyone's model: ``initbench.initialize(model, "he_normal", activation="relu", seed=0)``."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initbench.data_driven import DATA_LAWS
from initbench.errors import InputError
from initbench.initializers import BIASES, LAWS, Certificate, certify, draw_bias
from initbench.initializers.catalogue import Law
from initbench.initializers.conformance import drawn
from initbench.models.roles import Parameter, parameters
from initbench.seeding import stream
from initbench.settings.catalogue import Catalogue
from initbench.settings.resolve import bias_policy, initializer, named_activation
from initbench.trial import Named
from initbench.values import shown

# An option's name, a function (shape, rng) -> array, or a mapping with a name and parameters.
Spec = str | Callable[..., NDArray[Any]] | Mapping[str, Any]


def initialize(
    model: nn.Module,
    init: Spec = "he_normal",
    *,
    activation: str | Mapping[str, Any] | None = None,
    bias: str | Mapping[str, Any] = "zeros",
    seed: int = 0,
    layers: Mapping[str, Spec] | None = None,
    **params: Any,
) -> dict[str, Certificate]:
    """Draw the weights and biases of a model anew, in place.

    Linear layers, convolutions, transposed convolutions, embeddings, recurrent layers and attention projections get
    the initializer; biases their policy; normalisations start as the identity (scale 1, shift 0). Other parameters are
    left as they are, with a certificate that says so. Fans are those of one group of a grouped convolution, and of one
    of several matrices in one parameter (the query, key and value of ``in_proj_weight``, the gates of an LSTM), and
    are not swapped in a transposed convolution; torch's are. Strides count nowhere. An embedding is read as
    ``[num, dim]``, one row per entry, as torch and Flax do.

    Every parameter has a random stream of its own, named by the seed and the parameter's name: what it gets depends on
    no other layer and on no global state, and the model's device and precision change nothing but the rounding.

    Args:
        model: any module whose parameters have their shapes.
        init: an option of ``initbench list initializers``, an alias, a framework's view such as ``he_normal@keras``, a
            mapping with ``name`` and parameters, or a function ``(shape, rng) -> array``.
        activation: a name of ``initbench list activations``, or a mapping with ``name`` and parameters. With it, the
            gain of every law that has one is the activation's (``gain="auto"``), unless it is given or a view fixes it.
        bias: a policy of ``initbench list biases``, or a mapping with ``name`` and parameters.
        seed: any integer >= 0.
        layers: pattern of parameter names, as ``"fc.*"``, to the initializer of those; the first that matches counts.
        params: of ``init``'s law, as ``std=0.02``.

    Returns:
        One certificate for each parameter, by its name.

    Raises:
        InputError: an unknown name or parameter, a law that cannot serve a layer, or one that breaks its promise, or
            weights that the model's precision cannot hold. The model is then as it was.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed must be a whole number >= 0; got {shown(seed)}")
    seed = int(seed)
    of_activation = None if activation is None else named_activation(_node("activation", activation))
    node = _node("bias", bias)
    if node["name"] == "critical":
        node.setdefault("std", "auto")
    if node["name"] == "log_prior":
        raise InputError("bias 'log_prior' needs to know the output layer and its data; fill that bias yourself")
    policy = bias_policy(node, {}, of_activation)
    everywhere = _resolve(init, params, of_activation, policy)
    chosen = {pattern: _resolve(spec, {}, of_activation, policy) for pattern, spec in (layers or {}).items()}
    for pattern in chosen:
        if not any(fnmatchcase(name, pattern) for name, _ in model.named_parameters()):
            raise InputError(f"layers: '{pattern}' matches no parameter of the model")
    new: list[tuple[nn.Parameter, torch.Tensor]] = []
    certificates = {}
    for parameter in parameters(model):
        own = next((spec for pattern, spec in chosen.items() if fnmatchcase(parameter.name, pattern)), None)
        law_name, law, law_params = own or everywhere
        if parameter.kind == "other" and own is not None and parameter.tensor.ndim > 1:
            parameter = replace(parameter, kind="weight")
        values, certificate = _draw(parameter, seed, law_name, law, law_params, policy)
        certificates[parameter.name] = certificate
        if certificate.faults:
            raise InputError(f"init '{law_name}' on {parameter.name}: {certificate.faults[0]}")
        if values is not None:
            rounded = torch.from_numpy(values).to(parameter.tensor.dtype)
            if not torch.isfinite(rounded).all():
                raise InputError(f"init '{law_name}' on {parameter.name}: a value is too large for {rounded.dtype}")
            new.append((parameter.tensor, rounded))
    with torch.no_grad():
        for tensor, rounded in new:
            tensor.copy_(rounded)
    return certificates


def _node(what: str, given: Any) -> dict[str, Any]:
    """A name alone, or a name with parameters."""
    if not isinstance(given, str | Mapping):
        raise InputError(f"{what} must be a name, or a mapping with a 'name'; got {type(given).__name__}")
    node = {"name": given} if isinstance(given, str) else {key: _plain(value) for key, value in given.items()}
    if not isinstance(node.get("name"), str):
        raise InputError(f"{what}: a mapping must have a 'name'; got {node}")
    return node


def _plain(value: Any) -> Any:
    """A scalar of NumPy or torch as Python's own."""
    return value.item() if isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0 else value


def _resolve(
    spec: Spec, params: Mapping[str, Any], activation: Named | None, policy: Named
) -> tuple[str, Law, dict[str, Any]]:
    """A name, its law, and the law's parameters as numbers."""
    if callable(spec):
        name = getattr(spec, "__name__", "function")
        return name, Law(spec, "a function of yours", "you"), dict(params)
    given = _node("init", spec)
    node = Catalogue().option("init", given.pop("name")) | given | {key: _plain(value) for key, value in params.items()}
    if node["law"] in DATA_LAWS:
        raise InputError(f"init '{node['name']}' needs training inputs, which only 'initbench run' has; use another")
    fixed = "@" in node["name"] or "gain" in params or "gain" in given
    if activation is not None and "gain" in LAWS[node["law"]].defaults and not fixed and node["gain"] != "critical":
        node["gain"] = "auto"
    init = initializer(node, activation, policy)
    if init.branches:
        raise InputError(f"init '{init.name}' is for residual branches, which it cannot find in any module")
    return init.name, LAWS[init.law], dict(init.params)


def _draw(
    parameter: Parameter, seed: int, name: str, law: Law, params: Mapping[str, Any], policy: Named
) -> tuple[NDArray[np.float32] | None, Certificate]:
    """The new values in the parameter's own layout, or None where they stay, and the certificate."""
    rng = stream(seed, "init", parameter.name)
    if parameter.kind in ("multiplier", "other"):
        kept = certify("kept", parameter.tensor.detach().float().cpu().numpy())
        return None, kept
    if parameter.kind in ("scale", "shift"):
        values = np.full(parameter.shape, float(parameter.kind == "scale"), np.float32)
        return values, certify("ones" if parameter.kind == "scale" else "zeros", values)
    if parameter.kind == "bias":
        of_bias = dict(policy.params)
        vectors = [draw_bias(policy.name, parameter.shape, rng, **of_bias) for _ in range(parameter.blocks)]
        promise = BIASES[policy.name].promise(parameter.shape, **of_bias)
        vector = np.concatenate(vectors)
        return vector, certify(policy.name, vector, promise.of_blocks(parameter.blocks))
    blocks = [_one(parameter, rng, name, law, params) for _ in range(parameter.blocks)]
    promised = law.promise(parameter.shape, **params).of_blocks(parameter.blocks) if law.promise else None
    certificate = certify(name, np.concatenate(blocks), promised)
    return parameter.assembled(blocks), certificate


def _one(
    parameter: Parameter, rng: np.random.Generator, name: str, law: Law, params: Mapping[str, Any]
) -> NDArray[np.float32]:
    where = f"init '{name}' on {parameter.name}, {'a block ' if parameter.blocks > 1 else ''}of shape {parameter.shape}"
    try:
        return drawn(law, parameter.shape, rng, params)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
