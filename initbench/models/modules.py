"""Every model that is an ordinary ``nn.Module``: built from its architecture, checked, described."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from initbench.activations import torch_function
from initbench.code import Code, read, run
from initbench.errors import InputError, in_one_line
from initbench.initializers.conformance import global_states
from initbench.models import Architecture, code_hash
from initbench.models.cnn import CNN
from initbench.models.mlp import Perceptron
from initbench.models.residual import residual_cnn, residual_mlp
from initbench.seeding import stream


def _mlp(architecture: Architecture, activation: Callable[[Tensor], Tensor], norm: str | None) -> nn.Module:
    return Perceptron(architecture.sample_shape[0], architecture.n_classes, architecture.width, norm, activation)


def _cnn(architecture: Architecture, activation: Callable[[Tensor], Tensor], **settings: int) -> nn.Module:
    channels, height, width = architecture.sample_shape
    return CNN((channels, height, width), architecture.n_classes, architecture.depth, activation=activation, **settings)


def _residual_mlp(architecture: Architecture, activation: Callable[[Tensor], Tensor], layers: int) -> nn.Module:
    return residual_mlp(
        architecture.sample_shape[0],
        architecture.n_classes,
        architecture.depth,
        architecture.width[0],
        layers,
        activation,
    )


def _residual_cnn(architecture: Architecture, activation: Callable[[Tensor], Tensor], **settings: int) -> nn.Module:
    channels, height, width = architecture.sample_shape
    return residual_cnn(
        (channels, height, width), architecture.n_classes, architecture.depth, activation=activation, **settings
    )


def _own(
    architecture: Architecture, activation: Callable[[Tensor], Tensor], path: str, function: str, code: str
) -> nn.Module:
    module = _loaded(path, code, function)(architecture.sample_shape, architecture.n_classes)
    if not isinstance(module, nn.Module):
        raise InputError(f"{path}:{function} must return an nn.Module; got {type(module).__name__}")
    return module


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "residual_mlp": _residual_mlp,
    "residual_cnn": _residual_cnn,
    "module": _own,
}


def build(architecture: Architecture, seed: int = 0) -> nn.Module:
    """A module of this architecture on the CPU, its own initial values drawn from the stream ``(seed, "module")``.

    Raises:
        InputError: a user's file or function fails.
        MemoryError: the network does not fit.
    """
    activation = torch_function(architecture.activation, dict(architecture.activation_params))
    with _own_generator(seed), in_one_line(where(architecture)):
        return BUILDERS[architecture.model](architecture, activation, **dict(architecture.settings))


def template(architecture: Architecture, seed: int = 0) -> nn.Module:
    """The module of :func:`build`, to be copied and not changed: ours is one for all seeds, as all of it is drawn."""
    return _template(architecture, seed if architecture.model == "module" else 0)


@lru_cache(maxsize=16)
def _template(architecture: Architecture, seed: int) -> nn.Module:
    return build(architecture, seed)


def check(architecture: Architecture, batch: int) -> None:
    """Train and evaluate the module once, on as few samples as it will ever be trained on.

    Raises:
        InputError: it fails, answers in another shape, or draws random numbers, which no trial could reproduce.
    """
    name = where(architecture)
    # A user's file has now been run, and is not again.
    template(architecture)
    before = global_states()
    module = build(architecture)
    other = [name for name, p in module.named_parameters() if p.dtype != torch.float32]
    if other:
        raise InputError(f"{name}: {other[0]} is not of type float32")
    trained = [p for p in module.parameters() if p.requires_grad]
    x, expected = torch.zeros(batch, *architecture.sample_shape), (batch, architecture.n_classes)
    with _own_generator(0):
        state = torch.get_rng_state()
        for training in (True, False):
            with in_one_line(f"{name} on {batch} sample{'s' * (batch > 1)}"), torch.set_grad_enabled(training):
                logits = module.train(training)(x)
            if not isinstance(logits, Tensor) or logits.shape != expected:
                got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise InputError(f"{name} must return logits of shape {expected}; got {got}")
            if training and trained:
                with in_one_line(f"{name} cannot be trained"):
                    torch.autograd.grad(logits, trained, torch.ones_like(logits), allow_unused=True)
        drew = not torch.equal(state, torch.get_rng_state())
    if drew:
        raise InputError(f"{name} draws random numbers in training (dropout?); its trials could not be repeated")
    if before != global_states():
        raise InputError(f"{name} draws from NumPy's or Python's generator; its trials could not be repeated")


def cost(architecture: Architecture) -> tuple[int, int]:
    """Floating-point operations of a forward pass, and numbers its layers put out, per sample."""
    from torch.utils.flop_counter import FlopCounterMode

    if architecture.is_plain:
        # Nobody's code is called, nothing need be counted.
        sizes = [math.prod(architecture.sample_shape), *architecture.width, architecture.n_classes]
        return 2 * sum((fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(sizes)), sum(architecture.width)
    module, numbers = build(architecture), 0

    def count(module: nn.Module, x: Any, out: Any) -> None:
        nonlocal numbers
        numbers += out.numel() if isinstance(out, Tensor) and not list(module.children()) else 0

    for part in module.modules():
        part.register_forward_hook(count)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.eval()(torch.zeros(1, *architecture.sample_shape))
    # A module of a user's need not serve a single sample: then a product for each weight must do.
    except Exception:
        return 2 * sum(param.numel() for param in module.parameters()), numbers
    return counter.get_total_flops(), numbers


def where(architecture: Architecture) -> str:
    """The model in a message."""
    settings = dict(architecture.settings)
    return (
        f"{settings['path']}:{settings['function']}"
        if architecture.model == "module"
        else f"model={architecture.model}"
    )


def check_unchanged(model: str, settings: Mapping[str, Any]) -> None:
    """Whether a user's file is still what it was when its hash was taken; it is not run.

    Raises:
        InputError: it has changed, or is not there any more.
    """
    if model == "module":
        _code(settings["path"], settings["code"])


def _code(path: str, code: str) -> Code:
    try:
        file = read(Path(path).expanduser())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    file.check(code_hash, code, path)
    return file


@lru_cache(maxsize=16)
def _loaded(path: str, code: str, function: str) -> Callable[..., Any]:
    """The function of a user's file, as it was when its hash was taken."""
    module = run(_code(path, code), f"initbench_model_{code}")
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{path} has no function '{function}'")
    return found  # type: ignore[no-any-return]


@contextmanager
def _own_generator(seed: int) -> Iterator[None]:
    """Torch's global generator in a state of our own, and as it was afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, "module").integers(2**63)))
        yield
