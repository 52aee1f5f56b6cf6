"""The optimizers' rules, compiled: the type of the hyperparameters decides which, when what calls them is compiled."""

from numba.extending import overload

from initbench.engine.compiled.machine_code import compiled
from initbench.engine.optimizers import OPTIMIZERS

_OPTIMIZERS = {optimizer.hyper: optimizer for optimizer in OPTIMIZERS.values()}
_UPDATES = {hyper: compiled(one.update) for hyper, one in _OPTIMIZERS.items() if one.update is not None}
_ACCUMULATIONS = {
    hyper: (compiled(one.accumulation.before), compiled(one.accumulation.after))
    for hyper, one in _OPTIMIZERS.items()
    if one.accumulation is not None
}


def update(hyper, param, grad, state, lr, step):
    """Update one parameter, flat, from its gradient; as :data:`initbench.engine.optimizers.declaration.Update`."""
    raise NotImplementedError


def before(hyper, param, state):
    """What an optimizer does before the product adds the gradient to its first buffer; the buffer's factor.

    Negative where the optimizer, or these hyperparameters of it, needs the gradient by itself.
    """
    raise NotImplementedError


def after(hyper, param, state, lr):
    """What an optimizer does after the product has added the gradient to its first buffer."""
    raise NotImplementedError


@overload(update)
def _update_of(hyper, param, grad, state, lr, step):
    rule = _UPDATES[hyper.instance_class]
    return lambda hyper, param, grad, state, lr, step: rule(hyper, param, grad, state, lr, step)


@overload(before)
def _before_of(hyper, param, state):
    if hyper.instance_class not in _ACCUMULATIONS:
        return lambda hyper, param, state: -1.0
    rule = _ACCUMULATIONS[hyper.instance_class][0]
    return lambda hyper, param, state: rule(hyper, param, state)


@overload(after)
def _after_of(hyper, param, state, lr):
    if hyper.instance_class not in _ACCUMULATIONS:
        return lambda hyper, param, state, lr: None
    rule = _ACCUMULATIONS[hyper.instance_class][1]
    return lambda hyper, param, state, lr: rule(hyper, param, state, lr)
