"""``initbench.probe``: what a module of anyone's does before it is trained."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from initbench.render.blocks import Table

# What a table shows where nobody says.
SHOWN = ("forward_rms", "backward_rms", "weight_gradient_rms", "dead", "effective_rank", "correlation", "distinct")


@dataclass(frozen=True, eq=False, repr=False)
class Probed:
    """What :func:`probe` measured; a prompt and a notebook show it as a table, a row for each layer.

    Attributes:
        names: of the layers, in the order in which they were called.
        layers: quantity (:data:`initbench.analysis.probes.LAYERS`) to a number for each layer; NaN where there is
            none.
        values: quantity of the whole (:data:`initbench.analysis.probes.VALUES`) to its number.
    """

    names: list[str]
    layers: dict[str, list[float]]
    values: dict[str, float]

    def frame(self) -> "pd.DataFrame":
        """A row for each layer, a column for each quantity."""
        import pandas as pd

        return pd.DataFrame({"layer": self.names, **self.layers})

    def __repr__(self) -> str:
        from initbench.render.terminal import to_lines

        return to_lines([self.table()], 200)

    def _repr_html_(self) -> str:
        from initbench.render.fragment import to_fragment

        return to_fragment(self.table(), self._whole())

    def table(self) -> "Table":
        """A row for each layer, with the quantities that tell most."""
        from initbench.render.blocks import Table
        from initbench.render.text import significant

        rows = [
            (name, *(significant(self.layers[quantity][row]) for quantity in SHOWN))
            for row, name in enumerate(self.names)
        ]
        header = ("layer", *(name.replace("_", " ") for name in SHOWN))
        return Table(header, tuple(rows), title="Before training", caption=self._whole())

    def _whole(self) -> str:
        from initbench.render.text import significant

        known = {name: value for name, value in self.values.items() if not math.isnan(value)}
        return "; ".join(f"{name.replace('_', ' ')} {significant(value)}" for name, value in known.items())


def probe(
    module: "nn.Module",
    batch: Any,
    loss: "Callable[..., torch.Tensor] | None" = None,
    *,
    target: "torch.Tensor | None" = None,
    optimizer: "Callable[[Any], torch.optim.Optimizer] | None" = None,
    lr: float = 0.1,
) -> Probed:
    """What a module does with a batch before it is trained, layer by layer.

    ``initbench.probe(model, images, target=labels)`` runs it once forward and once back, in the mode that it is in, and
    leaves everything as it was: parameters, gradients, buffers, modes, generators of random numbers.

    A layer is what has a weight; the norm and the activation called behind it belong to it if they are modules. What
    a quantity is, :data:`initbench.analysis.probes.LAYERS` and :data:`~initbench.analysis.probes.VALUES` say.

    Args:
        module: any ``nn.Module``.
        batch: what it is called with: a tensor, a tuple or list of arguments, a mapping of keywords.
        loss: a number from its output, or from output and ``target`` where there is one. None: cross-entropy where the
            target is of whole numbers, binary cross-entropy where it is of truth values, else mean squared error;
            without a target a fixed random direction of the output stands for the gradient that comes back.
        target: what the loss compares the output with.
        optimizer: from parameters to an optimizer, ``lambda p: torch.optim.AdamW(p, lr=1e-3)``, whose first step is
            looked at, on copies; None: gradient descent with ``lr``.
        lr: see there.

    Raises:
        InputError: the module or the loss fails, or no layer is found.
    """
    from torch import nn

    from initbench.analysis.probes import LAYERS
    from initbench.diagnosis.objectives import first, n_classes, objective
    from initbench.probing.measures import uniform_loss
    from initbench.probing.module import first_step, observe

    if not isinstance(module, nn.Module):
        raise InputError(f"probe needs an nn.Module; got {type(module).__name__}")
    aim = objective(loss, target)
    seen = observe(module, batch, aim.value if aim.kind != "none" else None, first_step(optimizer, lr))
    uniform = {}
    if loss is None and aim.kind == "cross_entropy" and target is not None:
        uniform = {"loss_uniform": uniform_loss(n_classes(first(seen.output), target))}
    return Probed(seen.names, {name: seen.layers[name] for name in LAYERS}, seen.values | uniform)
