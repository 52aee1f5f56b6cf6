"""What every parameter of a module is: its blocks, each with its fans and its roles, and how they lie in it.

Torch's own layers are known by their type, as is the ``Conv1D`` of Hugging Face's GPT-2; what a linear layer holds
beyond one matrix, and what part it has in attention, by its name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.weight_norm import WeightNorm

from initbench.errors import InputError
from initbench.initializers.parameters import Parameter, ParameterBlock
from initbench.models.residual import Branch

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

# Names of linear layers, in lower case: the last part that is no number, and that with what stands before it.
_SUFFIX = r"(?:_?(?:proj|projection|lin|linear|layer|fc))?$"
_PACKED = re.compile(r"(?:^|_)w?((?:q|k|v|query|key|value)(?:_?(?:q|k|v|query|key|value))+)" + _SUFFIX)
_ALONE = re.compile(r"^(?:to_?|w_?|c_)?(q|k|v|query|key|value)" + _SUFFIX)
_ATTENTION = re.compile(r"attn|attention|mha")
# Used for other layers as well: only three square matrices on top of each other are taken for query, key and value.
_PACKED_IF_SQUARE = ("in_proj", "c_attn")
_ENDS_ATTENTION = re.compile(r"(?:attn|attention|mha)[^.]*\.(?:.*\.)?(?:to_out|wo|out|(?:out|o|c)_proj|proj|dense)$")
_ENDS_MLP = re.compile(r"(?:mlp|ffn|feed_?forward)[^.]*\.(?:.*\.)?(?:(?:c|down)_proj|fc2|lin2|w2|dense_4h_to_h)$")
_PARTS = {"q": "query", "k": "key", "v": "value"}

# How many matrices lie in a parameter, or the rows of each, by a pattern of its name or of its layer's.
Packing = Mapping[str, int | Sequence[int]]


def parameters(module: nn.Module, packed: Packing | None = None) -> list[Parameter]:
    """Every parameter once, in the order of the modules, under the first of its names.

    Args:
        module: any.
        packed: of linear layers, how many matrices lie on top of each other, where the name does not say it.

    Raises:
        InputError: a parameter that has no values, or that cannot be cut as ``packed`` says.
    """
    found: list[tuple[str, Parameter]] = []
    seen: set[int] = set()
    modules = dict(module.named_modules())
    for prefix, part in modules.items():
        for name, tensor in part.named_parameters(prefix, recurse=False):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if nn.parameter.is_lazy(tensor) or tensor.is_meta:
                raise InputError(f"{name} has no values yet; run the model once, or move it off the meta device")
            found.append(_parameter(name, prefix, modules, tensor, packed or {}))
    for pattern in packed or ():
        if not any(_is_packable(of) and _is_named(pattern, layer, of.name) for layer, of in found):
            raise InputError(f"blocks: '{pattern}' matches no weight of a linear layer")
    return _placed(found, modules)


def as_weight(parameter: Parameter) -> Parameter:
    """A parameter of no known layer, taken for one weight ``[out, in, ...]``."""
    return replace(parameter, blocks=(ParameterBlock(tuple(parameter.tensor.shape), ("hidden", "weight")),))


def _placed(found: Sequence[tuple[str, Parameter]], modules: Mapping[str, nn.Module]) -> list[Parameter]:
    """The parameters with the roles that their place in the network gives them."""
    weights = [(layer, of.name) for layer, of in found if "weight" in of.roles]
    trained = [(layer, of.name) for layer, of in found if "weight" in of.roles and of.tensor.requires_grad] or weights
    first, (last_layer, last) = (trained[0][1], trained[-1]) if trained else ("", ("", ""))
    n_branches = sum("branch_last" in of.roles for _, of in found)
    transformers = [prefix for prefix, part in modules.items() if isinstance(part, nn.Transformer)]
    placed = []
    for layer, of in found:
        is_weight = "weight" in of.roles
        place = [role for role, name in (("output", last), ("input", first)) if of.name == name] or ["hidden"]
        if not is_weight:
            place = ["output_bias"] if "bias" in of.roles and layer == last_layer else []
        within = is_weight and any(f"{layer}.".startswith(f"{prefix}." if prefix else "") for prefix in transformers)
        blocks = [
            replace(
                block,
                roles=(*block.roles[:-1], *place, block.roles[-1]),
                layer="transformer" if within else block.layer,
                n_branches=n_branches,
                n_packed=len(of.blocks),
            )
            for block in of.blocks
        ]
        placed.append(replace(of, blocks=tuple(blocks)))
    return placed


def _parameter(
    name: str, prefix: str, modules: Mapping[str, nn.Module], tensor: nn.Parameter, packed: Packing
) -> tuple[str, Parameter]:
    """The layer that a parameter belongs to, and what it is by the layer's type and name."""
    layer, own, held = _held(prefix, name.rpartition(".")[2], modules[prefix])
    if held == "magnitude":
        direction = re.sub(r"original0$|_g$", lambda end: "_v" if end[0] == "_g" else "original1", name)
        return layer, _alone(name, tensor, "magnitude", norms_of=direction)
    described = None if held == "wrapped" else _of_layer(name, layer, own, modules, tensor, packed)
    return layer, described or _alone(name, tensor, "other")


def _held(prefix: str, own: str, module: nn.Module) -> tuple[str, str, str]:
    """The layer of a parameter, its name there, and what of the layer's parameter it is.

    That is ``magnitude`` or ``direction`` of a weight under weight norm, ``wrapped`` under something else that computes
    the layer's parameter from this one, and empty where it is the layer's parameter itself.
    """
    if isinstance(module, nn.utils.parametrize.ParametrizationList):
        # layer.parametrizations.weight.original0
        layer, _, of_layer = f".{prefix}".rpartition(".parametrizations.")
        is_normed = [type(step).__name__ for step in module] == ["_WeightNorm"]
        held = {"original0": "magnitude", "original1": "direction"}.get(own, "wrapped") if is_normed else "wrapped"
        return layer[1:], of_layer, held
    base, _, last = own.rpartition("_")
    normed = [getattr(hook, "name", "") for hook in module._forward_pre_hooks.values() if isinstance(hook, WeightNorm)]
    if last in ("g", "v") and base in normed:
        return prefix, base, "magnitude" if last == "g" else "direction"
    return prefix, own, ""


def _of_layer(
    name: str, layer: str, own: str, modules: Mapping[str, nn.Module], tensor: nn.Parameter, packed: Packing
) -> Parameter | None:
    """A parameter of a layer of a known type; None of any other."""
    module, shape = modules[layer], tuple(tensor.shape)
    kind = "bias" if own.startswith("bias") or own == "in_proj_bias" else "weight"
    if isinstance(module, Branch) and own == "multiplier":
        return _alone(name, tensor, "multiplier")
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and own.startswith(("weight", "bias")):
        own_roles: list[tuple[str, ...]] = [("recurrent",) if own.startswith("weight_hh") else ()] * (
            shape[0] // module.hidden_size or 1
        )
        known = "recurrent_projection" if own.startswith("weight_hr") else "recurrent"
        return _cut(name, tensor, kind, known, getattr(module, own.replace("bias", "weight")).shape, own_roles)
    if isinstance(module, nn.MultiheadAttention) and own.startswith(("in_proj", "q_proj", "k_proj", "v_proj")):
        parts = ["query", "key", "value"] if own.startswith("in_proj") else [_PARTS[own[0]]]
        whole = (shape[0], module.embed_dim) if kind == "bias" else shape
        return _cut(name, tensor, kind, "attention", whole, [(part,) for part in parts])
    if own not in ("weight", "bias"):
        return None
    if isinstance(module, _NORMS):
        return _alone(name, tensor, "shift" if own == "bias" else "scale", layer="norm")
    if isinstance(module, NonDynamicallyQuantizableLinear):
        # The one that ends an nn.MultiheadAttention.
        return _cut(name, tensor, kind, "attention", module.weight.shape, [("attention_output", "branch_last")])
    if isinstance(module, nn.Linear):
        return _linear(name, layer, kind, tuple(module.weight.shape), modules, tensor, packed)
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf") and isinstance(module.weight, torch.Tensor):
        found = _linear(name, layer, kind, tuple(module.weight.shape[::-1]), modules, tensor, packed)
        return replace(found, transposed=kind == "weight", axis=int(kind == "weight"))
    branch, number = _branch(layer, modules)
    if isinstance(module, _CONVOLUTIONS):
        own_roles = [_in_branch(branch, number)] * module.groups
        return _cut(name, tensor, kind, "convolution", module.weight.shape, own_roles, branch)
    if isinstance(module, _TRANSPOSED):
        channels, out, *kernel = module.weight.shape
        turned = (out * module.groups, channels // module.groups, *kernel)
        found = _cut(name, tensor, kind, "transposed", turned, [()] * module.groups)
        return replace(found, transposed=kind == "weight")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return replace(_cut(name, tensor, kind, "embedding", shape, [("embedding",)]), padding=module.padding_idx)
    return None


def _alone(name: str, tensor: nn.Parameter, role: str, layer: str = "", **more: Any) -> Parameter:
    """A parameter that is neither a weight nor a bias."""
    return Parameter(name, tensor, (ParameterBlock(tuple(tensor.shape), (role,), layer),), **more)


def _cut(
    name: str,
    tensor: nn.Parameter,
    kind: str,
    layer: str,
    weight: Sequence[int],
    roles: Sequence[tuple[str, ...]],
    n_layers: int = 0,
    rows: Sequence[int] = (),
    **more: Any,
) -> Parameter:
    """A weight or a bias of as many blocks as there are roles, of ``rows`` or else of as many rows each.

    Args:
        name: in the module.
        tensor: itself.
        kind: ``weight`` or ``bias``.
        layer: the kind of the layer.
        weight: the shape of the layer's whole weight, ``[out, in, *kernel]``.
        roles: of each block; only a weight has them.
        n_layers: of the residual branch that the layer is in.
        rows: of each block.
        more: of the parameter.
    """
    rows = rows or [weight[0] // len(roles)] * len(roles)
    blocks = [
        ParameterBlock((n, *weight[1:]), (*(own if kind == "weight" else ()), kind), layer, n_layers=n_layers)
        for n, own in zip(rows, roles, strict=True)
    ]
    return Parameter(name, tensor, tuple(blocks), **more)


def _linear(
    name: str,
    layer: str,
    kind: str,
    weight: tuple[int, ...],
    modules: Mapping[str, nn.Module],
    tensor: nn.Parameter,
    packed: Packing,
) -> Parameter:
    """A linear layer: one matrix, or what its name or the caller says."""
    asked = next((value for pattern, value in packed.items() if _is_named(pattern, layer, name)), None)
    if asked is not None:
        rows = _rows(layer, asked, weight[0])
        roles = {3: ["query", "key", "value"], 2: ["key", "value"]}.get(len(rows), [""] * len(rows))
        return _cut(name, tensor, kind, "linear", weight, [(role,) if role else () for role in roles], rows=rows)
    parts = _parts_by_name(layer, weight)
    if parts:
        heads = _n_heads(layer, modules, weight)
        alternating = f", alternating over {heads} heads" if heads > 1 else ""
        note = f"read as {len(parts)} matrices by its name: {', '.join(parts)}{alternating}"
        return _cut(name, tensor, kind, "linear", weight, [(part,) for part in parts], heads=heads, note=note)
    branch, number = _branch(layer, modules)
    return _cut(name, tensor, kind, "linear", weight, [_in_branch(branch, number) or _by_name(layer, modules)], branch)


def _rows(layer: str, asked: int | Sequence[int], out: int) -> list[int]:
    """The rows of each matrix, as the caller says."""
    rows = [out // max(asked, 1)] * asked if isinstance(asked, int) else list(asked)
    if not rows or sum(rows) != out or min(rows) < 1:
        raise InputError(f"blocks: the {out} rows of {layer} cannot be cut into {asked}")
    return rows


def _parts_by_name(layer: str, weight: Sequence[int]) -> list[str]:
    """Query, key and value, or what of them a linear layer of this name holds on top of each other; else nothing."""
    *path, own = [part for part in layer.lower().split(".") if not part.isdigit()] or [""]
    named, out, fan_in = _PACKED.search(own), weight[0], weight[1]
    if named:
        parts = [_PARTS[part[0]] for part in re.findall("query|key|value|q|k|v", named[1])]
        return parts if out % len(parts) == 0 and len({*parts}) == len(parts) else []
    in_attention = _ATTENTION.search(own) or (path and _ATTENTION.search(path[-1]))
    if out == 3 * fan_in and (own in _PACKED_IF_SQUARE or in_attention):
        return ["query", "key", "value"]
    return []


def _n_heads(layer: str, modules: Mapping[str, nn.Module], weight: Sequence[int]) -> int:
    """Over how many heads query, key and value alternate: in GPT-NeoX and BLOOM, whose layer has this name."""
    if not layer.endswith("query_key_value") or weight[0] != 3 * weight[1]:
        return 1
    parent = modules[layer.rpartition(".")[0]]
    heads = [getattr(parent, name, None) for name in ("num_attention_heads", "num_heads")]
    return next((n for n in heads if isinstance(n, int) and n > 0 and weight[1] % n == 0), 1)


def _by_name(layer: str, modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """The part of a linear layer in a transformer, by its name."""
    before, _, own = layer.rpartition(".")
    if own == "linear2" and isinstance(modules.get(before), nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
        return ("branch_last",)
    path = [part for part in layer.lower().split(".") if not part.isdigit()] or [""]
    if alone := _ALONE.search(path[-1]):
        return (_PARTS[alone[1][0]],)
    if _ENDS_ATTENTION.search(".".join(path)):
        return ("attention_output", "branch_last")
    return ("branch_last",) if _ENDS_MLP.search(".".join(path)) else ()


def _branch(layer: str, modules: Mapping[str, nn.Module]) -> tuple[int, int]:
    """How many layers the residual branch has that a layer is in, and which it is; zeros outside."""
    path, _, number = layer.rpartition(".layers.")
    branch = modules.get(path)
    return (len(branch.layers), int(number)) if isinstance(branch, Branch) else (0, 0)


def _in_branch(n_layers: int, number: int) -> tuple[str, ...]:
    return () if not n_layers else ("branch_last", "branch") if number == n_layers - 1 else ("branch",)


def _is_packable(parameter: Parameter) -> bool:
    return parameter.blocks[0].layer == "linear" and "weight" in parameter.roles


def _is_named(pattern: str, layer: str, name: str) -> bool:
    return fnmatchcase(layer, pattern) or fnmatchcase(name, pattern)
