"""How any module is called with a batch of any form, and left as it was: nested inputs and outputs, buffers, modes."""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from initbench.errors import InputError


def random_direction(output: Any) -> Tensor:
    """The sum of an output times fixed standard normal numbers, over the root of how many they are.

    Raises:
        InputError: the output holds no floating-point tensor.
    """
    out = next((one for one in tensors(output) if one.is_floating_point()), None)
    if out is None:
        raise InputError("the module's output holds no floating-point tensor; give a loss")
    direction = np.random.default_rng(0).standard_normal(tuple(out.shape))
    weights = torch.tensor(direction, dtype=out.dtype, device=out.device)
    return (out * weights).sum() / math.sqrt(out.numel())


def called(module: nn.Module, batch: Any) -> Any:
    """The module's output for a tensor, a tuple or list of arguments, or a mapping of keywords.

    What it would compute again in the pass back, by ``torch.utils.checkpoint``, is kept: that changes no number.
    """
    with _without_checkpoints():
        if isinstance(batch, Mapping):
            return module(**batch)
        return module(*batch) if isinstance(batch, tuple | list) else module(batch)


class _Kept:
    """In place of torch's function that forgets what it computed."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        """What the function gives."""
        return function(*args)


def _kept(*args: Any, **keywords: Any) -> Iterator[None]:
    """In place of torch's generator around a function whose tensors are forgotten."""
    yield


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """While it lasts, ``torch.utils.checkpoint`` calls what it is given; users have that function by its name."""
    # Releases of torch differ in the last two.
    generator = "_checkpoint_without_reentrant_generator"
    instead = {"CheckpointFunction": _Kept, generator: _kept, f"{generator}_impl": _kept}
    before = {name: getattr(checkpoint, name) for name in instead if hasattr(checkpoint, name)}
    for name in before:
        setattr(checkpoint, name, instead[name])
    try:
        yield
    finally:
        for name, own in before.items():
            setattr(checkpoint, name, own)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and mappings, as those of an output."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from tensors(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from tensors(one)


def replaced(value: Any, tensors: Iterator[Tensor]) -> Any:
    """The same with other tensors, in the order of :func:`tensors`."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, Mapping):
        return {key: replaced(one, tensors) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [replaced(one, tensors) for one in value]
    return value


def with_first(output: Any, first: Tensor) -> Any:
    """The same with another first tensor; None where that cannot be."""
    if isinstance(output, Tensor):
        return first
    if not isinstance(output, tuple) or not output:
        return None
    head = with_first(output[0], first)
    if head is None:
        return None
    # A named tuple, as a packed sequence, is made of its fields.
    return type(output)(head, *output[1:]) if hasattr(output, "_fields") else (head, *output[1:])


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Buffers, modes and all generators of random numbers as they were, whatever is done meanwhile."""
    held = [(part, name, one) for part in module.modules() for name, one in part._buffers.items()]
    values = [None if one is None else one.detach().clone() for _, _, one in held]
    modes = {name: part.training for name, part in module.named_modules()}
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    gpus = sorted({one.device.index or 0 for one in module.parameters() if one.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
        # The buffers themselves too: a module may put others in their places.
        with torch.no_grad():
            for (part, name, one), value in zip(held, values, strict=True):
                if one is not None and value is not None:
                    one.copy_(value)
                part._buffers[name] = one
        for name, part in module.named_modules():
            part.training = modes.get(name, part.training)
