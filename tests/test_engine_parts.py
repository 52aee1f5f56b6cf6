"""The parts of the engine by themselves: compiled activations, schedules."""

import numpy as np
import pytest
import torch
from torch import nn

from initbench.activations import ACTIVATIONS, torch_function
from initbench.engine.compiled.activations import KERNELS, activate
from initbench.engine.job import schedule_factor


def test_every_activation_is_compiled() -> None:
    assert set(KERNELS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_activations_are_the_definitions(name: str) -> None:
    tiny = np.logspace(-30, -1, 200)
    x = np.concatenate([np.linspace(-30, 30, 20001), tiny, -tiny, [0.0]]).astype(np.float32)
    parameter = next(iter(ACTIVATIONS[name].defaults.values()), 0.0)
    value, slope = x.copy(), np.empty_like(x)
    activate(KERNELS.index(name), np.float32(parameter), value, slope)
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = torch_function(name)(leaf)
    (expected_slope,) = torch.autograd.grad(expected.sum(), leaf)
    # float32 resolves 6e-8 of a number; the steps of a formula add up to a few of these, relative to the largest term:
    # to the value itself, but for gelu to its input, since it multiplies that with a sum that cancels for x < 0.
    scale = np.abs(x) if name == "gelu" else np.abs(expected.detach().numpy())
    assert (np.abs(value - expected.detach().numpy()) <= 6e-7 * scale + 1e-37).all()
    # At a kink every slope between those beside it is right; at 0 all take the left one.
    smooth = ~np.isin(x, ACTIVATIONS[name].kinks)
    np.testing.assert_allclose(slope[smooth], expected_slope[smooth], rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_compiled_activations_show_what_is_not_a_number(name: str) -> None:
    value = np.array([np.nan, 1.0], np.float32)
    activate(KERNELS.index(name), np.float32(0.1), value, np.empty_like(value))
    assert np.isnan(value[0])
    assert np.isfinite(value[1])


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_schedules_are_torchs(name: str, warmup: int) -> None:
    total = 20
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    after = {
        "constant": torch.optim.lr_scheduler.ConstantLR(opt, factor=1.0),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(opt, total - warmup),
        "linear": torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, total - warmup),
    }[name]
    expected = [(step + 1) / warmup for step in range(warmup)]
    for _ in range(total - warmup):
        expected.append(opt.param_groups[0]["lr"])
        opt.step()
        after.step()
    assert [schedule_factor(name, step, total, warmup) for step in range(total)] == pytest.approx(expected)
