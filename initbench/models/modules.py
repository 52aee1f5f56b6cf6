"""Every model that is an ordinary ``nn.Module``: built from its architecture, checked, described."""

import itertools
import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from initbench.activations import torch_function
from initbench.code import Code, read, run
from initbench.errors import InputError, in_one_line
from initbench.initializers.conformance import global_states
from initbench.models import Architecture, code_hash
from initbench.models.cnn import CNN
from initbench.models.lstm import LSTM
from initbench.models.mlp import Perceptron
from initbench.models.residual import residual_cnn, residual_mlp
from initbench.seeding import own_generators, stream


def _mlp(architecture: Architecture, activation: Callable[[Tensor], Tensor], norm: str | None) -> nn.Module:
    module = Perceptron(_n_features(architecture), architecture.n_classes, architecture.width, norm, activation)
    return _seeing_one_hot(module, architecture)


def _n_features(architecture: Architecture) -> int:
    return architecture.sample_shape[0] * (architecture.vocabulary or 1)


def _seeing_one_hot(module: nn.Module, architecture: Architecture) -> nn.Module:
    """The module, to which the characters of a text are given as one-hot vectors of mean square 1."""
    if architecture.vocabulary:
        module.register_forward_pre_hook(partial(_one_hot, architecture.vocabulary))
    return module


def _one_hot(vocabulary: int, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
    (x,) = args
    one_hot = (x.unsqueeze(-1) == torch.arange(vocabulary, device=x.device)).to(torch.get_default_dtype())
    return (one_hot.mul_(math.sqrt(vocabulary)).flatten(1),)


def _cnn(architecture: Architecture, activation: Callable[[Tensor], Tensor], **settings: Any) -> nn.Module:
    channels, height, width = architecture.sample_shape
    return CNN((channels, height, width), architecture.n_classes, architecture.depth, activation=activation, **settings)


def _residual_mlp(
    architecture: Architecture, activation: Callable[[Tensor], Tensor], layers: int, norm: str | None = None
) -> nn.Module:
    module = residual_mlp(
        _n_features(architecture),
        architecture.n_classes,
        architecture.depth,
        architecture.width[0],
        layers,
        activation,
        norm,
    )
    return _seeing_one_hot(module, architecture)


def _residual_cnn(architecture: Architecture, activation: Callable[[Tensor], Tensor], **settings: Any) -> nn.Module:
    channels, height, width = architecture.sample_shape
    return residual_cnn(
        (channels, height, width), architecture.n_classes, architecture.depth, activation=activation, **settings
    )


def _lstm(architecture: Architecture, activation: Callable[[Tensor], Tensor]) -> nn.Module:
    return LSTM(architecture.vocabulary, architecture.n_classes, architecture.depth, architecture.width[0])


def _own(
    architecture: Architecture,
    activation: Callable[[Tensor], Tensor],
    path: str,
    function: str,
    code: str,
    channels: str = "first",
) -> nn.Module:
    shape = architecture.sample_shape
    last = channels == "last" and len(shape) == 3
    module = _loaded(path, code, function)((*shape[1:], shape[0]) if last else shape, architecture.n_classes)
    if not isinstance(module, nn.Module):
        raise InputError(f"{path}:{function} must return an nn.Module; got {type(module).__name__}")
    if last:
        module.register_forward_pre_hook(_channels_last)
    if any(is_lazy(param) for param in module.parameters()):
        # What they draw is theirs, and from the module's own stream.
        with torch.no_grad():
            module.eval()(inputs(architecture, 2))
    return module


def _channels_last(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].movedim(1, -1), *args[1:])


def inputs(architecture: Architecture, batch: int) -> Tensor:
    """A batch of zeros, of the shape and type that the network is given."""
    return torch.zeros(batch, *architecture.sample_shape, dtype=torch.int64 if architecture.vocabulary else None)


def output_of(result: Any) -> Any:
    """What a network predicts: what it returns, or the first tensor of several, or what it calls its logits."""
    if isinstance(result, tuple | list):
        return next((one for one in result if isinstance(one, Tensor)), result)
    if isinstance(result, Mapping):
        return result.get("logits", result)
    return getattr(result, "logits", result)


# Enough to tell most functions that make another network each time, before anything is trained.
_SOME_SEEDS = (0, 1, 2)

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "residual_mlp": _residual_mlp,
    "residual_cnn": _residual_cnn,
    "lstm": _lstm,
    "module": _own,
}


def build(architecture: Architecture, seed: int = 0) -> nn.Module:
    """A module of this architecture on the CPU, its own initial values drawn from the stream ``(seed, "module")``.

    Raises:
        InputError: a user's file or function fails.
        MemoryError: the network does not fit.
    """
    activation = torch_function(architecture.activation, dict(architecture.activation_params))
    with own_generators(stream(seed, "module")), in_one_line(where(architecture)):
        return BUILDERS[architecture.model](architecture, activation, **dict(architecture.settings))


def template(architecture: Architecture, seed: int = 0) -> nn.Module:
    """The module of :func:`build`, to be copied and not changed: ours is one for all seeds, as all of it is drawn.

    Raises:
        InputError: a user's function makes another network for this seed than for the first.
    """
    if architecture.model != "module" or not seed:
        return _template(architecture, 0)
    made, first = _template(architecture, seed), _shapes(_template(architecture, 0))
    if (found := _shapes(made)) != first:
        name = next(name for name in (*first, *found) if first.get(name) != found.get(name))
        raise InputError(
            f"{where(architecture)} makes another network for each seed: {name} has shape "
            f"{_as_text(first.get(name))} or {_as_text(found.get(name))}; let nothing but the weights be random"
        )
    return made


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in (*module.named_parameters(), *module.named_buffers())}


def _as_text(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else "x".join(map(str, shape)) or "one number"


@lru_cache(maxsize=16)
def _template(architecture: Architecture, seed: int) -> nn.Module:
    return build(architecture, seed)


def check(architecture: Architecture, batch: int) -> None:
    """Train and evaluate the module once, on as few samples as it will ever be trained on.

    Raises:
        InputError: it fails, answers in another shape, or draws random numbers in evaluation, so that it has no score.
    """
    name = where(architecture)
    # A user's file has now been run, and is not again.
    for seed in _SOME_SEEDS:
        template(architecture, seed)
    module = build(architecture)
    other = [name for name, p in module.named_parameters() if p.dtype != torch.float32]
    if other:
        raise InputError(f"{name}: {other[0]} is not of type float32")
    trained = [p for p in module.parameters() if p.requires_grad]
    x = inputs(architecture, batch)
    expected: list[tuple[int, ...]] = [(batch, architecture.n_classes)]
    if architecture.vocabulary:
        # A prediction after every character, as language models have it.
        expected.append((batch, *architecture.sample_shape, architecture.n_classes))
    with own_generators(stream(0, "dropout")):
        for training in (True, False):
            before = global_states()
            with in_one_line(f"{name} on {batch} sample{'s' * (batch > 1)}"), torch.set_grad_enabled(training):
                logits = output_of(module.train(training)(x))
            if not isinstance(logits, Tensor) or tuple(logits.shape) not in expected:
                got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise InputError(f"{name} must return logits of shape {' or '.join(map(str, expected))}; got {got}")
            if training and trained:
                with in_one_line(f"{name} cannot be trained"):
                    torch.autograd.grad(logits, trained, torch.ones_like(logits), allow_unused=True)
            if not training and logits.dim() == 3 and _sees_ahead(module, x, logits):
                raise InputError(
                    f"{name} changes what it predicts after a character with those that come later; mask these, or "
                    "return the prediction after the last one alone"
                )
            if not training and before != global_states():
                raise InputError(f"{name} draws random numbers in evaluation; its scores could not be repeated")


def _sees_ahead(module: nn.Module, x: Tensor, logits: Tensor) -> bool:
    """Whether predictions after every character but the last change with the last one."""
    other = x.clone()
    other[:, -1] += 1
    with torch.no_grad():
        later: Tensor = output_of(module(other))
    return not torch.allclose(later[:, :-1], logits[:, :-1], rtol=1e-3, atol=1e-6, equal_nan=True)


@lru_cache(maxsize=16)
def draws(architecture: Architecture) -> bool:
    """Whether the networks draw random numbers in training, as dropout does. What cannot be said counts as yes."""
    if architecture.model != "module":
        return False
    module = build(architecture)
    with own_generators(stream(0, "dropout")):
        before = global_states()
        try:
            output_of(module.train()(inputs(architecture, 2))).sum().backward()
        # That it fails on two samples, or cannot be trained, is said by whoever checks it.
        except Exception:
            return True
        return before != global_states()


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

    # The identity, where a norm could be, puts nothing out that is not there already.
    for part in (part for part in module.modules() if not isinstance(part, nn.Identity)):
        part.register_forward_hook(count)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.eval()(inputs(architecture, 1))
    # A module of a user's need not serve a single sample: then a product for each weight must do.
    except Exception:
        return 2 * sum(param.numel() for param in module.parameters()), numbers
    # Of recurrent layers nothing is counted: a product for each weight and step.
    least = 2 * sum(param.numel() for param in module.parameters())
    return counter.get_total_flops() or least * architecture.sample_shape[0], numbers


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
