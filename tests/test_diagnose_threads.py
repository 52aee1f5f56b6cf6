"""Threads of people whose models do not train: ``diagnose`` names the layer and the cause, and its line mends it."""

import importlib
import math
import pkgutil
from types import ModuleType

import pytest
import threads
import torch
from torch import nn

import initbench
from initbench.api.diagnose import Diagnosis

NAMES = sorted(one.name for one in pkgutil.iter_modules(threads.__path__))


def thread(name: str) -> ModuleType:
    return importlib.import_module(f"threads.{name}")


def diagnosed(of: ModuleType, model: nn.Module | None = None) -> Diagnosis:
    torch.manual_seed(1)
    x, y = of.data()
    return initbench.diagnose(model or of.build, x, y)


def mended(of: ModuleType, seed: int, found: Diagnosis) -> nn.Module:
    torch.manual_seed(seed)
    model = of.build()
    target = of.data()[1]
    (finding,) = [one for one in found.findings if (one.check, one.where) == (of.CHECK, of.WHERE)]
    exec("\n".join(finding.lines), {"model": model, "torch": torch, "initbench": initbench, "target": target})
    return model


def trained(of: ModuleType, model: nn.Module, seed: int) -> float:
    """The loss after some steps of Adam on one batch; infinite where it is no number."""
    torch.manual_seed(seed + 100)
    x, y = of.data()
    loss = (
        nn.functional.binary_cross_entropy_with_logits if y.dtype == torch.bool
        else nn.functional.mse_loss if y.is_floating_point()
        else lambda logits, y: nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten())
    )  # fmt: skip
    rule = torch.optim.Adam(model.parameters(), lr=of.LR)
    for _ in range(of.STEPS):
        rule.zero_grad()
        loss(model(x), y.float() if y.dtype == torch.bool else y).backward()
        rule.step()
    with torch.no_grad():
        value = float(loss(model(x), y.float() if y.dtype == torch.bool else y))
    return value if math.isfinite(value) else math.inf


@pytest.mark.parametrize("name", NAMES)
def test_the_layer_and_the_cause_are_named(name: str) -> None:
    of = thread(name)
    found = diagnosed(of)
    assert (of.CHECK, of.WHERE) in {(one.check, one.where) for one in found.findings}, repr(found)
    again = diagnosed(of, mended(of, 0, found))
    assert of.CHECK not in {one.check for one in again.findings if one.where == of.WHERE}, repr(again)


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(thread(name), "STEPS")])
def test_the_line_mends_it(name: str) -> None:
    of = thread(name)
    found = diagnosed(of)
    for seed in range(3):
        torch.manual_seed(seed)
        as_it_was = trained(of, of.build(), seed)
        assert trained(of, mended(of, seed, found), seed) < 0.9 * as_it_was, seed


def test_there_are_enough_threads() -> None:
    assert len(NAMES) >= 12
    assert len({thread(name).LINK for name in NAMES}) == len(NAMES)
    assert sum(hasattr(thread(name), "STEPS") for name in NAMES) >= 10
