"""Measure what torch, Keras and JAX draw under each name, and write it to framework_moments.json.

Some names are measured with parameters too, in our names for them: ``truncated_normal std=0.02``.

Run by hand, once per framework release, in an environment that has one of the frameworks or all:

    python tests/measure_frameworks.py

The tests read the numbers; they import neither Keras nor JAX.
"""

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Draw = Callable[[tuple[int, ...], int], np.ndarray]

FILE = Path(__file__).with_name("framework_moments.json")
# In torch's layout. Rectangular, so that fan_in and fan_out tell each other apart.
SHAPES = ((256, 1024), (64, 32, 3, 3))
N_DRAWS = 8


def torch_draws() -> Iterator[tuple[str, Draw]]:
    import torch
    from torch.nn import init

    def draw(function: Callable[..., Any], **params: Any) -> Draw:
        def filled(shape: tuple[int, ...], seed: int) -> np.ndarray:
            torch.manual_seed(seed)
            return function(torch.empty(shape), **params).numpy()

        return filled

    def default(shape: tuple[int, ...], seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        layer = torch.nn.Linear(shape[1], shape[0]) if len(shape) == 2 else torch.nn.Conv2d(shape[1], shape[0], 3)
        return layer.weight.detach().numpy()

    yield "default", default
    yield "normal", draw(init.normal_)
    yield "uniform", draw(init.uniform_)
    yield "truncated_normal", draw(init.trunc_normal_)
    yield "xavier_normal", draw(init.xavier_normal_)
    yield "xavier_uniform", draw(init.xavier_uniform_)
    yield "he_normal", draw(init.kaiming_normal_)
    yield "he_uniform", draw(init.kaiming_uniform_)
    yield "orthogonal", draw(init.orthogonal_)
    yield "sparse", draw(init.sparse_, sparsity=0.1)
    yield "identity", draw(init.eye_)
    yield "dirac", draw(init.dirac_)
    yield "normal mean=1 std=0.02", draw(init.normal_, mean=1.0, std=0.02)
    yield "truncated_normal std=0.02", draw(init.trunc_normal_, std=0.02)
    yield "truncated_normal std=2 mean=0.5 low=-1 high=3", draw(init.trunc_normal_, std=2.0, mean=0.5, a=-1.0, b=3.0)
    yield "xavier_normal gain=2", draw(init.xavier_normal_, gain=2.0)
    yield "he_normal mode=fan_out", draw(init.kaiming_normal_, mode="fan_out")
    yield "orthogonal gain=2", draw(init.orthogonal_, gain=2.0)
    yield "sparse sparsity=0.5 std=1", draw(init.sparse_, sparsity=0.5, std=1.0)


def keras_draws() -> Iterator[tuple[str, Draw]]:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from keras import initializers, layers

    def draw(make: Callable[..., Any], **params: Any) -> Draw:
        def filled(shape: tuple[int, ...], seed: int) -> np.ndarray:
            return to_torch_layout(np.asarray(make(seed=seed, **params)(to_keras_layout(shape))))

        return filled

    def default(shape: tuple[int, ...], seed: int) -> np.ndarray:
        layer = layers.Dense(shape[0]) if len(shape) == 2 else layers.Conv2D(shape[0], 3)
        layer.kernel_initializer.seed = seed
        layer.build((None, *((9, 9) if len(shape) > 2 else ()), shape[1]))
        return to_torch_layout(np.asarray(layer.kernel))

    yield "default", default
    yield "normal", draw(initializers.RandomNormal)
    yield "uniform", draw(initializers.RandomUniform)
    yield "truncated_normal", draw(initializers.TruncatedNormal)
    yield "variance_scaling", draw(initializers.VarianceScaling)
    yield "lecun_normal", draw(initializers.LecunNormal)
    yield "lecun_uniform", draw(initializers.LecunUniform)
    yield "xavier_normal", draw(initializers.GlorotNormal)
    yield "xavier_uniform", draw(initializers.GlorotUniform)
    yield "he_normal", draw(initializers.HeNormal)
    yield "he_uniform", draw(initializers.HeUniform)
    yield "orthogonal", draw(initializers.Orthogonal)
    yield "identity", draw(lambda seed: initializers.Identity())
    yield "normal mean=1 std=0.02", draw(initializers.RandomNormal, mean=1.0, stddev=0.02)
    yield "truncated_normal std=0.02", draw(initializers.TruncatedNormal, stddev=0.02)
    yield "truncated_normal std=3", draw(initializers.TruncatedNormal, stddev=3.0)
    yield "orthogonal gain=2", draw(initializers.Orthogonal, gain=2.0)
    yield (
        "variance_scaling scale=2 mode=fan_avg distribution=uniform",
        draw(initializers.VarianceScaling, scale=2.0, mode="fan_avg", distribution="uniform"),
    )


def jax_draws() -> Iterator[tuple[str, Draw]]:
    import jax
    from jax.nn import initializers

    def draw(function: Callable[..., Any]) -> Draw:
        def filled(shape: tuple[int, ...], seed: int) -> np.ndarray:
            return to_torch_layout(np.asarray(function(jax.random.key(seed), to_keras_layout(shape))))

        return filled

    yield "normal", draw(initializers.normal())
    yield "uniform", draw(initializers.uniform())
    yield "truncated_normal", draw(initializers.truncated_normal())
    for name in ("lecun_normal", "lecun_uniform", "xavier_normal", "xavier_uniform", "he_normal", "he_uniform"):
        yield name, draw(getattr(initializers, name)())
    yield "orthogonal", draw(initializers.orthogonal())
    yield "delta_orthogonal", draw(initializers.delta_orthogonal())
    yield "normal std=0.02", draw(initializers.normal(0.02))
    yield "truncated_normal std=0.02", draw(initializers.truncated_normal(0.02))
    yield "truncated_normal std=3", draw(initializers.truncated_normal(3.0))
    yield "orthogonal gain=2", draw(initializers.orthogonal(2.0))


def to_keras_layout(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``[*kernel, in, out]``."""
    return (*shape[2:], shape[1], shape[0])


def to_torch_layout(weight: np.ndarray) -> np.ndarray:
    return np.moveaxis(weight, (-1, -2), (0, 1))


def moments(draw: Draw, shape: tuple[int, ...]) -> dict[str, float]:
    """Of all entries of several draws, in float64."""
    w = np.concatenate([draw(shape, seed).astype(np.float64).ravel() for seed in range(N_DRAWS)])
    centred = w - w.mean()
    return {
        "n": w.size,
        "mean": float(w.mean()),
        "std": float(w.std()),
        "kurtosis": float(np.mean(centred**4) / np.mean(centred**2) ** 2),
        "max": float(np.abs(w).max()),
        "zeros": float((w == 0).mean()),
    }


def main() -> None:
    measured = json.loads(FILE.read_text()) if FILE.exists() else {}
    for framework, draws in (("torch", torch_draws), ("keras", keras_draws), ("jax", jax_draws)):
        try:
            version = importlib.metadata.version(framework)
        except importlib.metadata.PackageNotFoundError:
            continue
        laws: dict[str, Any] = {}
        for name, draw in draws():
            for shape in SHAPES:
                # A law that refuses a shape has no moments there.
                with contextlib.suppress(ValueError, TypeError):
                    laws.setdefault(name, {})["x".join(map(str, shape))] = moments(draw, shape)
        measured[framework] = {"version": version, "laws": laws}
    FILE.write_text(json.dumps(measured, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
