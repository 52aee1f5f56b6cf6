"""Adam, with the weight decay in the gradient; the law of AdamW, which has it beside the gradient, is the same else."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from initbench.engine.optimizers.declaration import Array, Gradient, Optimizer, TorchUpdate, Update
from initbench.values import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class Adam(NamedTuple):
    """The hyperparameters."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float


def update(decoupled: bool) -> Update:
    """The rule, with the weight decay in the gradient or, ``decoupled``, beside it."""

    def adam(hyper: Any, param: Array, grad: Array, state: Array, lr: float, step: int) -> None:
        first, second, kind = state[0], state[1], param.dtype.type
        in_gradient = kind(0.0 if decoupled else hyper.weight_decay)
        beside = kind(1 - lr * (hyper.weight_decay if decoupled else 0.0))
        old_1, new_1 = kind(hyper.beta1), kind(1 - hyper.beta1)
        old_2, new_2 = kind(hyper.beta2), kind(1 - hyper.beta2)
        rate, correction = kind(lr / (1 - math.pow(hyper.beta1, step))), kind(1 / (1 - math.pow(hyper.beta2, step)))
        small = kind(hyper.eps)
        for i in range(len(param)):
            p = param[i] * beside
            g = grad[i] + in_gradient * p
            first[i] = old_1 * first[i] + new_1 * g
            second[i] = old_2 * second[i] + new_2 * g * g
            param[i] = p - rate * first[i] / (math.sqrt(second[i] * correction) + small)

    return adam


def torch_update(decoupled: bool) -> TorchUpdate:
    """The same for torch."""

    def adam(
        hyper: Any, param: "Tensor", gradient: Gradient, state: "tuple[Tensor, ...]", lr: "Tensor", step: "Tensor"
    ) -> None:
        first, second = state
        grad = gradient.alone()
        if hyper.weight_decay is not None:
            if decoupled:
                param.mul_(1 - lr * hyper.weight_decay)
            else:
                grad.addcmul_(hyper.weight_decay, param)
        first.mul_(hyper.beta1).addcmul_(1 - hyper.beta1, grad)
        second.mul_(hyper.beta2).addcmul_((1 - hyper.beta2) * grad, grad)
        denominator = (second / (1 - hyper.beta2**step)).sqrt_().add_(hyper.eps)
        param.addcmul_(lr / (1 - hyper.beta1**step), first / denominator, value=-1)

    return adam


MOMENTS = (
    Parameter("beta1", 0.9, least=0, below=1, help="how much of the mean gradient is kept from step to step"),
    Parameter("beta2", 0.999, least=0, below=1, help="how much of the mean squared gradient is kept"),
    Parameter("eps", 1e-8, above=0, help="added to the root of the mean squared gradient"),
)

OPTIMIZER = Optimizer(
    # eps is outside the corrected root, as torch has it.
    formula="g ← g + weight_decay·θ; m ← β₁·m + (1 − β₁)·g; s ← β₂·s + (1 − β₂)·g²; "
    "θ ← θ − lr·m/(1 − β₁ᵗ)/(√(s/(1 − β₂ᵗ)) + eps)",
    source="Kingma & Ba 2015, arXiv:1412.6980, section 2",
    hyper=Adam,
    parameters=(
        *MOMENTS,
        Parameter("weight_decay", 0.0, least=0, help="added to the gradient, times the parameter"),
    ),
    lr=0.01,
    n_buffers=2,
    torch_update=torch_update(decoupled=False),
    update=update(decoupled=False),
)
