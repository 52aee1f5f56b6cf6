"""AdamW: Adam with the weight decay beside the gradient."""

from typing import NamedTuple

from initbench.engine.optimizers.adam import MOMENTS, torch_update, update
from initbench.engine.optimizers.declaration import Optimizer
from initbench.values import Parameter


class AdamW(NamedTuple):
    """The hyperparameters."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float


OPTIMIZER = Optimizer(
    formula="θ ← (1 − lr·weight_decay)·θ; m ← β₁·m + (1 − β₁)·g; s ← β₂·s + (1 − β₂)·g²; "
    "θ ← θ − lr·m/(1 − β₁ᵗ)/(√(s/(1 − β₂ᵗ)) + eps)",
    source="Loshchilov & Hutter 2019, arXiv:1711.05101",
    hyper=AdamW,
    parameters=(
        *MOMENTS,
        Parameter("weight_decay", 0.01, least=0, help="the part of the parameter, times lr, that a step takes away"),
    ),
    lr=0.01,
    n_buffers=2,
    torch_update=torch_update(decoupled=True),
    update=update(decoupled=True),
)
