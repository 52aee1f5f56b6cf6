"""Models that torch trains: against plain torch, alone and in company, from the command line; and residual starts."""

import copy
import json
import math
import threading
import zlib
from collections.abc import Callable, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, layer_norm, linear

from initbench import drawing, records
from initbench.config import compose, option_files
from initbench.data import Samples
from initbench.engine import stacked
from initbench.engine.problem import History, Networks, Orders, Rule, Schedule
from initbench.errors import InputError
from initbench.initializers.branches import BRANCHES
from initbench.models import MODELS, Architecture, modules
from initbench.models.stacked import StackedModule
from initbench.request import request
from initbench.seeding import permutation
from initbench.sweep import Trial, plan

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, 4, 2)
        self.grouped = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(2, 6)
        self.shift = nn.Parameter(torch.randn(6, 1, 1))
        self.frozen = nn.Parameter(torch.randn(6), requires_grad=False)
        self.output = nn.Linear(6, classes)
        self.register_buffer("scale", torch.full((), 0.5))

    def forward(self, x):
        h = torch.tanh(self.norm(self.grouped(torch.tanh(self.up(x))))) + self.shift
        return self.output(self.scale * h.mean((2, 3)) + self.frozen)

def net(sample_shape, n_classes):
    return Net(sample_shape[0], n_classes)
"""


def own(folder: Path, text: str = OWN) -> str:
    """A user's file, as ``model.path`` names it."""
    (folder / "own.py").write_text(text)
    return f"{folder / 'own.py'}:net"


CONVOLUTION = (("channels", 5), ("kernel", 3), ("stride", 2))
ARCHITECTURES = {
    "layer": Architecture("mlp", (("norm", "layer"),), 2, (9, 7), "tanh", (), (50,), 4),
    "batch": Architecture("mlp", (("norm", "batch"),), 2, (9, 7), "relu", (), (50,), 4),
    "cnn": Architecture("cnn", CONVOLUTION, 2, (), "tanh", (), (2, 5, 5), 4),
    "residual_mlp": Architecture("residual_mlp", (("layers", 2),), 2, (8, 8), "gelu", (), (50,), 4),
    "residual_cnn": Architecture("residual_cnn", (*CONVOLUTION, ("layers", 3)), 2, (), "silu", (), (2, 5, 5), 4),
    "module": Architecture("module", (), 0, (), "relu", (), (2, 5, 5), 4),
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest, tmp_path: Path) -> Architecture:
    of = ARCHITECTURES[request.param]
    if of.model != "module":
        return of
    path, _, function = own(tmp_path).rpartition(":")
    settings = (("code", modules.code_hash(OWN.encode())), ("function", function), ("path", path))
    return Architecture("module", settings, 0, (), "relu", (), of.sample_shape, of.n_classes)


def make_samples(dtype: Any = np.float32, n: int = 200) -> Samples:
    x = np.random.default_rng(0).standard_normal((n, 50)) + 2
    rows = np.arange(n)
    return Samples(
        x=x.astype(dtype),
        y=x[:, :4].argmax(1),
        mean=np.full(50, 2.0, dtype),
        std=np.full(50, 1.5, dtype),
        train=rows[: n // 2],
        val=rows[n // 2 : 3 * n // 4],
        test=rows[3 * n // 4 :],
        n_classes=4,
    )


def initial(of: Architecture, seeds: Sequence[int], dtype: Any) -> dict[str, Any]:
    """Some values for every parameter, from the seed and its name, and the module's own buffers."""
    module, values = modules.template(of), {}
    for name, param in module.named_parameters():
        drawn = [
            0.4 * np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(param.shape)
            for seed in seeds
        ]
        values[name] = np.stack(drawn).astype(dtype)
    for name, buffer in module.named_buffers():
        one = buffer.numpy()
        values[name] = np.stack([one.astype(dtype) if one.dtype == np.float32 else one] * len(seeds))
    return values


def train(
    of: Architecture,
    seeds: Sequence[int],
    *,
    engine: Callable[..., History] = stacked.train_each,
    samples: Samples | None = None,
    lr: float | Sequence[float] = 0.05,
    momentum: float = 0.9,
    epochs: int | Sequence[int] = 3,
    **options: Any,
) -> History:
    samples = samples or make_samples()
    module = modules.template(of)
    rows = samples.train
    return engine(
        samples,
        Networks(initial(of, seeds, samples.mean.dtype), of.activation, {}),
        lambda params: StackedModule(module, params, of.sample_shape),
        Rule("sgd", {"momentum": np.full(len(seeds), momentum), "weight_decay": np.full(len(seeds), 1e-3)}),
        Schedule(*(np.broadcast_to(np.array(each), len(seeds)) for each in (lr, epochs)), 23, "cosine"),
        Orders(
            np.arange(len(seeds)),
            lambda order, epoch: rows[permutation(len(rows), seeds[order], "order", str(epoch))],
        ),
        **options,
    )


def train_plainly(of: Architecture, seed: int, samples: Samples, epochs: int) -> tuple[dict[str, Tensor], list[Any]]:
    """The same training as anyone would write it: nn.Module, autograd, torch.optim, one network."""
    module = copy.deepcopy(modules.template(of)).double()
    values = {name: torch.tensor(value[0]) for name, value in initial(of, [seed], np.float64).items()}
    module.load_state_dict(values)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    steps = epochs * math.ceil(len(samples.train) / 23)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    x = torch.tensor((samples.x - samples.mean) / samples.std).reshape(-1, *of.sample_shape)
    y, curves = torch.tensor(samples.y), []
    for epoch in range(epochs):
        order = torch.tensor(samples.train[permutation(len(samples.train), seed, "order", str(epoch))])
        total, correct = 0.0, 0
        module.train()
        for rows in order.split(23):
            logits = module(x[rows])
            loss = cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
            correct += int((logits.argmax(1) == y[rows]).sum())
        module.eval()
        with torch.no_grad():
            logits = module(x[samples.val])
        val = cross_entropy(logits, y[samples.val]).item(), int((logits.argmax(1) == y[samples.val]).sum())
        curves.append((total / len(order), correct, *val))
    return module.state_dict(), curves


ENGINES = {"a thread each": stacked.train_each, "a stack": stacked.train}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_equals_plain_torch(architecture: Architecture, engine: Callable[..., History]) -> None:
    samples, seeds = make_samples(np.float64), [0, 3, 8]
    history = train(architecture, seeds, engine=engine, samples=samples, epochs=4)
    for i, seed in enumerate(seeds):
        final, curves = train_plainly(architecture, seed, samples, epochs=4)
        assert set(final) == set(history.params)
        for name, values in final.items():
            np.testing.assert_allclose(history.params[name][i], values, rtol=1e-9, atol=1e-11, err_msg=name)
        train_loss, train_correct, val_loss, val_correct = map(list, zip(*curves, strict=True))
        np.testing.assert_allclose(history.train_loss[i], train_loss, rtol=1e-10)
        np.testing.assert_allclose(history.val_loss[i, 1:], val_loss, rtol=1e-10)
        assert history.train_correct[i].tolist() == train_correct
        assert history.val_correct[i, 1:].tolist() == val_correct


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_trial_is_bit_for_bit_the_same_in_any_company(architecture: Architecture, threads: int) -> None:
    alone = {seed: train(architecture, [seed], threads=1) for seed in range(2)}
    for seeds, lrs in (([1, 0, 5], [0.05, 0.05, 0.05]), ([4, 1, 6, 0, 7], [1e30, 0.05, 0.01, 0.05, 1e30])):
        together = train(architecture, seeds, lr=lrs, threads=threads)
        for slot, seed in enumerate(seeds):
            if seed in alone:
                assert_same_trial(alone[seed], 0, together, slot)
        assert (together.diverged_at >= 0).tolist() == [lr > 1 for lr in lrs]


def assert_same_trial(a: History, i: int, b: History, j: int) -> None:
    for name, values in a.params.items():
        assert np.array_equal(values[i], b.params[name][j]), name
    for name in ("train_loss", "train_correct", "val_loss", "val_correct"):
        assert np.array_equal(getattr(a, name)[i], getattr(b, name)[j], equal_nan=True)
    assert a.test_loss[i] == b.test_loss[j]
    assert a.test_correct[i] == b.test_correct[j]


def test_what_a_diverged_trial_leaves_is_its_start() -> None:
    of = ARCHITECTURES["batch"]
    history = train(of, [0, 1], lr=[1e30, 0.05])
    for name, values in initial(of, [0, 1], np.float32).items():
        assert (history.params[name][0] == values[0]).all()
        assert (history.params[name][1] != values[1]).any()
    assert np.isnan(history.test_loss).tolist() == [True, False]


def test_a_trial_may_train_for_fewer_epochs_than_its_companions(architecture: Architecture) -> None:
    together = train(architecture, [0, 1], epochs=[3, 1])
    alone = train(architecture, [1], epochs=1)
    assert (together.test_loss[1], together.diverged_at[1]) == (alone.test_loss[0], -1)
    assert np.isnan(together.train_loss[1, 1:]).all()


def test_progress_counts_every_step_and_nothing_global_changes(architecture: Architecture) -> None:
    counted: list[int] = []
    before = torch.get_num_threads(), torch.get_rng_state()
    modules._template.cache_clear()
    train(architecture, [0, 1, 2], epochs=2, progress=counted.append)
    assert sum(counted) == 3 * 2 * math.ceil(100 / 23)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_an_error_stops_the_threads_that_train() -> None:
    class Stopped(BaseException):
        pass

    def stop(n_steps: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(ARCHITECTURES["residual_cnn"], list(range(4)), epochs=10_000, progress=stop)
    assert threading.active_count() == 1


def expected_logits(of: Architecture, p: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the model computes in training, written out with the parameters by name."""
    phi = getattr(torch.nn.functional, of.activation, None) or getattr(torch, of.activation)
    if of.model == "mlp":
        for i in range(of.depth):
            x = linear(x, p[f"layers.{i}.weight"], p[f"layers.{i}.bias"])
            if dict(of.settings)["norm"] == "layer":
                x = layer_norm(x, x.shape[1:])
            else:
                x = (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5)
            x = phi(x * p[f"norms.{i}.weight"] + p[f"norms.{i}.bias"])
        return linear(x, p[f"layers.{of.depth}.weight"], p[f"layers.{of.depth}.bias"])
    if of.model == "cnn":
        for i in range(of.depth):
            x = phi(conv2d(x, p[f"layers.{i}.weight"], p[f"layers.{i}.bias"], stride=2 if i == 0 else 1, padding=1))
        return linear(x.flatten(1), p[f"layers.{of.depth}.weight"], p[f"layers.{of.depth}.bias"])
    layer = partial(conv2d, padding=1) if of.model == "residual_cnn" else linear
    stride = {"stride": 2} if of.model == "residual_cnn" else {}
    x = layer(x, p["first.weight"], p["first.bias"], **stride)
    for block in range(of.depth):
        h, name = x, f"blocks.{block}"
        for i in range(dict(of.settings)["layers"]):
            h = layer(phi(h), p[f"{name}.layers.{i}.weight"], p[f"{name}.layers.{i}.bias"])
        x = x + p[f"{name}.multiplier"] * h
    return linear(phi(x).flatten(1), p["output.weight"], p["output.bias"])


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "module"])
def test_the_models_compute_what_they_say(name: str) -> None:
    of = ARCHITECTURES[name]
    module = copy.deepcopy(modules.template(of)).double()
    values = {name: torch.tensor(value[0]) for name, value in initial(of, [0], np.float64).items()}
    module.load_state_dict(values)
    x = torch.tensor(np.random.default_rng(1).standard_normal((6, *of.sample_shape)))
    torch.testing.assert_close(module(x), expected_logits(of, values, x), rtol=1e-12, atol=1e-12)


def test_tables_and_files_agree() -> None:
    assert set(MODELS) == set(modules.BUILDERS) == set(option_files("model"))
    for name, model in MODELS.items():
        (plain,) = compose([f"model={name}"])
        assert set(plain["model"]) - {"name", "path"} == set(model.settings)


def trials(*overrides: str) -> list[Trial]:
    return list(plan(request(compose(["seeds=1", *overrides])), ()).trials)


def start_of(trial: Trial) -> drawing.Params:
    (start,) = drawing.starts([trial])
    if isinstance(start, InputError):
        raise start
    return start.params


def drawn(*overrides: str) -> tuple[nn.Module, drawing.Params]:
    """The network of one trial with its initial parameters, and these."""
    (trial,) = trials(*overrides)
    params = start_of(trial)
    module = copy.deepcopy(modules.template(drawing.architecture(trial.cell)))
    module.load_state_dict({name: torch.tensor(value) for name, value in params.items()})
    return module, params


def assert_std(weight: Any, std: float) -> None:
    # Six standard errors of a normal's standard deviation.
    assert weight.std() == pytest.approx(std, rel=6 / math.sqrt(2 * weight.size))


def test_fans_of_convolutions(tmp_path: Path) -> None:
    _, params = drawn("model=cnn", "model.channels=64", "model.kernel=5", "depth=3", "init=he")
    for layer, fan_in in ((0, 25), (1, 64 * 25), (2, 64 * 25), (3, 64 * 16)):
        assert_std(params[f"layers.{layer}.weight"], math.sqrt(2 / fan_in))
    wide = (("6", "96"), ("channels, 4, 2", "channels, 64, 5"), ("(4, 96", "(64, 96"), ("groups=2", "groups=4"))
    text = reduce(lambda text, change: text.replace(*change), wide, OWN)
    _, params = drawn("model=module", f"model.path={own(tmp_path, text)}", "init=xavier_normal")
    # A transposed convolution of one channel: each of 64 units sees 25 weights of it, and its input feeds 64 · 25.
    assert_std(params["up.weight"], math.sqrt(2 / (25 + 64 * 25)))
    # Four groups, each from 16 channels to 24.
    assert_std(params["grouped.weight"], math.sqrt(2 / (16 * 9 + 24 * 9)))


def test_norms_start_as_the_identity_and_weights_as_without() -> None:
    _, plain = drawn("depth=3", "init=he")
    for norm in ("layer", "batch"):
        _, params = drawn("depth=3", "init=he", f"model.norm={norm}")
        for name, value in plain.items():
            assert (params[name] == value).all()
        for i in range(3):
            assert (params[f"norms.{i}.weight"] == 1).all()
            assert (params[f"norms.{i}.bias"] == 0).all()
    assert (params["norms.0.running_mean"] == 0).all()
    assert (params["norms.0.running_var"] == 1).all()


RESIDUAL = {"mlp": ["model=residual_mlp", "width=128"], "cnn": ["model=residual_cnn", "model.channels=32"]}


@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize("init", ["fixup", "rezero"])
def test_every_block_starts_as_the_identity(kind: str, init: str) -> None:
    module, _ = drawn(*RESIDUAL[kind], "depth=4", f"init={init}")
    shape = (9, 128) if kind == "mlp" else (9, 32, 4, 4)
    x = torch.tensor(np.random.default_rng(0).standard_normal(shape, np.float32))
    for block in module.blocks:
        assert torch.equal(block(x), x)
    image = torch.ones(2, 64) if kind == "mlp" else torch.ones(2, 1, 8, 8)
    assert bool((module(image) == 0).all()) == (init == "fixup")


@pytest.mark.parametrize("kind", RESIDUAL)
@pytest.mark.parametrize(("layers", "power"), [(2, -1 / 2), (3, -1 / 4), (4, -1 / 6)])
def test_fixup_scales_the_branches_by_their_number(kind: str, layers: int, power: float) -> None:
    _, params = drawn(*RESIDUAL[kind], "depth=5", "init=fixup", f"model.layers={layers}")
    fan_in = 128 if kind == "mlp" else 32 * 9
    for block in range(5):
        for layer in range(layers - 1):
            assert_std(params[f"blocks.{block}.layers.{layer}.weight"], math.sqrt(2 / fan_in) * 5**power)
        assert (params[f"blocks.{block}.layers.{layers - 1}.weight"] == 0).all()
        assert params[f"blocks.{block}.multiplier"] == 1
    assert (params["output.weight"] == 0).all()
    assert_std(params["first.weight"], math.sqrt(2 / (64 if kind == "mlp" else 9)))


def test_the_other_rules_for_branches() -> None:
    _, he = drawn("model=residual_mlp", "depth=4", "init=he")
    for init, multiplier in (("rezero", 0), ("skipinit", 1 / 2)):
        _, params = drawn("model=residual_mlp", "depth=4", f"init={init}")
        for name, value in params.items():
            assert (value == (multiplier if name.endswith("multiplier") else he[name])).all()
    _, params = drawn("model=residual_mlp", "depth=4", "init=zero_hadamard", "init.branches=last_zero")
    assert (params["blocks.3.layers.0.weight"] == np.eye(128)).all()
    assert (params["blocks.3.layers.1.weight"] == 0).all()
    _, params = drawn("model=residual_mlp", "init=fixup", "init_output=he")
    assert params["output.weight"].all()
    assert set(BRANCHES) == {"fixup", "rezero", "skipinit", "last_zero"}


def test_fifty_layers_train_with_fixup_and_rezero_and_not_with_he(initbench: Callable[..., Any]) -> None:
    answer = initbench(
        *("run", "model=residual_mlp", "depth=25", "width=32", "init=he,fixup,rezero,skipinit", "seeds=1"),
        *("epochs=6", "lr=0.05"),
    )
    assert answer.code == 0
    accuracy = {
        record["trial"]["init"]["name"]: record["n_correct"]["test"] / 359 if record["outcome"] == "ok" else 0.0
        for record in records.load([Path("results")]).records.values()
    }
    # The second moment doubles with every block of He's: by 2^25 at the output.
    assert accuracy["he"] < 0.3
    assert min(accuracy["fixup"], accuracy["rezero"], accuracy["skipinit"]) > 0.8


@pytest.mark.parametrize(
    "model", ["cnn", "residual_mlp", "residual_cnn", "mlp model.norm=layer", "mlp model.norm=batch", "module"]
)
def test_every_model_from_the_command_line(model: str, initbench: Callable[..., Any], tmp_path: Path) -> None:
    path = [f"model.path={own(tmp_path)}"] if model == "module" else []
    small = ["width=8", "epochs=2", "seeds=2", "init=he,zero"] + (["model.channels=4"] if "cnn" in model else [])
    line = ["run", *f"model={model}".split(), *path, *small]
    before = torch.get_rng_state()
    answer = initbench(*line)
    assert answer.code == 0, answer.err
    found = list(records.load([Path("results")]).records.values())
    assert len(found) == 4
    for record in found:
        assert record["trial"]["model"]["name"] == model.split()[0]
        assert record["outcome"] == "ok"
        assert len(record["history"]["train_loss"]) == 2
        assert record["weights"]["initial"] != record["weights"]["final"]
    assert "nothing to train" in initbench(*line).err
    assert torch.equal(torch.get_rng_state(), before)
    alone = initbench(*[word for word in line if "init=" not in word], "init=he", "seeds=[1]", "results=alone")
    assert alone.code == 0
    (record,) = records.load([Path("alone")]).records.values()
    (same,) = [other for other in found if other["key"] == record["key"]]
    assert record["weights"] == same["weights"]
    assert record["history"] == same["history"]


def test_a_pattern_means_the_initializers_that_can_serve() -> None:
    def names(*overrides: str) -> set[str]:
        return {cell["init"]["name"] for cell in compose(["init=glob(*)", *overrides])}

    assert names("model=residual_mlp") - names() == {"fixup", "rezero", "skipinit"}
    assert names("model=residual_cnn") == names("model=residual_mlp")
    assert {cell["init"]["name"] for cell in compose(["init=glob(rez*)"])} == {"rezero"}


def test_the_key_of_a_module_is_its_code_and_not_its_place(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    keys = [
        trials("model=module", f"model.path={own(folder, text)}")[0].key
        for folder, text in ((tmp_path, OWN), (tmp_path / "elsewhere", OWN), (tmp_path, OWN + "\n# changed"))
    ]
    assert keys[0] == keys[1] != keys[2]
    (trial,) = trials("model=module", f"model.path={own(tmp_path)}", "depth=7", "width=3")
    assert str(tmp_path) not in json.dumps(trial.identity)
    assert (trial.identity["depth"], trial.identity["width"]) == (0, [])


def test_a_modules_own_values_differ_by_seed_and_repeat(tmp_path: Path) -> None:
    path = f"model.path={own(tmp_path)}"
    first, again, other = (
        drawn("model=module", path, f"seeds=[{seed}]", f"init={init}")[1]
        for seed, init in ((0, "he"), (0, "xavier"), (1, "he"))
    )
    for name in ("shift", "frozen"):
        assert (first[name] == again[name]).all()
        assert (first[name] != other[name]).all()
    assert first["scale"] == 0.5
    assert (first["output.weight"] != again["output.weight"]).all()


BAD = {
    "model=cnn dataset=synthetic": "model=cnn needs images, and a sample of 'synthetic' is a row of 16 numbers",
    "model=residual_cnn dataset=synthetic": "model=residual_cnn needs images",
    "model=cnn model.channels=0": "model.channels must be a whole number >= 1; got 0",
    "model=cnn model.kernel=4": "model.kernel must be one of 1, 3, 5, 7; got 4",
    "model=cnn model.norm=batch": "unknown setting 'model.norm'",
    "model.norm=bacth": "model.norm must be one of none, layer, batch; got 'bacth'",
    "model=residual_mlp depth=0": "model=residual_mlp needs depth >= 1; got 0",
    "model=residual_mlp width=[3,4]": "model=residual_mlp has one width for all layers; got [3, 4]",
    "model=residual_mlp init=fixup model.layers=1": "init 'fixup' needs model.layers >= 2; got 1",
    "init=fixup": "init 'fixup' is for residual branches, and model=mlp has none; use model=residual_mlp or model=res",
    "init.branches=zero": "unknown init.branches 'zero', did you mean 'rezero'? Choose from: fixup, last_zero",
    "init_first=rezero": "init_first 'rezero' is for the branches of a whole network; use init=rezero",
    "model.norm=batch batch_size=1": "model=mlp on 1 sample: ValueError: Expected more than 1 value per channel",
    # 1,150 training samples.
    "model.norm=batch batch_size=383": "model=mlp on 1 sample: ValueError: Expected more than 1 value per channel",
    "model=module": "model=module needs model.path=FILE.py:FUNCTION; got null",
    "model=module model.path=own.py": "model=module needs model.path=FILE.py:FUNCTION; got 'own.py'",
    "model=module model.path=none.py:net": "model.path: cannot read none.py: No such file",
    "model=module model.path=own.py:nett": "own.py has no function 'nett'",
    "model=module model.path=syntax.py:net": "syntax.py:net: SyntaxError: ",
    "model=module model.path=raises.py:net": "raises.py:net: RuntimeError: no idea",
    "model=module model.path=number.py:net": "number.py:net must return an nn.Module; got int",
    "model=module model.path=shape.py:net": "shape.py:net must return logits of shape (126, 10); got (126, 7)",
    "model=module model.path=fails.py:net": "fails.py:net on 126 samples: RuntimeError: ",
    "model=module model.path=dropout.py:net": "dropout.py:net draws random numbers in training",
    "model=module model.path=double.py:net": "double.py:net: 1.weight is not of type float32",
    "model=module model.path=none_to_draw.py:net": "none_to_draw.py:net has no weight that an initializer could draw",
}  # fmt: skip
FILES = {
    "own": OWN,
    "syntax": "def net(:",
    "raises": "def net(shape, classes):\n    raise RuntimeError('no\\nidea')",
    "number": "def net(shape, classes):\n    return 3",
    "shape": "from torch.nn import *\nnet = lambda shape, classes: Sequential(Flatten(), Linear(64, 7))",
    "fails": "from torch.nn import *\nnet = lambda shape, classes: Sequential(Flatten(), Linear(63, 7))",
    "dropout": "from torch.nn import *\nnet = lambda s, classes: Sequential(Flatten(), Dropout(), Linear(64, classes))",
    "double": "from torch.nn import *\nnet = lambda s, n: Sequential(Flatten(), Linear(64, n).double())",
    "none_to_draw": "from torch.nn import *\n"
    "net = lambda s, n: Sequential(Flatten(), AdaptiveAvgPool1d(n), BatchNorm1d(n))",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_models_are_told_in_one_line_before_any_work(line: str, initbench: Callable[..., Any]) -> None:
    for name, text in FILES.items():
        Path(f"{name}.py").write_text(text)
    answer = initbench("run", *line.split(), "seeds=1", "epochs=1")
    assert answer.code == 2, answer.err
    assert answer.err.startswith(f"initbench: error: {BAD[line]}")
    assert answer.err.count("\n") == 1
    assert not Path("results").exists()


def test_a_file_that_changes_while_it_is_used_is_refused(tmp_path: Path) -> None:
    (trial,) = trials("model=module", f"model.path={own(tmp_path)}")
    own(tmp_path, OWN + "\n# changed")
    with pytest.raises(InputError, match="has changed since the command began"):
        start_of(trial)


def test_a_chunk_of_a_dear_network_is_small() -> None:
    from initbench import runner

    cpu = torch.device("cpu")
    (cheap,), (dear,) = (trials("model=cnn", f"model.channels={channels}", "depth=8") for channels in (2, 256))
    assert runner.chunk_size(cheap.cell, cpu) > 8 * runner.chunk_size(dear.cell, cpu)


def test_cost_counts_products_and_outputs() -> None:
    flops, outputs = modules.cost(ARCHITECTURES["cnn"])
    # 5 channels on 3x3 positions from 2 channels, then from 5; kernels of 9; then 45 to 4.
    assert flops == 2 * (9 * 5 * 2 * 9 + 9 * 5 * 5 * 9 + 45 * 4)
    assert outputs == 45 + 45 + 4
