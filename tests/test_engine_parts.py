"""The parts of the engine by themselves: compiled activations, products, schedules, and what is compiled anew."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import initbench
from initbench.activations import ACTIVATIONS, torch_function
from initbench.engine.compiled import blas
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


def test_every_blas_is_as_accurate_as_float32() -> None:
    for route in blas.routes():
        assert blas.is_accurate(route), route.name
    assert blas.chosen().name in [route.name for route in blas.routes()]


def test_a_product_in_bfloat16_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(route: blas.Blas, a: Any, b: Any, times: int = 1) -> Any:
        return (torch.tensor(a).bfloat16() @ torch.tensor(b).bfloat16()).float().numpy()

    monkeypatch.setattr(blas, "product", rounded)
    assert not blas.is_accurate(blas.routes()[0])


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


TANH = """
import numpy as np
from initbench.engine.compiled.activations import KERNELS, activate
z = np.zeros(1)
activate(KERNELS.index("tanh"), 0.0, z, np.zeros(1))
print(z[0])
"""


@pytest.fixture
def of_a_copy(tmp_path: Path) -> Callable[[str], str]:
    """Runs code with a copy of the package, which a test may change, in a process of its own; gives what it prints."""
    package = Path(initbench.__file__).parent
    shutil.copytree(package, tmp_path / "initbench", ignore=shutil.ignore_patterns("__pycache__"))

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.mark.full
def test_code_that_was_compiled_with_an_older_function_is_not_used(
    tmp_path: Path, of_a_copy: Callable[[str], str]
) -> None:
    """Numba by itself keeps a function as long as its own file is the same, whatever becomes of those it calls."""
    folder = tmp_path / "initbench" / "engine" / "compiled"
    assert of_a_copy(TANH) == "0.0"
    (first,) = folder.glob("__pycache__/numba-*")
    other = (folder / "elementary.py").read_text().replace("math.tanh(x)", "math.tanh(x) + 1.0")
    (folder / "elementary.py").write_text(other)
    assert of_a_copy(TANH) == "1.0"
    (second,) = folder.glob("__pycache__/numba-*")
    assert first != second


FOLDER = "from initbench.engine.compiled import elementary; print(elementary._folder())"


@pytest.mark.full
def test_a_changed_rule_is_compiled_anew(tmp_path: Path, of_a_copy: Callable[[str], str]) -> None:
    before = of_a_copy(FOLDER)
    assert before.startswith(str(tmp_path))
    assert of_a_copy(FOLDER) == before
    file = tmp_path / "initbench" / "engine" / "optimizers" / "sgd.py"
    file.write_text(file.read_text().replace("velocity[i] += grad[i]", "velocity[i] += 2 * grad[i]"))
    assert of_a_copy(FOLDER) != before
