"""MetaInit: learn the norms of the weights so that a step of gradient descent hardly changes the gradient."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from initbench.activations import torch_function
from initbench.data_driven.problem import Prepared, Problem
from initbench.engine.checkpoints import State
from initbench.seeding import stream

if TYPE_CHECKING:
    from torch import Tensor

# A norm shrinks to no less than this part of what it was at first: the paper's step may go past 0, to no meaning.
_LEAST = 0.01


def metainit(
    problem: Problem,
    *,
    base: str = "he_normal",
    steps: int = 500,
    lr: float = 0.1,
    momentum: float = 0.9,
    batch: int = 32,
    eps: float = 1e-5,
) -> Prepared:
    """Descend the gradient quotient by the norm of each weight, with momentum and the gradient's sign only.

    The inputs are N(0, 1) and the labels uniform, new at every step: of the data nothing but the shape is used.
    Directions of the weights and all biases stay as they are.

    Args:
        problem: the network drawn by the base law; its inputs are not looked at.
        base: the law of the weights before their norms are learned.
        steps: of the descent.
        lr: the step size, in the unit of a norm.
        momentum: the part of the last step that is taken again.
        batch: random samples of a step.
        eps: what keeps the quotient finite where a gradient is 0.

    Raises:
        ValueError: the gradient quotient is not finite, or a weight is zero.

    References:
        Dauphin & Schoenholz 2019, MetaInit, NeurIPS, algorithm 1.
    """
    import torch

    params = {name: torch.tensor(values, requires_grad=True) for name, values in problem.params.items()}
    weights = {name: values for name, values in params.items() if name.endswith("weight")}
    least = {name: _LEAST * float(np.linalg.norm(problem.params[name])) for name in weights}
    if not all(least.values()):
        raise ValueError(f"{min(least, key=lambda name: least[name])} is zero: there is no norm to be learned")
    velocity, begun = dict.fromkeys(weights, 0.0), 0
    rng = stream(problem.seed, "init", "random samples")

    def state() -> State:
        numbers = {"velocity": np.array(list(velocity.values())), "step": np.array([begun])}
        return {name: values.detach().numpy() for name, values in weights.items()} | numbers

    if (found := problem.kept.find(state)) is not None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(torch.from_numpy(found[name]))
        velocity, begun = dict(zip(weights, found["velocity"].tolist(), strict=True)), int(found["step"][0])
        # Drawing again takes a thousandth of the time of the steps.
        for _ in range(begun):
            random_batch(params, rng, batch)
        problem.steps[0] = begun
    for step in range(begun, steps):
        quotient, grads = gradient_quotient(params, problem, rng, batch, eps)
        if not np.isfinite(quotient):
            raise ValueError(f"the gradient quotient is not finite at step {step + 1}")
        with torch.no_grad():
            for name, weight in weights.items():
                norm, grad = float(weight.norm()), grads[name]
                velocity[name] = momentum * velocity[name] - lr * float((weight * grad).sum().sign())
                if norm + velocity[name] < least[name]:
                    velocity[name] = least[name] - norm
                weight.mul_((norm + velocity[name]) / norm)
        begun = step + 1
        problem.steps[0] = begun
        if problem.stop[0]:
            break
        problem.kept.offer(state, finished=begun == steps)
    return Prepared({name: values.detach().numpy() for name, values in params.items()}, steps=steps)


def gradient_quotient(
    params: "dict[str, Tensor]", problem: Problem, rng: np.random.Generator, batch: int = 32, eps: float = 1e-5
) -> "tuple[float, dict[str, Tensor]]":
    """The mean of |(g − Hg) / (g ± ε) − 1| over all parameters, for one random batch; the sign is that of g.

    g is the gradient of the cross-entropy and H its Hessian, so g − Hg is about the gradient after a step of size 1.

    Args:
        params: the network's parameters, that require gradients.
        problem: for its activation.
        rng: draws the batch.
        batch: samples.
        eps: as in :func:`metainit`.

    Returns:
        It, and its gradient by each weight.
    """
    import torch

    from initbench.engine.compiled.quotient import quotient

    values, weights = list(params.values()), [name for name in params if name.endswith("weight")]
    drawn, labels = random_batch(params, rng, batch)
    h, y = torch.from_numpy(drawn).to(values[0].dtype), torch.from_numpy(labels)
    activate = torch_function(problem.activation, dict(problem.activation_params))
    for layer in range(problem.n_layers):
        h = torch.nn.functional.linear(h, params[f"layers.{layer}.weight"], params[f"layers.{layer}.bias"])
        h = activate(h) if layer + 1 < problem.n_layers else h
    grads = torch.autograd.grad(torch.nn.functional.cross_entropy(h, y), values, create_graph=True)
    products = torch.autograd.grad(grads, values, grads, create_graph=True)
    # The rest is elementwise: one pass over the parameters, where autograd would make thirty.
    total, count = 0.0, sum(value.numel() for value in values)
    by_grads, by_products = ([torch.empty_like(value) for value in values] for _ in range(2))
    for four in zip(grads, products, by_grads, by_products, strict=True):
        g, hg, by_g, by_hg = (one.detach().contiguous().view(-1).numpy() for one in four)
        total += quotient(g, hg, eps, 1 / count, by_g, by_hg)
    leaves = [params[name] for name in weights]
    by_weights = torch.autograd.grad([*grads, *products], leaves, [*by_grads, *by_products])
    return total / count, dict(zip(weights, by_weights, strict=True))


def random_batch(
    params: "dict[str, Tensor]", rng: np.random.Generator, batch: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """N(0, 1) inputs ``[batch, features]`` of a network, and uniform labels ``[batch]``."""
    first, *_, last = params.values()
    return rng.standard_normal((batch, first.shape[1]), np.float32), rng.integers(len(last), size=batch)
