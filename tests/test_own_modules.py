"""Modules of users that draw in training, answer in other forms, or take their inputs in another order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupted import killed_until_whole
from test_checkpoints import equal
from torch import Tensor, nn
from torch.nn import functional
from training import make_samples

from initbench import records
from initbench.engine import stacked
from initbench.engine.job import History, Job, Networks, Orders, Schedule
from initbench.engine.stacked.single import SingleModule
from initbench.engine.stacked.state import OptimizerState
from initbench.seeding import own_generators, permutation, stream
from initbench.tasks import TASKS

HEAD = """
import random
import numpy as np
import torch
from torch import nn
from torch.nn import functional
"""
# A dropout of torch's, one by NumPy and one by Python.
DRAWS = (
    HEAD
    + """
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.output = nn.Linear(64, 12), nn.Linear(12, classes)

    def forward(self, x):
        h = torch.relu(self.first(functional.dropout(x.flatten(1), 0.2, self.training)))
        if self.training:
            h = h * torch.tensor(np.random.random(12) > 0.3) * (1 + 0.1 * random.random())
        return self.output(h)

net = lambda shape, classes: Net(classes)
"""
)


def weights(folder: str | Path, seed: int = 0, init: str = "he") -> Any:
    found = records.load([Path(folder)]).records.values()
    (record,) = (one for one in found if one.trial["seed"] == seed and one.asked.init == init)
    assert record.outcome == "ok", record.error
    return record.weights


def run(initbench: Callable[..., Any], file: Path, text: str, results: str, *more: str) -> None:
    file.write_text(text, encoding="utf-8")
    answer = initbench("run", "model=module", f"model.path={file}:net", "epochs=2", f"results={results}", *more)
    assert answer.code == 0, answer.err


@pytest.mark.full
def test_what_a_module_draws_is_the_same_alone_and_in_company(initbench: Callable[..., Any], tmp_path: Path) -> None:
    run(initbench, tmp_path / "own.py", DRAWS, "alone", "seeds=[1]", "init=he")
    run(initbench, tmp_path / "own.py", DRAWS, "company", "seeds=3", "init=he,xavier,zero")
    assert weights("alone", 1) == weights("company", 1)
    assert len({weights("company", seed).final for seed in range(3)}) == 3


class Dropping(nn.Module):
    """A perceptron with a dropout, in float64 where its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.output = nn.Linear(33, 10), nn.Dropout(0.4), nn.Linear(10, 7)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.drop(torch.relu(self.first(x))))
        return logits


def train_dropping(seeds: list[int], dtype: Any = np.float32, **options: Any) -> History:
    samples, torch_dtype = make_samples(dtype=dtype), torch.float64 if dtype == np.float64 else torch.float32
    with torch.random.fork_rng():
        module = Dropping().to(torch_dtype)
    drawn = {name: [stream(seed, "init", name) for seed in seeds] for name, _ in module.named_parameters()}
    params = {
        name: np.stack([rng.normal(0, 0.3, tuple(param.shape)).astype(dtype) for rng in drawn[name]])
        for name, param in module.named_parameters()
    }
    job = Job(
        [samples] * len(seeds),
        Networks(params, "relu", {}),
        "sgd",
        {
            "momentum": np.full(len(seeds), 0.9),
            "nesterov": np.array([False] * len(seeds)),
            "weight_decay": np.zeros(len(seeds)),
        },
        Schedule(np.full(len(seeds), 0.05), np.full(len(seeds), 3), 31),
        Orders(
            np.arange(len(seeds)),
            lambda order, epoch: samples.train[permutation(len(samples.train), seeds[order], "order", str(epoch))],
        ),
        draws=lambda trial, step: stream(seeds[trial], "dropout", f"step.{step}"),
    )
    return stacked.train_each(job, lambda values: SingleModule(module, values, (33,)), **options)


def test_dropout_is_trained_as_a_plain_loop_that_seeds_each_step() -> None:
    history, samples = train_dropping([0, 3], np.float64), make_samples(dtype=np.float64)
    x, y = torch.tensor((samples.x - samples.mean) / samples.std), torch.tensor(samples.y)
    for i, seed in enumerate((0, 3)):
        module, step = Dropping().double(), 0
        with torch.no_grad():
            for name, param in module.named_parameters():
                param.copy_(torch.tensor(stream(seed, "init", name).normal(0, 0.3, tuple(param.shape))))
        optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
        for epoch in range(3):
            order = torch.tensor(samples.train[permutation(len(samples.train), seed, "order", str(epoch))])
            for rows in order.split(31):
                optimizer.zero_grad()
                with own_generators(stream(seed, "dropout", f"step.{step}")):
                    functional.cross_entropy(module(x[rows]), y[rows]).backward()
                optimizer.step()
                step += 1
        for name, param in module.named_parameters():
            np.testing.assert_allclose(history.params[name][i], param.detach(), rtol=1e-10, atol=1e-12)


def test_dropout_has_the_same_bits_alone_in_company_and_killed_again_and_again(tmp_path: Path) -> None:
    both = train_dropping([0, 3], threads=2)
    for i, seed in enumerate((0, 3)):
        alone = train_dropping([seed])
        assert all((alone.params[name][0] == values[i]).all() for name, values in both.params.items())
    again, lives, found = killed_until_whole(tmp_path, 2, 4, lambda kept: train_dropping([0, 3], checkpoints=kept))
    assert lives >= 4
    assert found >= lives - 2
    assert equal(both, again)


def test_no_global_generator_is_left_changed() -> None:
    before = torch.get_rng_state()
    train_dropping([0])
    assert torch.equal(before, torch.get_rng_state())


PLAIN = "from torch import nn\nnet = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes))"
LAZY = "from torch import nn\nnet = lambda shape, classes: nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))"


class Replacing(nn.Module):
    """Replaces its buffer where others change theirs, and has a parameter under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again, self.output = self.first, nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen = self.seen + 1
        logits: Tensor = self.output(torch.tanh(self.again(torch.tanh(self.first(x)))) / (1 + self.seen))
        return logits


def test_buffers_that_are_replaced_and_weights_with_two_names_are_trained_as_in_a_plain_loop() -> None:
    template = Replacing()
    state = {name: values.clone() for name, values in template.state_dict().items() if not name.startswith("again")}
    single, plain = SingleModule(template, {name: values[None] for name, values in state.items()}, (6,)), Replacing()
    plain.load_state_dict(state, strict=False)
    optimizer = OptimizerState(
        "sgd",
        {"momentum": np.array([0.9]), "nesterov": np.array([False]), "weight_decay": np.array([0.0])},
        torch.float32,
        torch.device("cpu"),
    )
    theirs = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = torch.from_numpy(rng.standard_normal((4, 6), np.float32)), torch.from_numpy(rng.integers(3, size=4))
        loss = functional.cross_entropy(plain(x), y)
        theirs.zero_grad()
        loss.backward()
        theirs.step()
        grad = TASKS["classification"].gradient(single.forward(x[None], training=True), y[None], torch.zeros(2, 1))
        optimizer.begin_step()
        for name, param, add_gradient in single.backward(grad):
            optimizer.update(name, param.data, add_gradient, torch.full((1, 1, 1), 0.1))
    assert single.params.keys() == state.keys()
    assert single.params["seen"].item() == 5
    for name, values in single.params.items():
        torch.testing.assert_close(values[0], plain.state_dict()[name])
    # What it was made from is as it was.
    for name, values in state.items():
        assert torch.equal(template.state_dict()[name], values)


FORMS = {
    "tuple": "return logits, x",
    "mapping": "return {'logits': logits, 'other': x}",
    "attribute": "from types import SimpleNamespace; return SimpleNamespace(logits=logits)",
}


@pytest.mark.full
def test_lazy_layers_and_other_forms_of_an_answer_train_as_the_plain_ones(
    initbench: Callable[..., Any], tmp_path: Path
) -> None:
    run(initbench, tmp_path / "plain.py", PLAIN, "plain", "seeds=1")
    run(initbench, tmp_path / "lazy.py", LAZY, "lazy", "seeds=1")
    assert weights("lazy") == weights("plain")
    for name, line in FORMS.items():
        text = (
            HEAD
            + f"""
class Net(nn.Sequential):
    def forward(self, x):
        logits = super().forward(x)
        {line}

net = lambda shape, classes: Net(nn.Flatten(), nn.Linear(64, classes))
"""
        )
        run(initbench, tmp_path / f"{name}.py", text, name, "seeds=1")
        assert weights(name) == weights("plain")


@pytest.mark.full
def test_channels_may_come_last(initbench: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.integers(0, 255, (90, 3, 6, 5), np.uint8), y=np.arange(90) % 3)
    text = (
        HEAD
        + """
class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv, self.output = nn.Conv2d(channels, 4, 3), nn.Linear(4, classes)

    def forward(self, x):
        ORDER
        return self.output(torch.relu(self.conv(x)).mean((2, 3)))
"""
    )
    first = text.replace("ORDER", "assert x.shape[1:] == (3, 6, 5)") + "\nnet = lambda s, n: Net(s[0], n)"
    last = text.replace("ORDER", "x = x.permute(0, 3, 1, 2)") + "\nnet = lambda s, n: Net(s[2], n)"
    data = ("dataset=npz", f"dataset.path={tmp_path / 'data.npz'}", "seeds=1")
    run(initbench, tmp_path / "first.py", first, "first", *data)
    run(initbench, tmp_path / "last.py", last, "last", *data, "model.channels=last")
    assert weights("first") == weights("last")
    answer = initbench("verify", "last")
    assert answer.code == 0, answer.err
