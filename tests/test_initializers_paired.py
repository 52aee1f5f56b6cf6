"""Mirrored and sinusoidal weights: what they make of a network, in float64 and by autograd."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import initbench
from initbench.errors import InputError
from initbench.initializers import draw
from initbench.seeding import stream
from initbench.settings.compose import compose
from initbench.settings.request import request


def weight(law: str, *shape: int, seed: int = 0, **params: object) -> torch.Tensor:
    return torch.from_numpy(draw(law, shape, stream(seed, "init", "w"), **params).astype(np.float64))


def network(init: str, activation: Callable[[], torch.nn.Module], *sizes: int) -> torch.nn.Sequential:
    """A perceptron in float64 that starts as a run's would, without biases."""
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), activation()]
    module = torch.nn.Sequential(*layers[:-1]).double()
    initbench.initialize(module, init, activation="relu")
    return module


def inputs(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(16, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SLOPES = {"relu": 0.0, "leaky_relu": 0.2}


@pytest.mark.parametrize("slope", SLOPES.values(), ids=SLOPES)
def test_a_network_that_looks_linear_is_linear_and_keeps_norms(slope: float) -> None:
    # Half as many rows as units never get fewer, so nothing is lost; each layer of activations multiplies by 1 + slope.
    sizes = (20, 48, 48, 64, 64, 40)
    module = network("looks_linear", lambda: torch.nn.LeakyReLU(slope), *sizes)
    x, y = inputs(20, 0), inputs(20, 1)
    # Weights are rounded to float32 once, and their products err by some 1e-7 of the norm.
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(module(-x), -module(x), **close)
    torch.testing.assert_close(module(2 * x - 3 * y), 2 * module(x) - 3 * module(y), **close)
    jacobian = torch.autograd.functional.jacobian(module, x[0]) / (1 + slope) ** 4
    torch.testing.assert_close(jacobian.T @ jacobian, torch.eye(20, dtype=torch.float64), **close)


def test_a_network_that_looks_linear_at_any_depth() -> None:
    module = network("looks_linear", torch.nn.ReLU, 16, *[32] * 100, 16)
    jacobian = torch.autograd.functional.jacobian(module, inputs(16)[0])
    # 101 products of matrices that are orthogonal to 1e-7.
    torch.testing.assert_close(jacobian.T @ jacobian, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-4)
    he = torch.autograd.functional.jacobian(network("he", torch.nn.ReLU, 16, *[32] * 100, 16), inputs(16)[0])
    assert torch.linalg.cond(he) > 1e6


def test_the_layers_of_a_network_that_looks_linear() -> None:
    module = network("looks_linear", torch.nn.ReLU, 5, 8, 8, 3)
    first, hidden, last = (layer.weight for layer in module if isinstance(layer, torch.nn.Linear))
    assert torch.equal(first[:4], -first[4:])
    assert torch.equal(hidden, torch.cat([torch.cat([hidden[:4, :4], -hidden[:4, :4]], 1)] * 2) * _signs(8))
    assert torch.equal(last[:, :4], -last[:, 4:])
    # A single layer, first and last, has no pairs.
    (alone,) = network("looks_linear", torch.nn.ReLU, 6, 3)
    torch.testing.assert_close(alone.weight @ alone.weight.T, torch.eye(3).double(), rtol=0, atol=1e-6)


def _signs(size: int) -> torch.Tensor:
    """1 for the upper half of the rows, −1 for the lower."""
    return torch.where(torch.arange(size)[:, None] < size // 2, 1.0, -1.0).double()


def test_convolutions_that_look_linear_are() -> None:
    conv = torch.nn.Conv2d
    module = torch.nn.Sequential(
        conv(1, 8, 3, padding=1), torch.nn.ReLU(), conv(8, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(6 * 16, 10),
    ).double()  # fmt: skip
    initbench.initialize(module, "looks_linear")
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert module(x).abs().max() > 0.01
    torch.testing.assert_close(module(-x), -module(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("init", "sizes"), [("looks_linear", (8, 7, 3)), ("mirrored", (8, 8, 3))])
def test_odd_widths_are_refused_in_one_line(init: str, sizes: tuple[int, ...]) -> None:
    odd = next(size for size in sizes if size % 2)
    with pytest.raises(InputError, match=f"'{init}' on .*: units come in pairs, .* must be even; got {odd}"):
        network(init, torch.nn.ReLU, *sizes)


def test_the_scheme_is_for_its_law_and_for_whole_networks() -> None:
    for override, message in {
        "init=he init.scheme=looks_linear": "init 'he': scheme 'looks_linear' is for the law 'mirrored'",
        "init_output=looks_linear": "init_output 'looks_linear' is for the layers of a whole network; use init=looks",
    }.items():
        with pytest.raises(InputError, match=message):
            request(compose(override.split()))


@pytest.mark.parametrize("base", ["orthogonal", "normal"])
def test_the_law_under_the_mirror_has_its_own_variance(base: str) -> None:
    for mirror, std in (("none", 1 / math.sqrt(512)), ("rows", 1 / math.sqrt(512)), ("both", 1 / 16)):
        drawn = weight("mirrored", 256, 512, mirror=mirror, base=base)
        # Of 32,768 entries the standard deviation strays by 0.4 %.
        assert drawn.std().item() == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("n", [8, 32, 128])
def test_a_square_sinusoidal_weight_is_linear_behind_a_relu(n: int) -> None:
    w = weight("sinusoidal", n, n)
    assert torch.linalg.matrix_rank(w).item() == n // 2 - 1
    assert int((w == 0).all(1).sum()) == 2
    z = w @ inputs(n).T
    assert (w @ torch.relu(z) - w @ z / 2).abs().max() < 1e-10 * z.abs().max()
    # Waves of whole periods are orthogonal: with √2, an isometry but for the zero rows, which the variance counts.
    after = math.sqrt(2) * w @ torch.relu(z)
    ratio = after.norm(dim=0) / z.norm(dim=0)
    torch.testing.assert_close(
        ratio, torch.full_like(ratio, math.sqrt(n / (n - 2) * (1 - 1 / n**2))), rtol=1e-6, atol=0
    )


def test_a_sinusoidal_weight_of_fewer_rows_is_semi_orthogonal() -> None:
    w = weight("sinusoidal", 128, 784)
    gram = w @ w.T
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(128).double(), rtol=0, atol=1e-6)


def test_a_sinusoidal_weight_is_the_formula_evaluated_plainly() -> None:
    for shape in ((6, 9), (12, 5), (128, 128), (4, 3, 3, 3)):
        m, n = shape[0], math.prod(shape[1:])
        i, j = torch.arange(1, m + 1).double()[:, None], torch.arange(n).double()
        wave = torch.sin(i * (2 * math.pi * j / n + 2 * math.pi / m))
        expected = wave * torch.sqrt(2 / (wave.var() * (m + n)))
        torch.testing.assert_close(weight("sinusoidal", *shape).reshape(m, n), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_sinusoidal_weight_of_nothing_but_zeros_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="every wave is sampled at its zeros"):
        weight("sinusoidal", *shape)


def test_the_identity_for_tanh_repeats_along_the_longer_side() -> None:
    for shape in ((4, 10), (10, 4), (5, 5)):
        w = weight("tanh_identity", *shape, noise=1e-6)
        assert torch.equal(w.round(), torch.eye(4 if 4 in shape else 5).double().repeat(3, 3)[: shape[0], : shape[1]])
    for mode, fan in (("fan_out", 100), ("fan_in", 400)):
        w = weight("tanh_identity", 100, 400, mode=mode)
        noise = w - w.round()
        # Of 40,000 entries: 0.35 %.
        assert noise.std().item() == pytest.approx(0.085 / math.sqrt(fan), rel=0.02)
