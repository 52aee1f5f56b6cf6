"""What every parameter of a module is: a weight with its fans, a bias, a part of a normalisation, or something else."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from initbench.errors import InputError
from initbench.models.residual import Branch

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
class Parameter:
    """One parameter and what it is.

    Attributes:
        name: in the module.
        tensor: itself.
        kind: ``weight``, ``bias``, ``scale`` or ``shift`` of a normalisation, ``multiplier`` of a residual branch, or
            ``other``.
        shape: of one block of the weight, ``[out, in, *kernel]``; of a bias, that of its weight.
        blocks: how many such blocks lie on top of each other: groups, gates, query, key and value.
        transposed: the parameter is ``[in, out, *kernel]``.
        padding: the row that stays zero.
        place: which of how many layers of a residual branch it belongs to; None outside.
    """

    name: str
    tensor: nn.Parameter
    kind: str
    shape: tuple[int, ...] = ()
    blocks: int = 1
    transposed: bool = False
    padding: int | None = None
    place: tuple[int, int] | None = None

    def assembled(self, blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The whole parameter in its own layout, from its blocks ``[out, in, *kernel]``."""
        whole = np.concatenate([block.swapaxes(0, 1) for block in blocks] if self.transposed else blocks)
        if self.padding is not None:
            whole[self.padding] = 0
        return whole


def parameters(module: nn.Module) -> Iterator[Parameter]:
    """Every parameter once, in the order of the modules, under the first of its names.

    Raises:
        InputError: a parameter that has no values.
    """
    seen: set[int] = set()
    places = {
        f"{prefix}.{name}" if prefix else name: (number, len(branch.layers))
        for prefix, branch in module.named_modules()
        if isinstance(branch, Branch)
        for number, layer in enumerate(branch.layers)
        for name in [f"layers.{number}.{own}" for own, _ in layer.named_parameters()]
    }
    for prefix, part in module.named_modules():
        for name, tensor in part.named_parameters(prefix, recurse=False):
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if nn.parameter.is_lazy(tensor) or tensor.is_meta:
                raise InputError(f"{name} has no values yet; run the model once, or move it off the meta device")
            yield _parameter(name, prefix, part, tensor, places.get(name))


def _parameter(
    name: str, prefix: str, module: nn.Module, tensor: nn.Parameter, place: tuple[int, int] | None
) -> Parameter:
    """What a parameter is, by the type of its module and by its name."""
    own, shape = name.rpartition(".")[2], tuple(tensor.shape)

    def described(kind: str, weight: Sequence[int], blocks: int = 1, **more: Any) -> Parameter:
        return Parameter(name, tensor, kind, (weight[0] // blocks, *weight[1:]), blocks, place=place, **more)

    kind = "bias" if own == "bias" else "weight"
    if isinstance(module, Branch) and own == "multiplier":
        return Parameter(name, tensor, "multiplier", shape)
    if isinstance(module, _NORMS) and own in ("weight", "bias"):
        return Parameter(name, tensor, "shift" if own == "bias" else "scale", shape)
    if isinstance(module, nn.Linear) and own in ("weight", "bias"):
        return described(kind, module.weight.shape, _n_fused(prefix, module.out_features, module.in_features))
    if isinstance(module, _CONVOLUTIONS) and own in ("weight", "bias"):
        return described(kind, module.weight.shape, module.groups)
    if isinstance(module, _TRANSPOSED) and own in ("weight", "bias"):
        channels, out, *kernel = module.weight.shape
        weight = (out * module.groups, channels // module.groups, *kernel)
        return described(kind, weight, module.groups, transposed=kind == "weight")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and own == "weight":
        return described(kind, shape, padding=module.padding_idx)
    if isinstance(module, nn.MultiheadAttention) and own.startswith(("in_proj", "q_proj", "k_proj", "v_proj")):
        if own == "in_proj_bias":
            return described("bias", (shape[0], module.embed_dim), 3)
        return described("weight", shape, 3 if own == "in_proj_weight" else 1)
    if isinstance(module, nn.RNNBase) and own.startswith(("weight", "bias")):
        of = own.replace("bias", "weight")
        return described(own.partition("_")[0], getattr(module, of).shape, shape[0] // module.hidden_size or 1)
    return Parameter(name, tensor, "other", shape)


def _n_fused(name: str, out: int, fan_in: int) -> int:
    """How many matrices a linear layer of this name holds."""
    for pattern, n, square in _FUSED:
        if pattern.search(name) and (out == n * fan_in if square else out % n == 0):
            return n
    return 1
