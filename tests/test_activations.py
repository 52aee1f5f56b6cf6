import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from initbench.activations import (
    ACTIVATIONS,
    critical_gain,
    gaussian_mean,
    kurtosis,
    rms_gain,
    tat_slope,
    torch_function,
    torch_gain,
)
from initbench.settings.options import option_files

# E[φ(z)²] to four digits; a table that does not come from this code.
SECOND_MOMENTS = {
    "relu": 0.5,
    "leaky_relu": 0.5001,
    "elu": 0.6449,
    "selu": 1.0,
    "gelu": 0.4252,
    "silu": 0.3558,
    "mish": 0.4523,
    "tanh": 0.3943,
    "sigmoid": 0.2934,
    "softsign": 0.1830,
    "softplus": 0.9212,
    "identity": 1.0,
    "hardswish": 0.3316,
    "tat": 1.0,
}

OTHER_PARAMETERS = {
    "leaky_relu": {"negative_slope": 0.2},
    "tat": {"negative_slope": 0.4},
    "elu": {"alpha": 0.7},
}

# The slope that maps the correlation 0 to eta over so many layers, solved elsewhere to four digits.
TAT_SLOPES = {
    (20, 0.9): 0.1814,
    (30, 0.9): 0.3027,
    (50, 0.9): 0.4305,
    (100, 0.9): 0.5704,
    (200, 0.9): 0.6796,
    (10, 0.8): 0.1477,
    (50, 0.8): 0.5483,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_and_numpy_agree(name: str) -> None:
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    expected = ACTIVATIONS[name].function(x.numpy())
    np.testing.assert_allclose(torch_function(name)(x).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_parameters_reach_both() -> None:
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    for name, params in (
        ("leaky_relu", {"negative_slope": 0.2}),
        ("tat", {"negative_slope": 0.4}),
        ("elu", {"alpha": 0.7}),
    ):
        expected = ACTIVATIONS[name].function(x.numpy(), **params)
        np.testing.assert_allclose(torch_function(name, params)(x).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rms_gain_is_the_integral(name: str) -> None:
    phi = ACTIVATIONS[name].function
    density = lambda z: phi(np.array(z)) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    edges = sorted([-12, 0, 12, *ACTIVATIONS[name].kinks])
    second_moment = sum(quad(density, *piece, epsabs=1e-12)[0] for piece in itertools.pairwise(edges))
    assert rms_gain(name) == pytest.approx(second_moment**-0.5, rel=1e-9)
    assert second_moment == pytest.approx(SECOND_MOMENTS[name], abs=6e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_gain_is_torchs(name: str) -> None:
    try:
        expected = torch.nn.init.calculate_gain("linear" if name == "identity" else name)  # type: ignore[arg-type]
    except ValueError:
        expected = None
    assert torch_gain(name) == (None if expected is None else pytest.approx(expected))


def test_every_activation_has_its_file() -> None:
    assert set(option_files("activation")) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_autograds(name: str) -> None:
    # An even number of points: none of them is 0, where relu and leaky_relu have no derivative.
    x = torch.linspace(-8, 8, 1000, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(torch_function(name)(x).sum(), x)
    np.testing.assert_allclose(ACTIVATIONS[name].derivative(x.detach().numpy()), expected, rtol=1e-12, atol=1e-12)


def test_derivatives_take_the_parameters() -> None:
    for name, params in (
        ("leaky_relu", {"negative_slope": 0.2}),
        ("tat", {"negative_slope": 0.4}),
        ("elu", {"alpha": 0.7}),
    ):
        x = torch.linspace(-3, 3, 100, dtype=torch.float64, requires_grad=True)
        (expected,) = torch.autograd.grad(torch_function(name, params)(x).sum(), x)
        derivative = ACTIVATIONS[name].derivative(x.detach().numpy(), **params)
        np.testing.assert_allclose(derivative, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variance", [1e-4, 1.0, 4.0, 1e4])
def test_a_mean_is_exact_where_the_kinks_are_known(variance: float) -> None:
    # E[clip(x + 3, 0, 6)] is 3 by symmetry; E[max(x − 1, 0)] is a call's price: σ·density(1/σ) − P(x > 1).
    assert gaussian_mean(lambda x: np.clip(x + 3, 0, 6), variance, (-3, 3)) == pytest.approx(3, rel=1e-12)
    sigma = variance**0.5
    density, tail = np.exp(-0.5 / variance) / np.sqrt(2 * np.pi), 0.5 * math.erfc(1 / sigma / 2**0.5)
    price = gaussian_mean(lambda x: np.maximum(x - 1, 0), variance, (1,))
    assert price == pytest.approx(sigma * density - tail, rel=1e-10, abs=1e-30)


def test_kurtosis_is_the_one_of_relu_and_of_the_identity() -> None:
    assert kurtosis("relu") == pytest.approx(6, rel=1e-9)
    assert kurtosis("identity") == pytest.approx(3, rel=1e-9)


# σ_w on the edge of chaos, at these σ_b.
SIGMA_B = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
CRITICAL = {
    "tanh": (1.0000, 1.1225, 1.1934, 1.3041, 1.3956, 1.5497),
    "silu": (2.0000, 1.9050, 1.8201, 1.6795, 1.5756, 1.4569),
    "gelu": (2.0000, 1.8519, 1.7271, 1.5470, 1.4505, 1.3999),
    "elu": (1.0000, 1.1319, 1.1761, 1.2293, 1.2631, 1.3061),
    "mish": (1.6667, 1.5972, 1.5410, 1.4634, 1.4211, 1.3934),
    "selu": (0.6905, 0.8220, 0.8719, 0.9375, 0.9837, 1.0496),
    "softsign": (1.0000, 1.3611, 1.5129, 1.7296, 1.8975, 2.1662),
}


@pytest.mark.parametrize("name", CRITICAL)
def test_critical_pairs_are_the_published_ones(name: str) -> None:
    solved = [critical_gain(name, sigma_b) for sigma_b in SIGMA_B]
    assert solved == pytest.approx(CRITICAL[name], abs=1e-3)


def test_critical_pairs_where_there_is_one_or_none() -> None:
    assert critical_gain("tanh", 0.05**0.5) ** 2 == pytest.approx(1.761, abs=1e-3)
    assert critical_gain("relu") == pytest.approx(2**0.5)
    assert critical_gain("leaky_relu", params={"negative_slope": 0.2}) == pytest.approx(1.3868, abs=1e-4)
    assert critical_gain("sigmoid") == pytest.approx(10.15, abs=1e-2)
    for name in ("relu", "leaky_relu", "identity"):
        assert critical_gain(name, 0.1) is None
    assert critical_gain("softplus") is None


@pytest.mark.full
@pytest.mark.parametrize(("name", "sigma_b", "q"), [("tanh", 0.2, 0.512), ("tanh", 0.5, 1.318)])
def test_a_wide_and_deep_critical_network_stays_at_its_fixed_point(name: str, sigma_b: float, q: float) -> None:
    sigma_w = critical_gain(name, sigma_b)
    assert sigma_w is not None
    phi, derivative = ACTIVATIONS[name].function, ACTIVATIONS[name].derivative
    assert sigma_w**2 * gaussian_mean(lambda z: phi(z) ** 2, q) + sigma_b**2 == pytest.approx(q, abs=1e-3)
    rng = np.random.default_rng(0)
    width, depth = 1000, 30
    weights = [sigma_w / width**0.5 * rng.standard_normal((width, width)) for _ in range(depth)]
    z, slopes = q**0.5 * rng.standard_normal((16, width)), []
    for weight in weights:
        slopes.append(derivative(z))
        z = phi(z) @ weight.T + sigma_b * rng.standard_normal(width)
    assert np.mean(z**2) == pytest.approx(q, rel=0.1)
    gradient = rng.standard_normal((16, width))
    start = np.mean(gradient**2)
    for weight, slope in zip(reversed(weights), reversed(slopes), strict=True):
        gradient = gradient @ weight * slope
    assert (np.mean(gradient**2) / start) ** (1 / depth) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("depth", "eta"), TAT_SLOPES)
def test_the_slope_of_tat_is_the_one_solved_elsewhere(depth: int, eta: float) -> None:
    assert tat_slope(depth, eta) == pytest.approx(TAT_SLOPES[depth, eta], abs=6e-5)


def test_tat_needs_no_slope_where_a_relu_keeps_inputs_apart() -> None:
    # relu maps the correlation 0 to .3183, .7359, .8715 and .9879 over 1, 5, 10 and 50 layers.
    assert [tat_slope(depth, 0.9) for depth in (0, 1, 5, 10)] == [0.0] * 4
    assert tat_slope(5, 0.7360) == 0.0 < tat_slope(5, 0.7358)
    assert tat_slope(50, 0.98795) == 0.0 < tat_slope(50, 0.98785)


@pytest.mark.full
def test_a_wide_tat_network_maps_orthogonal_inputs_to_the_correlation_asked_for() -> None:
    # Orthogonal weights keep norms; what is left of the width in a correlation after 20 layers is a few times 1/√1024.
    rng, width, depth = np.random.default_rng(0), 1024, 20
    slope = tat_slope(depth, 0.9)
    x = np.linalg.qr(rng.standard_normal((width, 2)))[0].T
    for _ in range(depth):
        q, r = np.linalg.qr(rng.standard_normal((width, width)))
        x = ACTIVATIONS["tat"].function(x @ (q * np.sign(np.diag(r))).T, negative_slope=slope)
    correlation = x[0] @ x[1] / np.linalg.norm(x[0]) / np.linalg.norm(x[1])
    assert correlation == pytest.approx(0.9, abs=0.03)
