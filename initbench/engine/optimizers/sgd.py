"""Stochastic gradient descent, with momentum as torch.optim.SGD has it: without dampening."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from initbench.engine.optimizers.declaration import Accumulation, Array, Gradient, Optimizer
from initbench.values import Parameter

if TYPE_CHECKING:
    from torch import Tensor


class SGD(NamedTuple):
    """The hyperparameters."""

    momentum: float
    nesterov: bool
    weight_decay: float


def _update(hyper: SGD, param: Array, grad: Array, state: Array, lr: float, step: int) -> None:
    velocity, kind = state[0], param.dtype.type
    rate, m, decay = kind(lr), kind(hyper.momentum), kind(hyper.weight_decay)
    if hyper.nesterov:
        for i in range(len(param)):
            g = grad[i] + decay * param[i]
            velocity[i] = m * velocity[i] + g
            param[i] -= rate * (g + m * velocity[i])
        return
    # The gradient is added to what is rounded, as it is where the product adds it.
    for i in range(len(param)):
        velocity[i] = m * velocity[i] + decay * param[i]
    for i in range(len(param)):
        velocity[i] += grad[i]
    for i in range(len(param)):
        param[i] -= rate * velocity[i]


def _before(hyper: SGD, param: Array, state: Array) -> float:
    if hyper.nesterov:
        return -1.0
    if not hyper.weight_decay:
        return hyper.momentum
    velocity, kind = state[0], param.dtype.type
    m, decay = kind(hyper.momentum), kind(hyper.weight_decay)
    for i in range(len(param)):
        velocity[i] = m * velocity[i] + decay * param[i]
    return 1.0


def _after(hyper: SGD, param: Array, state: Array, lr: float) -> None:
    velocity, rate = state[0], param.dtype.type(lr)
    for i in range(len(param)):
        param[i] -= rate * velocity[i]


def _torch_update(
    hyper: Any, param: "Tensor", gradient: Gradient, state: "tuple[Tensor, ...]", lr: "Tensor", step: "Tensor"
) -> None:
    (velocity,) = state
    if hyper.nesterov:
        grad = gradient.alone()
        if hyper.weight_decay is not None:
            grad.addcmul_(hyper.weight_decay, param)
        velocity.mul_(hyper.momentum).add_(grad)
        param.addcmul_(lr, grad.addcmul_(hyper.momentum, velocity), value=-1)
        return
    velocity.mul_(hyper.momentum)
    if hyper.weight_decay is not None:
        velocity.addcmul_(hyper.weight_decay, param)
    gradient.add_to(velocity)
    param.addcmul_(lr, velocity, value=-1)


def _refusal(values: Mapping[str, Any]) -> str | None:
    still = values["nesterov"] and not values["momentum"]
    return "optimizer.nesterov=true needs optimizer.momentum > 0" if still else None


OPTIMIZER = Optimizer(
    formula="g ← g + weight_decay·θ; v ← momentum·v + g; θ ← θ − lr·v, with nesterov θ − lr·(g + momentum·v)",
    source="Polyak 1964; nesterov: Sutskever et al. 2013, section 2",
    hyper=SGD,
    parameters=(
        Parameter("momentum", 0.9, least=0, below=1, help="the part of the last step that is taken again"),
        Parameter("nesterov", False, bool, help="the gradient is looked up one step ahead"),
        Parameter("weight_decay", 0.0, least=0, help="added to the gradient, times the parameter"),
    ),
    lr=0.1,
    n_buffers=1,
    torch_update=_torch_update,
    update=_update,
    accumulation=Accumulation(_before, _after),
    refusal=_refusal,
)
