"""A network as a scheme sees it: its parameters, the blocks of each, and the roles of every block. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Every role, and what has it. A block has several, the most telling first: a query's are query, hidden, weight.
ROLES = {
    "weight": "every weight",
    "input": "the first weight",
    "hidden": "a weight that is neither the first nor the last",
    "output": "the last weight",
    "query": "attention's projection to queries",
    "key": "attention's projection to keys",
    "value": "attention's projection to values",
    "attention_output": "the projection after attention, which ends a residual branch",
    "branch": "a weight in a residual branch",
    "branch_last": "the last weight of a residual branch",
    "embedding": "one row per entry",
    "recurrent": "from a recurrent layer's state to itself",
    "bias": "every bias",
    "output_bias": "the bias beside the last weight",
    "scale": "of a normalisation",
    "shift": "of a normalisation",
    "multiplier": "of a residual branch: a in x + a·F(x)",
    "magnitude": "the norms of the units of a weight that is held as direction and norm",
    "other": "what no layer of a known kind holds",
}


@dataclass(frozen=True)
class ParameterBlock:
    """One matrix or kernel of a parameter, or the vector that goes with one; most parameters are a single block.

    Attributes:
        shape: of a weight ``[out, in, *kernel]``, whatever the parameter's own layout; of a bias, that of its weight.
        roles: keys of :data:`ROLES`, the most telling first.
        layer: the kind of the layer: ``linear``, ``convolution``, ``transposed``, ``embedding``, ``recurrent``,
            ``recurrent_projection``, ``attention``, ``transformer`` (a weight anywhere in an ``nn.Transformer``),
            ``norm``, or empty.
        n_packed: how many blocks the parameter has.
        n_branches: residual branches of the network.
        n_layers: layers of the residual branch that the block is in, 0 where that is not known.
    """

    shape: tuple[int, ...]
    roles: tuple[str, ...]
    layer: str = ""
    n_packed: int = 1
    n_branches: int = 0
    n_layers: int = 0

    @property
    def role(self) -> str:
        """The most telling one."""
        return self.roles[0]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a module, and how its blocks lie in it.

    Attributes:
        name: in the module.
        tensor: torch's, with the values that it has now.
        blocks: in the order in which they are drawn: groups, gates, or query, key and value.
        transposed: the parameter is ``[in, out, *kernel]``.
        axis: of the parameter, along which the blocks lie side by side.
        heads: the blocks are cut into so many equal parts, which alternate: query, key, value of a head, then the next.
        padding: the row that stays zero.
        norms_of: the parameter whose units' norms this one holds.
        note: what was assumed in reading it; empty where nothing was.
    """

    name: str
    tensor: Any
    blocks: tuple[ParameterBlock, ...]
    transposed: bool = False
    axis: int = 0
    heads: int = 1
    padding: int | None = None
    norms_of: str | None = None
    note: str = ""

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the first block."""
        return self.blocks[0].roles

    @property
    def looks_like_a_weight(self) -> bool:
        """Whether it is trained and more than a vector: what nobody expects to be left as it is."""
        return bool(self.tensor.requires_grad) and sum(size > 1 for size in self.tensor.shape) > 1

    def assembled(self, blocks: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The whole parameter in its own layout, from its blocks ``[out, in, *kernel]``."""
        if self.transposed:
            blocks = [block.swapaxes(0, 1) for block in blocks]
        if self.heads > 1:
            parts = [block.reshape(self.heads, -1, *block.shape[1:]) for block in blocks]
            whole = np.concatenate(parts, axis=1).reshape(-1, *blocks[0].shape[1:])
        else:
            whole = np.concatenate(blocks, self.axis) if blocks[0].ndim else np.array(blocks[0])
        if self.padding is not None:
            whole[self.padding] = 0
        return whole
