import numpy as np
import pytest
import torch
from scipy.integrate import quad

from initbench.activations import ACTIVATIONS, rms_gain, torch_function, torch_gain
from initbench.config import option_files

# E[φ(z)²] to four digits; a table that does not come from this code.
SECOND_MOMENTS = {
    "relu": 0.5, "leaky_relu": 0.5001, "elu": 0.6449, "selu": 1.0, "gelu": 0.4252, "silu": 0.3558, "tanh": 0.3943,
    "sigmoid": 0.2934, "softsign": 0.1830, "softplus": 0.9212, "identity": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_and_numpy_agree(name: str) -> None:
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    expected = ACTIVATIONS[name].function(x.numpy())
    np.testing.assert_allclose(torch_function(name)(x).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_parameters_reach_both() -> None:
    x = torch.linspace(-3, 3, 101, dtype=torch.float64)
    for name, params in (("leaky_relu", {"negative_slope": 0.2}), ("elu", {"alpha": 0.7})):
        expected = ACTIVATIONS[name].function(x.numpy(), **params)
        np.testing.assert_allclose(torch_function(name, params)(x).numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_rms_gain_is_the_integral(name: str) -> None:
    phi = ACTIVATIONS[name].function
    density = lambda z: phi(np.array(z)) ** 2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    second_moment = quad(density, -12, 0, epsabs=1e-12)[0] + quad(density, 0, 12, epsabs=1e-12)[0]
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
