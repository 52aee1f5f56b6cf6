"""Parameters that nobody wrote, that take no part in the loss, or that no gradient reaches."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from initbench.diagnosis.evidence import Evidence
from initbench.diagnosis.findings import Finding, listed, spelled
from initbench.errors import InputError, in_one_line
from initbench.probing.calls import called, untouched


def unwritten(build: Callable[[], nn.Module]) -> list[str]:
    """The parameters and buffers that a factory leaves as they came out of memory.

    The module is built once while torch fills new memory with NaN, as it can where results are to be repeatable:
    what is NaN afterwards was written by nobody.

    Args:
        build: makes the module.
    """
    with _filled_memory():
        module = build()
    named = [*module.named_parameters(), *module.named_buffers()]
    return [name for name, one in named if one.is_floating_point() and bool(one.detach().isnan().any())]


def never_written(names: list[str], module: nn.Module) -> Iterator[Finding]:
    """A finding for each parameter that :func:`unwritten` names."""
    shapes: dict[str, torch.Tensor] = dict((*module.named_parameters(), *module.named_buffers()))
    for name in names:
        law = "xavier_uniform_" if name in shapes and shapes[name].dim() > 1 else "zeros_" if _adds(name) else "ones_"
        yield Finding(
            "never_written",
            "wrong",
            name,
            f"{name} is what memory held: nothing writes it between its making and the first step",
            "torch.empty and torch.Tensor(size) reserve memory and leave in it what was there: small numbers today, "
            "NaN or 1e30 tomorrow",
            (f"torch.nn.init.{law}({spelled(name)})",),
        )


def _adds(name: str) -> bool:
    """Whether a vector of this name is added, as a bias is; others multiply, as a norm's scale does."""
    return any(word in name.rpartition(".")[2] for word in ("bias", "beta", "shift", "offset", "mean"))


def called_as(build: Callable[..., object]) -> str:
    """A factory in a message."""
    return f"{getattr(build, '__name__', type(build).__name__)}()"


def settle(module: nn.Module, batch: Any) -> None:
    """Give lazy parameters their shapes, by one pass forward.

    Raises:
        InputError: the module fails.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise InputError("a scripted module shows nothing of its layers; give the module that it was made of")
    for name, one in module.named_parameters():
        if one.is_meta:
            raise InputError(f"{name} is on the meta device and holds nothing; materialise the module first")
        if one.is_complex():
            raise InputError(f"{name} holds complex numbers, which no check knows")
    if any(nn.parameter.is_lazy(one) for one in (*module.parameters(), *module.buffers())):
        with in_one_line(f"{type(module).__name__} on this batch"), untouched(module), torch.no_grad():
            called(module, batch)


@contextmanager
def written(module: nn.Module, names: list[str]) -> Iterator[None]:
    """While it lasts, what nobody wrote holds what its finding proposes, so that the rest can be looked at."""
    kept = {name: one for name, one in (*module.named_parameters(), *module.named_buffers()) if name in names}
    values = {name: one.detach().clone() for name, one in kept.items()}
    with torch.no_grad():
        for name, one in kept.items():
            if one.dim() > 1:
                torch.nn.init.xavier_uniform_(one, generator=torch.Generator(one.device).manual_seed(0))
            else:
                one.fill_(0.0 if _adds(name) else 1.0)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, one in kept.items():
                one.copy_(values[name])


def not_finite(module: nn.Module, known: set[str]) -> Iterator[Finding]:
    """Parameters that hold NaN or infinity, but for those that are known to be written by nobody."""
    for name, one in module.named_parameters():
        if name not in known and one.is_floating_point() and not bool(one.detach().isfinite().all()):
            yield Finding(
                "not_finite",
                "wrong",
                name,
                f"{name} holds values that are NaN or infinite",
                "it was never written, or its law overflowed in this precision",
                (f"torch.nn.init.{'xavier_uniform_' if one.dim() > 1 else 'zeros_'}({spelled(name)})",),
            )


def unused(evidence: Evidence) -> Iterator[Finding]:
    """Trained parameters on which the loss does not depend, those of one module together."""
    names = [name for name, grad in evidence.seen.gradients.items() if grad is None]
    if names and len(names) == len(evidence.seen.gradients):
        yield Finding(
            "no_gradient",
            "wrong",
            "",
            "the loss has no gradient in any parameter",
            "it is computed from what has none, as classes, counts or detached tensors, or in no_grad",
        )
        return
    for owner, own in _by_owner(names).items():
        yield Finding(
            "unused",
            "doubtful",
            owner,
            f"the loss does not depend on {listed(own)}",
            "the module is never called in forward, or its result is dropped or detached; it will not be trained",
        )


def unmoved(evidence: Evidence) -> Iterator[Finding]:
    """Weights whose gradient stays exactly zero while everything else takes steps."""
    names = [name for name in evidence.parameters if name in evidence.unmoved]
    weights = [name for name in names if "weight" in evidence.parameters[name].roles]
    if not weights:
        return
    zeros = [name for name in weights if not bool(evidence.parameters[name].tensor.detach().any())]
    why = "every unit behind them is flat, or a layer that is never filled stands between them and the loss"
    lines: tuple[str, ...] = ()
    if zeros:
        why = f"{listed(zeros)} hold zeros, and two layers of zeros behind each other keep each other at zero"
        lines = tuple(f"torch.nn.init.xavier_uniform_({spelled(name)})" for name in zeros)
    yield Finding(
        "unmoved",
        "wrong",
        weights[0],
        f"the gradient of {listed(weights)} is exactly zero, and stays so while everything else moves",
        why,
        lines,
    )


def _by_owner(names: list[str]) -> Mapping[str, list[str]]:
    """Parameters by the module that they are of."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return found


@contextmanager
def _filled_memory() -> Iterator[None]:
    """While it lasts, torch fills what it reserves with NaN."""
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = True
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = fills
        torch.use_deterministic_algorithms(was[0], warn_only=was[1])
