"""``initbench.diagnose``: silent on healthy models, one line for bad input, and any module left as it was."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import initbench
from initbench.errors import InputError

torchvision = pytest.importorskip("torchvision")
functional = torch.nn.functional


def perceptron(init: str = "he_normal", depth: int = 3, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    sizes = [64, *[96] * depth]
    layers = [layer for a, b in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(a, b), activation())]
    model = nn.Sequential(*layers, nn.Linear(96, 10))
    initbench.initialize(model, init)
    return model


def rows(n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 64, generator=generator), torch.randint(0, 10, (n,), generator=generator)


def found(build: Any, *batch: Any, **more: Any) -> list[tuple[str, str, str]]:
    diagnosis = initbench.diagnose(build, *batch, **more)
    return [(one.severity, one.check, one.where) for one in diagnosis.findings if one.severity != "note"]


class Block(nn.Module):
    """Of nanoGPT."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, length, width = x.shape
        q, k, v = (
            part.view(n, length, 4, -1).transpose(1, 2) for part in self.attn.c_attn(self.ln_1(x)).split(width, 2)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn.c_proj(mixed.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp.c_proj(functional.gelu(self.mlp.c_fc(self.ln_2(x))))


class NanoGPT(nn.Module):
    """As its authors start it."""

    def __init__(self, width: int = 64, depth: int = 6) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(65, width), nn.Embedding(32, width)
        self.h, self.ln_f = nn.ModuleList(Block(width) for _ in range(depth)), nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 65, bias=False)
        self.wte.weight = self.lm_head.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02 / (2 * depth) ** 0.5 if "c_proj" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def vision_transformer() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, 4, 4, 64, 128, num_classes=10)


def images(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, 32, 32, generator=generator), torch.randint(0, 10, (n,), generator=generator)


@pytest.mark.full
@pytest.mark.parametrize(
    ("build", "batch"),
    [
        (torchvision.models.resnet18, images()),
        (vision_transformer, images()),
        (NanoGPT, (torch.arange(256).view(8, 32) % 65, torch.arange(1, 257).view(8, 32) % 65)),
        (perceptron, rows()),
        (lambda: perceptron("xavier_normal", activation=nn.Tanh), rows()),
        (lambda: perceptron("he_normal", depth=10), rows()),
    ],
)
def test_nothing_is_found_where_nothing_is_wrong(build: Callable[[], nn.Module], batch: Any) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        assert found(build(), *batch) == []
    assert found(build, *batch) == []


@pytest.mark.slow
def test_nothing_is_found_in_a_whole_vision_transformer() -> None:
    x, y = torch.randn(8, 3, 224, 224), torch.arange(8)
    assert found(torchvision.models.vit_b_16, x, y) == []


@pytest.mark.parametrize(
    ("init", "depth", "expected"),
    [
        ("gaussian", 8, ("wrong", "gradient_shrinks", "0")),
        ("normal_d1", 8, ("wrong", "gradient_grows", "0")),
        ("zero", 3, ("wrong", "unmoved", "0.weight")),
        ("constant", 3, ("wrong", "copies", "0")),
    ],
)
def test_a_law_that_does_not_fit(init: str, depth: int, expected: tuple[str, str, str]) -> None:
    assert expected in found(lambda: perceptron(init, depth), *rows())


def test_a_single_layer_and_its_factor() -> None:
    model = perceptron(depth=4)
    with torch.no_grad():
        model[4].weight.mul_(50)
    (finding,) = [one for one in initbench.diagnose(model, *rows()).findings if one.check == "layer_scale"]
    assert finding.where == "4"
    assert finding.severity == "wrong"
    exec(finding.lines[0], {"model": model, "torch": torch})
    # Of he's own std: 96 x 96 entries give their root mean square to half a per cent.
    assert float(model[4].weight.detach().std()) == pytest.approx((2 / 96) ** 0.5, rel=0.04)


def test_units_that_are_dead_by_their_bias() -> None:
    model = perceptron()
    nn.init.constant_(model[2].bias, -9.0)
    assert ("wrong", "dead_units", "2") in found(model, *rows())


def test_saturated_units_and_their_factor() -> None:
    model = perceptron("xavier_normal", activation=nn.Tanh)
    with torch.no_grad():
        model[2].weight.mul_(30)
    assert ("saturated", "2") in [(check, where) for _, check, where in found(model, *rows())]


def test_what_takes_no_part() -> None:
    model = perceptron()
    model.register_module("forgotten", nn.Sequential())
    model.forward = lambda x: nn.Sequential(*[model[i] for i in range(7)])(x)  # type: ignore[method-assign]
    model.forgotten.add_module("layer", nn.Linear(3, 3))
    assert found(model, *rows()) == [("doubtful", "unused", "forgotten.layer")]


class Odd(nn.Module):
    """Inputs by keyword, a dictionary as output, dropout, BatchNorm, a tied weight, a lazy layer, groups, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lazy = nn.Embedding(20, 12), nn.LazyLinear(12)
        self.conv = nn.Conv1d(12, 12, 3, padding=1, groups=3)
        self.up, self.norm = nn.ConvTranspose1d(12, 12, 2), nn.BatchNorm1d(12)
        self.attention, self.rnn = nn.MultiheadAttention(12, 2, batch_first=True), nn.GRU(12, 12, batch_first=True)
        self.drop, self.free = nn.Dropout(0.2), nn.Parameter(torch.ones(12))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.head = nn.Linear(12, 20, bias=False)
        self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=12**-0.5)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        self.calls += 1
        x = self.lazy(self.embed(ids)) * mask[..., None]
        x = self.norm(self.up(torch.relu(self.conv(x.transpose(1, 2))))).transpose(1, 2)
        x = self.drop(x) + self.attention(x, x, x)[0]
        x = self.rnn(x)[0] * self.free
        return {"logits": self.head(x[:, -1]), "hidden": (x, "a text")}


def test_any_module_is_looked_at_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = Odd()
    batch = {"ids": torch.randint(0, 20, (9, 7)), "mask": torch.ones(9, 7)}
    model(**batch)
    state = {name: values.clone() for name, values in model.state_dict().items()}
    generators = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    diagnosis = initbench.diagnose(model, batch, torch.randint(0, 20, (9,)), optimizer=torch.optim.AdamW)
    generators = (torch.get_rng_state(), *generators[1:])
    assert not diagnosis.wrong, repr(diagnosis)
    assert diagnosis.layers is not None
    assert {"embed", "lazy", "conv", "up", "attention", "rnn", "head"} <= {*diagnosis.layers.names}
    assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    assert random.getstate() == generators[2]
    assert np.array_equal(np.random.get_state()[1], generators[1])  # noqa: NPY002
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in model.modules())
    # A lazy one gets its shapes, and half precision is looked at too.
    assert not initbench.diagnose(Odd(), batch, torch.randint(0, 20, (9,))).wrong
    assert found(perceptron().to(torch.bfloat16), rows()[0].to(torch.bfloat16), rows()[1]) == []


def test_widths_and_depths_have_a_verdict() -> None:
    def build(width: int = 64, std: float = 0.05) -> nn.Module:
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
        for index in (0, 2, 4):
            nn.init.normal_(model[index].weight, std=std)
        return model

    sizes = {"width": [64, 128, 256]}
    checks = [one for one in initbench.diagnose(build, *rows(), sizes=sizes).findings if one.check == "width_slope"]
    # Of N(0, std²) with one std for all widths the outputs grow with the root of each fan.
    assert {one.where for one in checks} >= {"2", "4"}
    (slope,) = [one.what.split("width^")[1].split(" ")[0] for one in checks if one.where == "2"][:1]
    assert float(slope) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(InputError, match="needs a factory"):
        initbench.diagnose(build(), *rows(), sizes=sizes)


class Broken(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.how = nn.Linear(64, 10), how

    def forward(self, x: torch.Tensor) -> Any:
        if self.how == "raises":
            raise KeyError("no such thing")
        if self.how == "exits":
            raise SystemExit(3)
        output = self.layer(x)
        return "a text" if self.how == "text" else output


@pytest.mark.parametrize(
    ("how", "batch", "loss", "said"),
    [
        ("raises", rows(), None, "Broken on this batch: KeyError"),
        ("exits", rows(), None, "Broken on this batch: SystemExit"),
        ("text", rows(), None, "holds no floating-point tensor"),
        ("", (torch.randn(4, 63), None), None, "Broken on this batch: RuntimeError"),
        ("", rows(), lambda output, target: output, "the loss must be a tensor with one number"),
        ("", rows(), lambda output, target: 1 / 0, "the loss: ZeroDivisionError"),
        ("", rows(), "hinge", "unknown loss 'hinge'"),
        ("", (rows()[0], None), "mse", "needs a target"),
        ("", (rows()[0], torch.randn(64, 3)), None, "an output of shape"),
    ],
)
def test_bad_input_is_one_line(how: str, batch: Any, loss: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        initbench.diagnose(Broken(how), *batch, loss=loss)
    assert "\n" not in str(raised.value)


def test_nan_at_once_names_the_place() -> None:
    model = perceptron(depth=4)
    with torch.no_grad():
        model[4].weight[0, 0] = float("nan")
    assert found(model, *rows()) == [("wrong", "not_finite", "4.weight")]
    with torch.no_grad():
        model[4].weight.fill_(1e38)
    assert ("wrong", "overflow", "4") in found(model, *rows())


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.full((len(x),), x.shape[1]), batch_first=True)
        return self.out(nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0][:, -1])


class Caches(nn.Module):
    """What it keeps grows with each call, and a buffer comes to be."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("seen", torch.zeros(0, 64))
        self.register_buffer("last", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen, self.last = torch.cat([self.seen, x.detach()]), x.detach()
        return self.layer(x)


def test_what_hides_its_weights_or_its_outputs_is_seen() -> None:
    torch.manual_seed(0)
    assert found(Packed(), torch.randn(9, 6, 5), torch.randint(0, 3, (9,))) == []
    for norm in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        model = nn.Sequential(norm(nn.Linear(64, 48)), nn.ReLU(), norm(nn.Linear(48, 10)))
        state = {name: values.clone() for name, values in model.state_dict().items()}
        diagnosis = initbench.diagnose(model, *rows())
        assert not diagnosis.wrong
        assert diagnosis.layers is not None
        assert diagnosis.layers.names == ["0", "2"]
        assert all(torch.equal(values, state[name]) for name, values in model.state_dict().items())


def test_buffers_that_are_replaced_are_put_back() -> None:
    model = Caches()
    assert found(model, *rows()) == []
    assert model.seen.shape == (0, 64)
    assert model.last is None


def test_losses_that_are_no_plain_mean_are_not_judged_by_it() -> None:
    model, (x, y) = perceptron(), rows()
    assert found(model, x, y, nn.CrossEntropyLoss(reduction="sum")) == []
    assert found(model, x, y, nn.CrossEntropyLoss(weight=torch.full((10,), 9.0))) == []
    assert found(model, x, torch.softmax(torch.randn(64, 10), 1), "cross_entropy") == []
    # Within 0 and 1 a target is no far place to begin from 0.
    assert ("wrong", "output_bias", "6") not in found(model, x, torch.rand(64, 10))


def test_a_loss_that_cannot_train() -> None:
    model, (x, y) = perceptron(), rows()
    assert ("wrong", "loss_not_finite", "") in found(model, x, y, lambda o, y: (o.mean() - 1e3).log())
    accuracy = found(model, x, y, lambda o, y: (o.argmax(1) == y).float().mean())
    assert accuracy == [("wrong", "no_gradient", "")]


def test_steps_of_an_lstm_are_not_its_samples() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(5, 8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(x)[0])

    x = torch.randn(8, 64, 5)
    assert found(Sequence(), x, torch.randint(0, 3, (8, 64))) == []
    x = torch.randn(64, 8, 5)
    assert ("doubtful", "forgetting", "lstm") in found(Sequence(), x, torch.randint(0, 3, (64, 8)))


class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        raise OverflowError("no way back")


@pytest.mark.parametrize(
    ("model", "batch", "more", "said"),
    [
        (perceptron(), rows(), {"optimizer": lambda p: torch.optim.SGD(p, lr=-1.0)}, "the optimizer's first step"),
        (perceptron(), rows(), {"optimizer": torch.optim.LBFGS}, "the optimizer's first step"),
        (perceptron, rows(), {"sizes": {"depth": [3]}}, "needs two sizes or more"),
        (perceptron, rows(), {"sizes": {"depth": 3}}, "needs two sizes or more"),
        (perceptron(), (rows()[0], np.zeros(64)), {}, "target must be a tensor"),
        (perceptron(), (torch.zeros(0, 64), torch.zeros(0, dtype=torch.int64)), {}, "no sample"),
        (nn.Linear(64, 10, device="meta"), rows(), {}, "meta device"),
        (nn.Linear(64, 10, dtype=torch.complex64), rows(), {}, "complex"),
        (nn.Sequential(nn.Linear(64, 10)), rows(), {"loss": lambda o, y: Raises.apply(o).mean()}, "no way back"),
    ],
)
def test_what_cannot_be_diagnosed_is_said_in_one_line(model: Any, batch: Any, more: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        initbench.diagnose(model, *batch, **more)
    assert "\n" not in str(raised.value)


class Residual(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(32, 32), nn.Linear(32, 32)
        nn.init.normal_(self.up.weight, std=0.25)
        nn.init.normal_(self.down.weight, std=0.25 * scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Stack(nn.Module):
    def __init__(self, scale: float = 1.0, reentrant: bool | None = None) -> None:
        super().__init__()
        self.first, self.out, self.reentrant = nn.Linear(20, 32), nn.Linear(32, 3), reentrant
        self.blocks = nn.ModuleList(Residual(scale) for _ in range(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.out(x)


def test_a_module_that_computes_again_in_the_pass_back_is_diagnosed_as_one_that_does_not() -> None:
    x, y = torch.randn(32, 20), torch.randint(0, 3, (32,))
    found = []
    for reentrant in (None, True, False):
        torch.manual_seed(0)
        module = Stack(reentrant=reentrant)
        found.append(repr(initbench.diagnose(module, x, y)))
        # Afterwards torch's own function is in its place.
        nn.functional.cross_entropy(module(x.requires_grad_()), y).backward()
        assert module.first.weight.grad is not None
    assert found[0] == found[1] == found[2]


def test_a_stream_that_grows_from_block_to_block_is_told_with_its_sizes() -> None:
    x, y = torch.randn(64, 20), torch.randint(0, 3, (64,))
    torch.manual_seed(0)
    module, h = Stack(), []
    for block in module.blocks:
        block.register_forward_hook(lambda part, given, output: h.append(float(output.detach().square().mean().sqrt())))
    module(x)
    sizes = h[:12]
    found = initbench.diagnose(module, x, y).findings
    (one,) = [one for one in found if one.check == "stream_grows"]
    assert one.where == "blocks"
    assert f"from {sizes[0]:.3g} behind blocks.0 to {sizes[-1]:.3g} behind blocks.11" in one.what
    # The loss is due to the stream, and no single layer is blamed for it.
    assert "hidden_scale" in {other.check for other in found if other.where == "blocks"}
    exec("\n".join(one.lines), {"model": module, "torch": torch})
    assert not [one for one in initbench.diagnose(module, x, y).findings if one.severity == "wrong"]
    torch.manual_seed(0)
    assert "stream_grows" not in {one.check for one in initbench.diagnose(Stack(0.2), x, y).findings}
