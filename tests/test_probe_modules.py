"""``initbench.probe`` of modules of anyone: plain autograd says the same, and nothing of the module is changed."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import initbench
from initbench.errors import InputError

torchvision = pytest.importorskip("torchvision")


def resnet18() -> nn.Module:
    return torchvision.models.resnet18(num_classes=7)


def squeezenet() -> nn.Module:
    return torchvision.models.squeezenet1_1(num_classes=7)


def transformer() -> nn.Module:
    """That of torchvision, small."""
    model = torchvision.models.VisionTransformer(64, 16, 2, 4, 32, 48, num_classes=7)
    # Its last layer begins with zeros, and no gradient would come back.
    nn.init.normal_(model.heads.head.weight, std=0.1)
    return model


def images(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 3, size, size, generator=generator), torch.randint(0, 7, (5,), generator=generator)


@pytest.mark.full
@pytest.mark.parametrize("build", [resnet18, squeezenet, transformer])
def test_gradients_of_vision_models_are_those_of_autograd(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module, (x, y) = build(), images()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    seen = initbench.probe(module, x, target=y, lr=0.2)
    assert len(seen.names) >= 8
    # Not in place, so that autograd can be asked for what the layers put out.
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, given: Any, output: Any) -> None:
            outputs[name] = output[0] if isinstance(output, tuple) else output

        return hook

    for name, part in module.named_modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
        if name in seen.names:
            part.register_forward_hook(keep(name))
    loss = nn.functional.cross_entropy(module(x), y)
    assert seen.values["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert seen.values["loss_uniform"] == pytest.approx(np.log(7))
    grads = torch.autograd.grad(loss, list(outputs.values()), retain_graph=True)
    of_output = {name: float(grad.square().mean().sqrt()) for name, grad in zip(outputs, grads, strict=True)}
    loss.backward()
    by_name = dict(module.named_modules())
    for row, name in enumerate(seen.names):
        assert seen.layers["backward_rms"][row] == pytest.approx(of_output[name], rel=1e-3), name
        part = by_name[name]
        weights = [p for p in part.parameters() if p.dim() > 1]
        squares = sum(float(p.grad.square().sum()) for p in weights if p.grad is not None)
        rms = (squares / sum(p.numel() for p in weights)) ** 0.5
        assert seen.layers["weight_gradient_rms"][row] == pytest.approx(rms, rel=1e-3), name
        size = (sum(float(p.detach().square().sum()) for p in weights) / sum(p.numel() for p in weights)) ** 0.5
        assert seen.layers["update_ratio"][row] == pytest.approx(0.2 * rms / size, rel=1e-3), name


class Odd(nn.Module):
    """Everything that a probe could disturb: a dropout, running statistics, a frozen layer, several generators."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.activation, self.dropout = nn.ReLU(inplace=True), nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.first.weight.requires_grad_(False)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, Any]:
        self.calls += 1
        noise = np.random.rand() * random.random()  # noqa: NPY002
        h = self.dropout(self.activation(self.norm(self.first(left + right * noise))))
        return {"logits": (self.second(h), "a text"), "hidden": [h]}


@pytest.mark.parametrize("training", [True, False])
def test_a_module_is_as_it_was(training: bool) -> None:
    torch.manual_seed(0)
    module = Odd().train(training)
    module.second.train(not training)
    module.second.weight.grad = torch.full_like(module.second.weight, 7.0)
    state = {name: values.clone() for name, values in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    generators = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    batch = {"left": torch.randn(4, 6), "right": torch.randn(4, 6)}
    generators = (torch.get_rng_state(), *generators[1:])
    seen = initbench.probe(module, batch, lambda out: out["logits"][0].square().mean())
    assert seen.names == ["first", "second"]
    assert all(torch.equal(values, state[name]) for name, values in module.state_dict().items())
    assert modes == [part.training for part in module.modules()]
    assert torch.equal(module.second.weight.grad, torch.full_like(module.second.weight, 7.0))
    assert module.first.weight.grad is None
    assert not module.first.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert np.array_equal(np.random.get_state()[1], generators[1])  # noqa: NPY002
    assert random.getstate() == generators[2]
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in module.modules())
    assert not any(one.requires_grad or one.grad is not None for one in batch.values())
    # What is frozen gets no gradient, and hands one on all the same.
    frozen, trained = seen.layers["weight_gradient_rms"]
    assert np.isnan(frozen)
    assert trained > 0
    assert seen.layers["backward_rms"][0] > 0


def test_a_module_that_fails_is_as_it_was_too() -> None:
    class Failing(Odd):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, Any]:
            super().forward(left, right)
            raise ValueError("of its own")

    module = Failing()
    state = {name: values.clone() for name, values in module.state_dict().items()}
    with pytest.raises(InputError, match="of its own"):
        initbench.probe(module, [torch.randn(4, 6), torch.randn(4, 6)])
    assert all(torch.equal(values, state[name]) for name, values in module.state_dict().items())
    assert all(not part._forward_hooks for part in module.modules())


def test_dead_and_alike_units_are_seen() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 40), nn.ReLU(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 2))
    with torch.no_grad():
        module[0].bias[:10] = -1e3
        module[2].weight[:] = 0.1
        module[2].bias[:] = 0
        module[4].weight[:] = 0.1
    seen = initbench.probe(module, torch.randn(64, 5), target=torch.zeros(64, dtype=torch.int64))
    frame = seen.frame().set_index("layer")
    assert frame.loc["0", "dead"] == pytest.approx(10 / 40)
    assert frame.loc["2", "distinct"] == pytest.approx(1 / 30)
    assert frame.loc["0", "distinct"] > 0.5
    assert frame.loc["2", "effective_rank"] == pytest.approx(1, abs=0.5)
    assert "2" in repr(seen)
    assert "<table" in seen._repr_html_()


def test_a_jacobian_is_that_of_the_map() -> None:
    torch.manual_seed(0)
    module = nn.Linear(12, 5)
    seen = initbench.probe(module, torch.randn(6, 12))
    values = torch.linalg.svdvals(module.weight.detach())
    assert seen.values["jacobian_max"] == pytest.approx(float(values[0]), rel=1e-5)
    assert seen.values["jacobian_min"] == pytest.approx(float(values[-1]), rel=1e-5)
    assert seen.values["jacobian_condition"] == pytest.approx(float(values[0] / values[-1]), rel=1e-5)
    assert np.isnan(seen.values["loss"])


def test_the_first_step_is_that_of_the_optimizer() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 1))
    x, y = torch.randn(8, 5), torch.randn(8, 1)
    seen = initbench.probe(module, x, target=y, optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    # Adam's first step is lr wherever there is a gradient.
    for row, layer in enumerate((module[0], module[2])):
        expected = 0.01 / float(layer.weight.detach().square().mean().sqrt())
        assert seen.layers["update_ratio"][row] == pytest.approx(expected, rel=1e-3)
    assert "loss_uniform" not in seen.values


@pytest.mark.parametrize(
    ("module", "batch", "said"),
    [
        (nn.ReLU(), torch.ones(2, 3), "no module that has a weight"),
        (nn.Linear(3, 2), torch.ones(2, 4), "mat1 and mat2"),
        (lambda x: x, torch.ones(2, 3), "needs an nn.Module"),
    ],
)
def test_what_cannot_be_probed_is_told_in_one_line(module: Any, batch: torch.Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        initbench.probe(module, batch)
    assert "\n" not in str(error.value)


def test_a_loss_that_is_no_number_is_told() -> None:
    with pytest.raises(InputError, match="one number"):
        initbench.probe(nn.Linear(3, 2), torch.ones(4, 3), lambda out: out)
