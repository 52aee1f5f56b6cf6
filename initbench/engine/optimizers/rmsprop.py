"""RMSprop as torch.optim.RMSprop has it, not centred."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from initbench.engine.optimizers.declaration import Array, Gradient, Optimizer
from initbench.values import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class RMSprop(NamedTuple):
    """The hyperparameters."""

    alpha: float
    eps: float
    momentum: float
    weight_decay: float


def _update(hyper: RMSprop, param: Array, grad: Array, state: Array, lr: float, step: int) -> None:
    square, velocity, kind = state[0], state[1], param.dtype.type
    old, new, small = kind(hyper.alpha), kind(1 - hyper.alpha), kind(hyper.eps)
    rate, m, decay = kind(lr), kind(hyper.momentum), kind(hyper.weight_decay)
    for i in range(len(param)):
        g = grad[i] + decay * param[i]
        square[i] = old * square[i] + new * g * g
        velocity[i] = m * velocity[i] + g / (math.sqrt(square[i]) + small)
        param[i] -= rate * velocity[i]


def _torch_update(
    hyper: Any, param: "Tensor", gradient: Gradient, state: "tuple[Tensor, ...]", lr: "Tensor", step: "Tensor"
) -> None:
    square, velocity = state
    grad = gradient.alone()
    if hyper.weight_decay is not None:
        grad.addcmul_(hyper.weight_decay, param)
    square.mul_(hyper.alpha).addcmul_((1 - hyper.alpha) * grad, grad)
    velocity.mul_(hyper.momentum).addcdiv_(grad, square.sqrt().add_(hyper.eps))
    param.addcmul_(lr, velocity, value=-1)


OPTIMIZER = Optimizer(
    formula="g ← g + weight_decay·θ; s ← alpha·s + (1 − alpha)·g²; v ← momentum·v + g/(√s + eps); θ ← θ − lr·v",
    source="Tieleman & Hinton 2012, Neural Networks for Machine Learning, lecture 6.5",
    hyper=RMSprop,
    parameters=(
        Parameter("alpha", 0.99, least=0, below=1, help="how much of the mean squared gradient is kept"),
        Parameter("eps", 1e-8, above=0, help="added to the root of the mean squared gradient"),
        Parameter("momentum", 0.0, least=0, below=1, help="the part of the last step that is taken again"),
        Parameter("weight_decay", 0.0, least=0, help="added to the gradient, times the parameter"),
    ),
    lr=0.003,
    n_buffers=2,
    torch_update=_torch_update,
    update=_update,
)
