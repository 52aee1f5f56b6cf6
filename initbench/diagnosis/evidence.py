"""What a diagnosis looks at: the module observed as it is, once more with its empty head filled, and after some steps.

Everything is done in place and undone: parameters, gradients, buffers, modes and generators are as they were.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from initbench.diagnosis.objectives import Objective, first
from initbench.errors import in_one_line
from initbench.initializers.fans import fans
from initbench.initializers.parameters import Parameter
from initbench.models.roles import parameters
from initbench.probing import measures
from initbench.probing.calls import called, tensors, untouched
from initbench.probing.module import Seen, Step, observe

# After so many steps whatever waits for a layer of zeros to be filled has got a gradient.
_STEPS, _STEP = 3, 1e-2


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of a module.

    Attributes:
        module: itself, as it was.
        objective: what it is trained for.
        parameters: by name, with their blocks and roles.
        seen: as it is.
        filled: the same where the head does not hold zeros; else with a head whose units have norm 1, since through
            zeros no gradient comes back.
        unmoved: trained parameters whose gradient is exactly zero in the first steps.
        n_inputs: how many samples the batch has.
        streams: of every list of blocks, by its name, the names of those that are called, each with the size of what
            it hands on.
    """

    module: nn.Module
    objective: Objective
    parameters: dict[str, Parameter]
    seen: Seen
    filled: Seen
    unmoved: frozenset[str]
    n_inputs: int
    streams: dict[str, dict[str, float]]

    @cached_property
    def output(self) -> Tensor:
        """What the module gives, detached."""
        return first(self.seen.output).detach()

    @cached_property
    def head(self) -> int:
        """The row of the layer that gives the output."""
        return _head(self.seen)

    @cached_property
    def owners(self) -> dict[int, list[str]]:
        """Of every parameter's tensor all names that it has, more than one where it is tied."""
        found: dict[int, list[str]] = {}
        for name, tensor in self.module.named_parameters(remove_duplicate=False):
            found.setdefault(id(tensor), []).append(name)
        return found

    def weight(self, row: int) -> Parameter | None:
        """The first weight of the layer in this row; None where it is of no known kind."""
        layer = self.module.get_submodule(self.seen.paths[row])
        for tensor in layer.parameters():
            if tensor.dim() > 1:
                return self.parameters.get(self.owners[id(tensor)][0])
        return None

    def bias(self, row: int) -> tuple[str, Tensor] | None:
        """The name and the values of the bias of a layer."""
        bias = getattr(self.module.get_submodule(self.seen.paths[row]), "bias", None)
        return (self.owners[id(bias)][0], bias.detach()) if isinstance(bias, nn.Parameter) else None

    def is_normed(self, row: int) -> bool:
        """Whether a norm is called behind the layer, of its output or of a sum with it."""
        return any("norm" in name for name in self.seen.behind[row])


def gather(module: nn.Module, batch: Any, objective: Objective, step: Step) -> Evidence:
    """Observe a module: at most two passes forward and back, and three steps where a gradient is exactly zero.

    Raises:
        InputError: the module or the loss fails, or no layer is found.
    """
    seen = observe(module, batch, objective.value, step, jacobian=False)
    of = {one.name: one for one in parameters(module)}
    filled = seen
    empty = _empty_head(module, seen)
    if empty is not None:
        with restored(module), torch.no_grad():
            values = torch.randn(empty.shape, generator=torch.Generator().manual_seed(0)) / math.sqrt(
                fans(empty.shape)[0]
            )
            empty.copy_(values.to(empty.dtype))
            filled = observe(module, batch, objective.value, step, jacobian=False)
    unmoved = {name for name, grad in seen.gradients.items() if grad == 0}
    if unmoved:
        unmoved &= _unmoved(module, batch, objective.value)
    n_inputs = len(first(seen.output)) if first(seen.output).dim() else 1
    return Evidence(module, objective, of, seen, filled, frozenset(unmoved), n_inputs, _streams(module, batch))


def rms(tensor: Tensor) -> float:
    """The root mean square of all entries, summed up in float64."""
    values = tensor.detach()
    return float(measures.rms((values.to_dense() if values.is_sparse else values).reshape(1, -1)))


def true_fans(parameter: Parameter) -> tuple[int, int]:
    """``(fan_in, fan_out)`` of a block of a weight, by use."""
    return fans(parameter.blocks[0].shape)


def scale(parameter: Parameter) -> float:
    """A weight's ``std · √fan_in``: what a layer does to the size of its input."""
    return rms(parameter.tensor) * math.sqrt(true_fans(parameter)[0])


def _streams(module: nn.Module, batch: Any) -> dict[str, dict[str, float]]:
    """What the blocks of each list hand on; blocks are made of several parts, and have numbers for names."""
    found: dict[str, dict[str, float]] = {}

    def hook(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(part: nn.Module, given: Any, output: Any) -> None:
            out = next((one for one in tensors(output) if one.is_floating_point()), None)
            if out is not None:
                found.setdefault(path.rpartition(".")[0], {}).setdefault(path, rms(out))

        return keep

    handles = [
        part.register_forward_hook(hook(path))
        for path, part in module.named_modules()
        if path.rpartition(".")[2].isdigit() and len([*part.children()]) > 1
    ]
    try:
        if handles:
            with untouched(module), torch.no_grad():
                called(module, batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _head(seen: Seen) -> int:
    wanted = first(seen.output).numel()
    found = [row for row, shape in enumerate(seen.shapes) if math.prod(shape) == wanted]
    return found[-1] if found else len(seen.paths) - 1


def _empty_head(module: nn.Module, seen: Seen) -> nn.Parameter | None:
    """The weight of the layer that gives the output, where it holds nothing but zeros."""
    layer = module.get_submodule(seen.paths[_head(seen)])
    weight = next((one for one in layer.parameters() if one.dim() > 1), None)
    return weight if weight is not None and not bool(weight.detach().any()) else None


def _unmoved(module: nn.Module, batch: Any, value: Callable[[Any], Tensor]) -> set[str]:
    """The trained parameters that no gradient reaches while all others take some steps of one size."""
    trained = {name: one for name, one in module.named_parameters() if one.requires_grad}
    still = set(trained)
    with restored(module), torch.enable_grad(), in_one_line("a step of training"):
        for _ in range(_STEPS):
            loss = value(called(module, batch)).reshape(())
            grads = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            with torch.no_grad():
                for (name, one), grad in zip(trained.items(), grads, strict=True):
                    size = rms(grad) if grad is not None else 0.0
                    if grad is not None and size and math.isfinite(size):
                        still.discard(name)
                        one.sub_((grad.to_dense() if grad.is_sparse else grad) * (_STEP / size))
    return still


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Parameters, and all that :func:`untouched` keeps, as they were."""
    kept = {name: one.detach().clone() for name, one in module.named_parameters()}
    with untouched(module):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, one in module.named_parameters():
                    one.copy_(kept[name])
