"""Perceptrons of the catalogue, many of one shape at once: forward and backward by batched products, layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from initbench.activations import torch_function
from initbench.models import Architecture
from initbench.probing import measures

# (name of a parameter, values ``[trial, …]``, gradient) to the change that the first step makes.
Step = Callable[[str, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """Numbers of some networks: quantity to ``[trial, layer]``, to ``[trial]``; of the batch means of its parts."""

    layers: dict[str, Tensor]
    values: dict[str, Tensor]
    inputs: dict[str, Tensor]


def measure(architecture: Architecture, params: Mapping[str, Tensor], x: Tensor, y: Tensor, step: Step) -> Measured:
    """What perceptrons do with a batch before they are trained.

    Args:
        architecture: of all of them.
        params: name to ``[trial, …]``.
        x: ``[trial, input, feature]``.
        y: ``[trial, input]``, the classes.
        step: of the optimizer.
    """
    depth, n_trials = architecture.depth, len(x)
    weights = [params[f"layers.{layer}.weight"] for layer in range(depth + 1)]
    biases = [params[f"layers.{layer}.bias"].unsqueeze(1) for layer in range(depth + 1)]
    function = torch_function(architecture.activation, dict(architecture.activation_params))
    steepest = measures.steepest(architecture.activation, architecture.activation_params)
    undefined = torch.full((n_trials,), torch.nan, dtype=torch.float64, device=x.device)
    found: list[dict[str, Tensor]] = []
    inputs, slopes, h = [x], list[Tensor](), x
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        affine = torch.baddbmm(bias, h, weight.mT)
        of_layer = {"correlation": measures.correlation(affine)}
        if layer < depth:
            leaf = affine.detach().requires_grad_()
            with torch.enable_grad():
                h = function(leaf)
                (slope,) = torch.autograd.grad(h.sum(), leaf)
            h = h.detach()
            inputs.append(h)
            slopes.append(slope)
            flat = slope.abs() < measures.DEAD * steepest, slope.abs() < measures.SATURATED * steepest
            of_layer["dead"], of_layer["saturated"] = measures.slopes(*flat)
            of_layer["preactivation_rms"] = measures.rms(affine)
        else:
            h = affine
            of_layer |= dict.fromkeys(("dead", "saturated", "preactivation_rms"), undefined)
        of_layer["forward_rms"], of_layer["forward_mean"] = measures.rms(h), measures.mean(h)
        of_layer["effective_rank"] = measures.effective_rank(h)
        found.append(of_layer)
    log_p = log_softmax(h, 2)
    target = y.unsqueeze(2)
    loss = -log_p.gather(2, target).mean((1, 2))
    grad = log_p.exp().scatter_add_(2, target, torch.full_like(target, -1, dtype=h.dtype)) / x.shape[1]
    alike = 1 / measures.effective_rank(grad)
    for layer in range(depth, -1, -1):
        weight = weights[layer]
        of_weight = grad.mT @ inputs[layer]
        found[layer] |= {
            "backward_rms": measures.rms(grad),
            "weight_gradient_rms": measures.rms(of_weight),
            "distinct": measures.distinct(of_weight),
            "update_ratio": measures.rms(step(f"layers.{layer}.weight", weight, of_weight)) / measures.rms(weight),
        }
        if layer:
            grad = (grad @ weight) * slopes[layer - 1]
    pairs = torch.triu_indices(x.shape[1], x.shape[1], 1)
    return Measured(
        layers={name: torch.stack([one[name] for one in found], 1) for name in found[0]},
        values={
            "loss": loss,
            "loss_uniform": torch.full_like(loss, measures.uniform_loss(architecture.n_classes)),
            **measures.jacobian(_singular_values(weights, slopes)),
        },
        inputs={
            "rms": measures.parts(x.square().mean(2)).sqrt(),
            "gradient_alike": alike.unsqueeze(1),
            "correlation": measures.parts(measures.cosines(x)[:, pairs[0], pairs[1]].nan_to_num()),
        },
    )


def _singular_values(weights: list[Tensor], slopes: list[Tensor]) -> Tensor:
    """``[trial, input, value]``: of the derivative of the outputs by the inputs, at the first inputs of the batch.

    In float64, as the smallest of them may be far below the largest; from the last layer to the first, divided by the
    largest entry after each: a product of many layers may be beyond that too.
    """
    n_trials, n_classes, _ = weights[-1].shape
    n = min(measures.JACOBIAN_INPUTS, slopes[0].shape[1]) if slopes else 1
    product = weights[-1].double().unsqueeze(1).expand(-1, n, -1, -1)
    scale = torch.zeros(n_trials, n, dtype=torch.float64, device=product.device)
    for weight, slope in zip(reversed(weights[:-1]), reversed(slopes), strict=True):
        through = (product * slope[:, :n].unsqueeze(2)).flatten(1, 2)
        product = (through @ weight.double()).view(n_trials, n, n_classes, -1)
        largest = product.abs().amax((2, 3))
        largest = torch.where(largest > 0, largest, 1.0)
        product = product / largest[:, :, None, None]
        scale += largest.log()
    # What is not finite has no singular values.
    finite = product.isfinite().all(3).all(2)
    values = torch.linalg.svdvals(torch.where(finite[:, :, None, None], product, 0.0))
    return torch.where(finite.unsqueeze(2), values, torch.nan) * scale.exp().unsqueeze(2)
