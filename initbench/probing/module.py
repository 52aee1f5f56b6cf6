"""Any module as it is: hooks on what it is made of, one pass forward and one back, and everything as it was before.

A layer is a part without parts of its own that has a weight of two dimensions or more, each time that it is called;
``nn.MultiheadAttention`` counts as one. The norm and the activation that are called behind it belong to it. Of an
activation that is called as a function, as ``torch.relu(x)``, only its slopes are known: what is done with its values
nobody can tell, and what a layer hands on is then the layer's own output.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initbench.errors import InputError, in_one_line
from initbench.probing import measures
from initbench.probing.calls import called, random_direction, replaced, tensors, untouched, with_first

ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid,
    nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink,
    nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
# What torch's functions of one tensor are called that act on each number alone and are used as activations.
FUNCTIONS = (
    "celu", "cos", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid",
    "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softshrink", "softsign",
    "tanh", "tanhshrink", "threshold",
)  # fmt: skip
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
# Units along the second dimension, and in the weight along the second too.
_CHANNELS = (nn.modules.conv._ConvNd,)
_INPUT_FIRST = (nn.modules.conv._ConvTransposeNd, nn.Embedding, nn.EmbeddingBag)
# Of the derivative of outputs by inputs: more outputs cost a pass back each.
MOST_OUTPUTS = 128

# From the trained weights and their gradients to the changes of one step.
Step = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor]]
Loss = Callable[[Any], Tensor]

QUANTITIES = (
    "forward_rms", "forward_mean", "preactivation_rms", "backward_rms", "weight_gradient_rms", "dead", "saturated",
    "effective_rank", "correlation", "distinct", "update_ratio", "input_rms", "output_rms", "backward_norm",
    "normed",
)  # fmt: skip


@dataclass
class _Call:
    """A layer, called once."""

    name: str
    path: str
    module: nn.Module
    output: Tensor
    handed: Tensor
    numbers: dict[str, float] = field(default_factory=dict)
    behind: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """What was measured of a module.

    Attributes:
        names: of its layers, in the order of their calls; a layer that was called again has the number of its call.
        layers: quantity to a number for each layer; ``normed`` is 1 where a norm gets just what the layer puts out.
        values: numbers of the whole.
        paths: of the layers in the module, without numbers.
        shapes: of what each put out.
        behind: of each layer, the norms and activations that were called behind it, in small letters.
        gradients: of every trained parameter the root mean square of its gradient; None where none came back.
        output: what the module gave.
    """

    names: list[str]
    layers: dict[str, list[float]]
    values: dict[str, float]
    paths: list[str]
    shapes: list[tuple[int, ...]]
    behind: list[tuple[str, ...]]
    gradients: dict[str, float | None]
    output: Any


class Elementwise(nn.Module):
    """A function of tensors as a module, so that a hook sees it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """The function's values."""
        return self.function(x)


def observe(module: nn.Module, batch: Any, loss: Loss | None, step: Step, jacobian: bool = True) -> Seen:
    """What a module does with a batch.

    Args:
        module: any; nothing of it is changed, nor any generator of random numbers.
        batch: what it is called with: a tensor, a tuple or list of arguments, or a mapping of keywords.
        loss: a number from its output. None: the sum of the outputs times fixed standard normal numbers, over the root
            of how many they are, as if each output had a gradient.
        step: the change that a step of training would make.
        jacobian: whether the derivative of outputs by inputs is taken, which costs a pass back for each output.

    Raises:
        InputError: the module fails, has no layer that a hook sees, or the loss is no number.
    """
    calls: list[_Call] = []
    inputs = [one.detach().clone().requires_grad_() if one.is_floating_point() else one for one in tensors(batch)]
    n_inputs = len(inputs[0]) if inputs and inputs[0].dim() else 0
    if inputs and not inputs[0].numel():
        raise InputError("the batch has no sample")
    parameters = {name: one for name, one in module.named_parameters() if one.requires_grad}
    with untouched(module), torch.enable_grad():
        with _hooked(module, calls, n_inputs), in_one_line(f"{type(module).__name__} on this batch"):
            output = called(module, replaced(batch, iter(inputs)))
        if not calls:
            raise InputError(f"{type(module).__name__} called no module that has a weight: there is nothing to probe")
        with in_one_line("the loss"):
            value = random_direction(output) if loss is None else loss(output)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"the loss must be a tensor with one number; got {got}")
        value = value.reshape(())
        grads: Sequence[Tensor | None] = [None] * (len(calls) + len(parameters))
        if value.requires_grad:
            with in_one_line(f"the gradient of {type(module).__name__}"):
                grads = torch.autograd.grad(
                    value,
                    [*(call.output for call in calls), *parameters.values()],
                    allow_unused=True,
                    retain_graph=True,
                )
        of_weight = {name: grad for name, grad in zip(parameters, grads[len(calls) :], strict=True) if grad is not None}
        numbers = _jacobian(output, inputs) if jacobian else {}
    with torch.no_grad():
        names = {id(one): name for name, one in module.named_parameters()}
        changes = step({name: parameters[name].detach() for name in of_weight}, of_weight)
        for call, grad in zip(calls, grads, strict=False):
            if grad is not None:
                call.numbers["backward_rms"] = rms = _one(measures.rms(grad.detach()[None]))
                call.numbers["backward_norm"] = rms * math.sqrt(grad.numel())
            _of_weights(call, {name: names[id(one)] for name, one in _weights(call.module)}, of_weight, changes)
    numbers["loss"] = float(value.detach()) if loss is not None else math.nan
    return Seen(
        [call.name for call in calls],
        {name: [call.numbers.get(name, math.nan) for call in calls] for name in QUANTITIES},
        numbers,
        [call.path for call in calls],
        [tuple(call.output.shape) for call in calls],
        [tuple(call.behind) for call in calls],
        {name: _one(measures.rms(_flat([of_weight[name]]))) if name in of_weight else None for name in parameters},
        output,
    )


def first_step(optimizer: Callable[[Any], torch.optim.Optimizer] | None, lr: float) -> Step:
    """The change that the first step of an optimizer makes, on copies; gradient descent where there is none."""

    def step(params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if optimizer is None:
            return {name: -lr * grad for name, grad in grads.items()}
        copies = {name: nn.Parameter(values.clone()) for name, values in params.items()}
        for name, copy in copies.items():
            copy.grad = grads[name].clone()
        with in_one_line("the optimizer's first step"):
            optimizer(list(copies.values())).step()
        return {name: copy.detach() - params[name] for name, copy in copies.items()}

    return step


def _of_weights(
    call: _Call, names: Mapping[str, str], grads: Mapping[str, Tensor], changes: Mapping[str, Tensor]
) -> None:
    """What is measured of the weights of a layer: of all of them together, and of its first one's units."""
    weights = [(names[own], one.detach()) for own, one in _weights(call.module)]
    there = [name for name, _ in weights if name in grads]
    if not there:
        return
    call.numbers["weight_gradient_rms"] = _one(measures.rms(_flat([grads[name] for name in there])))
    moved = [(name, one) for name, one in weights if name in changes]
    if moved:
        size = _one(measures.rms(_flat([one for _, one in moved])))
        change = _one(measures.rms(_flat([changes[name] for name, _ in moved])))
        call.numbers["update_ratio"] = change / size if size else math.nan
    grad = grads[there[0]]
    grad = grad.to_dense() if grad.is_sparse else grad
    by_unit = grad.transpose(0, 1) if isinstance(call.module, _INPUT_FIRST) else grad
    call.numbers["distinct"] = _one(measures.distinct(by_unit.flatten(1)[None].float()))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([(one.to_dense() if one.is_sparse else one).flatten() for one in tensors])[None]


def _is_whole(module: nn.Module) -> bool:
    """Whether it has no parts of its own but what computes its parameters."""
    return all(name == "parametrizations" for name, _ in module.named_children())


def _weights(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The weights of a layer, by their own names; those of the parts of an attention, which are never called, too."""
    recurse = isinstance(module, nn.MultiheadAttention) or nn.utils.parametrize.is_parametrized(module)
    return [(name, one) for name, one in module.named_parameters(recurse=recurse) if one.dim() >= 2]


def _one(value: Tensor) -> float:
    return float(value.reshape(()))


@contextmanager
def _hooked(module: nn.Module, calls: list[_Call], n_inputs: int) -> Iterator[None]:
    """While it lasts, every layer that is called leaves its call, and what follows it leaves its numbers there."""
    handles = []
    counts: dict[str, int] = {}
    before: dict[int, Tensor] = {}

    def layer(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(part: nn.Module, given: Any, output: Any) -> Any:
            first = next(tensors(output), None)
            if first is None or not first.is_floating_point():
                return None
            counts[name] = counts.get(name, 0) + 1
            # What comes after may be changed in place: it gets a copy, and the gradient comes back to this one.
            kept = first if first.requires_grad else first.detach().requires_grad_()
            label = (name or type(part).__name__) + (f" ({counts[name]})" if counts[name] > 1 else "")
            handed = kept.clone()
            calls.append(_Call(label, name, part, kept, handed))
            with torch.no_grad():
                if of_input := [one for one in tensors(given) if one.is_floating_point()]:
                    calls[-1].numbers["input_rms"] = _one(measures.rms(of_input[0].detach()[None]))
                calls[-1].numbers["output_rms"] = _one(measures.rms(kept.detach()[None]))
                by_unit = _by_input(kept.detach(), n_inputs)
                calls[-1].numbers |= _forward(kept.detach(), n_inputs)
                if by_unit is not None:
                    calls[-1].numbers["correlation"] = _one(measures.correlation(by_unit[None].float()))
            return with_first(output, handed)

        return hook

    def behind(part: nn.Module, given: Any, output: Any) -> None:
        x = before.pop(id(part), None)
        if not calls or not isinstance(output, Tensor) or not output.is_floating_point():
            return
        calls[-1].behind.append(type(part).__name__.lower())
        if isinstance(part, _NORMS) and given and given[0].data_ptr() == calls[-1].handed.data_ptr():
            calls[-1].numbers["normed"] = 1.0
        with torch.no_grad():
            calls[-1].numbers |= _forward(output.detach(), n_inputs)
        if x is not None:
            with _alone(part):
                numbers = _slopes(lambda values: type(part).forward(part, values), x, calls[-1].module)
            calls[-1].numbers |= numbers

    def keep(part: nn.Module, given: Any) -> None:
        if given and isinstance(given[0], Tensor):
            before[id(part)] = given[0].detach().clone()

    def function(name: str, values: Callable[[Tensor], Tensor], x: Tensor) -> None:
        # Within an activation that is a module, or of something else than what the layer put out: no concern of ours.
        if before or not calls or "dead" in calls[-1].numbers or x.numel() != calls[-1].output.numel():
            return
        calls[-1].behind.append(name)
        calls[-1].numbers |= _slopes(values, x, calls[-1].module)

    attentions = [f"{name}." for name, part in module.named_modules() if isinstance(part, nn.MultiheadAttention)]
    for name, part in module.named_modules():
        if any(name.startswith(prefix) for prefix in attentions):
            continue
        if isinstance(part, ACTIVATIONS + (Elementwise,)):
            handles.append(part.register_forward_pre_hook(keep))
            handles.append(part.register_forward_hook(behind))
        elif isinstance(part, _NORMS):
            handles.append(part.register_forward_hook(behind))
        elif isinstance(part, nn.MultiheadAttention) or (_is_whole(part) and _weights(part)):
            handles.append(part.register_forward_hook(layer(name)))
    try:
        with _Functions(function):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Functions(TorchFunctionMode):
    """While it lasts, every activation that is called as a function of torch's is told of, with its input."""

    def __init__(self, told: Callable[[str, Callable[[Tensor], Tensor], Tensor], None]) -> None:
        super().__init__()
        self._told = told

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", "").rstrip("_"), dict(kwargs or {})
        if name in FUNCTIONS and args and isinstance(args[0], Tensor) and args[0].is_floating_point():
            self._told(name, lambda x: func(x, *args[1:], **kwargs), args[0].detach().clone())
        return func(*args, **kwargs)


def _forward(output: Tensor, n_inputs: int) -> dict[str, float]:
    by_input = _by_input(output, n_inputs)
    return {
        "forward_rms": _one(measures.rms(output[None])),
        "forward_mean": _one(measures.mean(output[None])),
        "effective_rank": _one(measures.effective_rank(by_input[None].float())) if by_input is not None else math.nan,
    }


def _by_input(output: Tensor, n_inputs: int) -> Tensor | None:
    """``[input, …]``, None where the first dimension is not that of the inputs."""
    return output.flatten(1) if output.dim() > 1 and len(output) == n_inputs > 1 else None


def _slopes(values: Callable[[Tensor], Tensor], x: Tensor, layer: nn.Module) -> dict[str, float]:
    """What an activation does with its input: its slopes are its own, by autograd."""
    leaf = x.clone().requires_grad_()
    # Of a copy: it may work in place.
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(values(leaf.clone()).sum(), leaf)
        grid = torch.linspace(-20, 20, 4001, dtype=x.dtype, device=x.device)
        try:
            probe = grid.clone().requires_grad_()
            (steep,) = torch.autograd.grad(values(probe.clone()).sum(), probe)
        except RuntimeError:
            # One with a number for each channel takes no other shape.
            steep = slope
    steepest = float(torch.maximum(steep.abs().amax(), slope.abs().amax()))
    numbers = {"preactivation_rms": _one(measures.rms(x[None]))}
    if not steepest:
        return numbers
    units = slope.movedim(1, -1) if isinstance(layer, _CHANNELS) and slope.dim() > 2 else slope
    flat = units.reshape(1, -1, units.shape[-1]).abs()
    dead, saturated = measures.slopes(flat < measures.DEAD * steepest, flat < measures.SATURATED * steepest)
    return numbers | {"dead": _one(dead), "saturated": _one(saturated)}


@contextmanager
def _alone(part: nn.Module) -> Iterator[None]:
    """Without random slopes, as those of RReLU in training."""
    training = part.training
    part.training = False
    try:
        yield
    finally:
        part.training = training


def _jacobian(output: Any, inputs: Sequence[Tensor]) -> dict[str, float]:
    """From the singular values of d output / d input at some inputs, where both have a dimension of inputs."""
    names = ("jacobian_max", "jacobian_mean", "jacobian_min", "jacobian_condition")
    undefined = dict.fromkeys(names, math.nan)
    out = next((one for one in tensors(output) if one.is_floating_point()), None)
    x = next((one for one in inputs if one.requires_grad), None)
    if out is None or x is None or not out.requires_grad or not out.dim() or not x.dim() or len(out) != len(x):
        return undefined
    n, flat = min(measures.JACOBIAN_INPUTS, len(x)), out.flatten(1) if out.dim() > 1 else out[:, None]
    if flat.shape[1] > MOST_OUTPUTS:
        return undefined
    rows = []
    for column in range(flat.shape[1]):
        (grad,) = torch.autograd.grad(flat[:n, column].sum(), x, retain_graph=True, allow_unused=True)
        if grad is None:
            return undefined
        rows.append(grad[:n].flatten(1).detach())
    matrix = torch.stack(rows, 1).double()
    if not bool(matrix.isfinite().all()):
        return undefined
    found = measures.jacobian(torch.linalg.svdvals(matrix)[None])
    return {name: _one(value) for name, value in found.items()}
