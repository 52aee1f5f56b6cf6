"""Initialize anyone's model: ``initbench.initialize(model, "he_normal", activation="relu", seed=0)``."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initbench.config import option
from initbench.errors import InputError
from initbench.initializers import BIASES, LAWS, Certificate, certify, draw_bias
from initbench.initializers.catalogue import Law
from initbench.request import bias_policy, initializer, named_activation
from initbench.seeding import stream
from initbench.trial import Named

# An option's name, a function (shape, rng) -> array, or a mapping with a name and parameters.
Spec = str | Callable[..., NDArray[Any]] | Mapping[str, Any]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# Linear layers that hold several matrices on top of each other, by the end of their name. The last two names are used
# for other layers as well: there the matrices must be square.
_FUSED = (
    (re.compile(r"(^|[._])(w?qkv|query_key_value)$", re.IGNORECASE), 3, False),
    (re.compile(r"(^|[._])kv$", re.IGNORECASE), 2, False),
    (re.compile(r"(^|[._])(in_proj|c_attn)$"), 3, True),
)


@dataclass(frozen=True)
class _Tensor:
    """One parameter and what it is.

    Attributes:
        name: in the model.
        parameter: itself.
        kind: ``weight``, ``bias``, ``scale`` or ``shift`` of a normalisation, or ``other``, which is not touched.
        shape: of one block of the weight, ``[out, in, *kernel]``; of a bias, that of its weight.
        blocks: how many such blocks lie on top of each other: groups, gates, query, key and value.
        transposed: the parameter is ``[in, out, *kernel]``.
        padding: the row that stays zero.
    """

    name: str
    parameter: nn.Parameter
    kind: str
    shape: tuple[int, ...] = ()
    blocks: int = 1
    transposed: bool = False
    padding: int | None = None


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
        InputError: an unknown name or parameter, a law that cannot serve a layer, or one that breaks its promise. The
            model is then as it was.
    """
    of_activation = None if activation is None else named_activation(_node(activation))
    node = _node(bias)
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
    drawn: list[tuple[nn.Parameter, NDArray[np.float32]]] = []
    certificates = {}
    for tensor in _tensors(model):
        own = next((spec for pattern, spec in chosen.items() if fnmatchcase(tensor.name, pattern)), None)
        law_name, law, law_params = own or everywhere
        if tensor.kind == "other" and own is not None and tensor.parameter.ndim > 1:
            tensor = _Tensor(tensor.name, tensor.parameter, "weight", tuple(tensor.parameter.shape))
        values, certificate = _draw(tensor, seed, law_name, law, law_params, policy)
        certificates[tensor.name] = certificate
        if certificate.faults:
            raise InputError(f"init '{law_name}' on {tensor.name}: {certificate.faults[0]}")
        if values is not None:
            drawn.append((tensor.parameter, values))
    with torch.no_grad():
        for parameter, values in drawn:
            parameter.copy_(torch.from_numpy(values))
    return certificates


def _node(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """A name alone, or a name with parameters."""
    node = {"name": given} if isinstance(given, str) else dict(given)
    if "name" not in node:
        raise InputError(f"a mapping must have a 'name'; got {node}")
    return node


def _resolve(
    spec: Spec, params: Mapping[str, Any], activation: Named | None, policy: Named
) -> tuple[str, Law, dict[str, Any]]:
    """A name, its law, and the law's parameters as numbers."""
    if callable(spec):
        name = getattr(spec, "__name__", "function")
        return name, Law(spec, "a function of yours", "you"), dict(params)
    given = _node(spec)
    node = option("init", given.pop("name")) | given | dict(params)
    fixed = "@" in node["name"] or "gain" in params or "gain" in given
    if activation is not None and "gain" in LAWS[node["law"]].defaults and not fixed and node["gain"] != "critical":
        node["gain"] = "auto"
    init = initializer(node, activation, policy)
    return init.name, LAWS[init.law], dict(init.params)


def _tensors(model: nn.Module) -> Iterator[_Tensor]:
    """Every parameter once, in the order of the modules, under the first of its names."""
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            if nn.parameter.is_lazy(parameter) or parameter.is_meta:
                raise InputError(f"{name} has no values yet; run the model once, or move it off the meta device")
            yield _kind(name, prefix, module, parameter)


def _kind(name: str, prefix: str, module: nn.Module, parameter: nn.Parameter) -> _Tensor:
    """What a parameter is, by the type of its module and by its name."""
    own, shape = name.rpartition(".")[2], tuple(parameter.shape)

    def tensor(kind: str, weight: Sequence[int], blocks: int = 1, **more: Any) -> _Tensor:
        return _Tensor(name, parameter, kind, (weight[0] // blocks, *weight[1:]), blocks, **more)

    kind = "bias" if own == "bias" else "weight"
    if isinstance(module, _NORMS) and own in ("weight", "bias"):
        return _Tensor(name, parameter, "shift" if own == "bias" else "scale", shape)
    if isinstance(module, nn.Linear) and own in ("weight", "bias"):
        return tensor(kind, module.weight.shape, _n_fused(prefix, module.out_features, module.in_features))
    if isinstance(module, _CONVOLUTIONS) and own in ("weight", "bias"):
        return tensor(kind, module.weight.shape, module.groups)
    if isinstance(module, _TRANSPOSED) and own in ("weight", "bias"):
        channels, out, *kernel = module.weight.shape
        weight = (out * module.groups, channels // module.groups, *kernel)
        return tensor(kind, weight, module.groups, transposed=True)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and own == "weight":
        return tensor(kind, shape, padding=module.padding_idx)
    if isinstance(module, nn.MultiheadAttention) and own.startswith(("in_proj", "q_proj", "k_proj", "v_proj")):
        if own == "in_proj_bias":
            return tensor("bias", (shape[0], module.embed_dim), 3)
        return tensor("weight", shape, 3 if own == "in_proj_weight" else 1)
    if isinstance(module, nn.RNNBase) and own.startswith(("weight", "bias")):
        of = own.replace("bias", "weight")
        return tensor(own.partition("_")[0], getattr(module, of).shape, shape[0] // module.hidden_size or 1)
    return _Tensor(name, parameter, "other", shape)


def _n_fused(name: str, out: int, fan_in: int) -> int:
    """How many matrices a linear layer of this name holds."""
    for pattern, n, square in _FUSED:
        if pattern.search(name) and (out == n * fan_in if square else out % n == 0):
            return n
    return 1


def _draw(
    tensor: _Tensor, seed: int, name: str, law: Law, params: Mapping[str, Any], policy: Named
) -> tuple[NDArray[np.float32] | None, Certificate]:
    """The new values in the parameter's own layout, or None where they stay, and the certificate."""
    rng = stream(seed, "init", tensor.name)
    if tensor.kind == "other":
        kept = certify("kept", tensor.parameter.detach().float().cpu().numpy())
        return None, kept
    if tensor.kind in ("scale", "shift"):
        values = np.full(tensor.shape, float(tensor.kind == "scale"), np.float32)
        return values, certify("ones" if tensor.kind == "scale" else "zeros", values)
    if tensor.kind == "bias":
        of_bias = dict(policy.params)
        vectors = [draw_bias(policy.name, tensor.shape, rng, **of_bias) for _ in range(tensor.blocks)]
        promise = BIASES[policy.name].promise(tensor.shape, **of_bias)
        vector = np.concatenate(vectors)
        return vector, certify(policy.name, vector, promise.of_blocks(tensor.blocks))
    blocks = [_one(tensor, rng, name, law, params) for _ in range(tensor.blocks)]
    weight = np.concatenate(blocks)
    promise_of_law = law.promise(tensor.shape, **params).of_blocks(tensor.blocks) if law.promise else None
    certificate = certify(name, weight, promise_of_law)
    if tensor.padding is not None:
        weight[tensor.padding] = 0
    if tensor.transposed:
        weight = np.concatenate([block.swapaxes(0, 1) for block in blocks])
    return weight, certificate


def _one(
    tensor: _Tensor, rng: np.random.Generator, name: str, law: Law, params: Mapping[str, Any]
) -> NDArray[np.float32]:
    where = f"init '{name}' on {tensor.name}, {'a block ' if tensor.blocks > 1 else ''}of shape {tensor.shape}"
    try:
        weight = np.asarray(law.function(tensor.shape, rng, **params))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if weight.shape != tensor.shape:
        raise InputError(f"{where}: it returned shape {weight.shape}")
    return weight.astype(np.float32)
