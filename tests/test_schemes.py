"""One start for everyone: roles of blocks, rules of schemes, and the same bits in a run and in ``initialize``."""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import initbench
from initbench.data_driven import DATA_LAWS
from initbench.errors import InputError
from initbench.experiment import start
from initbench.experiment.plan import plan
from initbench.initializers import BIASES, LAWS
from initbench.initializers.names import VIEWS
from initbench.initializers.network import assign
from initbench.initializers.parameters import ROLES
from initbench.initializers.schemes import SCHEMES, Draw, Rule, scheme_rules
from initbench.models import modules
from initbench.models.roles import parameters
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.options import option_files
from initbench.settings.request import request

LISTED = [
    name
    for name in sorted({*option_files("init"), *VIEWS} - {"own"})
    if Catalogue().option("init", name)["law"] not in DATA_LAWS
]


def started(*overrides: str) -> tuple[nn.Module, start.ParamArrays]:
    """The module of one trial as it is built, and where the trial starts."""
    (trial,) = plan(request(compose(["seeds=[3]", *overrides])), ()).trials
    (found,) = start.starts([trial])
    assert isinstance(found, start.Start)
    return copy.deepcopy(modules.template(start.architecture_of(trial.cell))), found.params


@pytest.mark.full
@pytest.mark.parametrize("name", LISTED)
def test_a_run_and_initialize_start_from_the_same_bits(name: str) -> None:
    residual = SCHEMES[scheme].residual if (scheme := Catalogue().option("init", name).get("scheme")) else False
    model = ["model=residual_mlp", "depth=3"] if residual else ["depth=2"]
    module, params = started(f"init='{name}'", "activation=tanh", "width=32", *model)
    for value in module.parameters():
        value.data.fill_(7)
    initbench.initialize(module, name, activation="tanh", seed=3)
    for key, value in module.state_dict().items():
        assert value.numpy().tobytes() == np.ascontiguousarray(params[key]).tobytes(), key


def test_a_layer_of_its_own_is_scaled_by_no_rule_of_the_others() -> None:
    module, params = started("init=fixup", "init_output=he", "model=residual_mlp", "depth=2", "width=32")
    initbench.initialize(module, "fixup", layers={"output.*": "he"}, seed=3)
    assert module.output.weight.any()
    for key, value in module.state_dict().items():
        assert (value.numpy() == params[key]).all(), key


@pytest.mark.parametrize("policy", sorted(set(BIASES) - {"log_prior"}))
def test_a_run_and_initialize_have_the_same_biases(policy: str) -> None:
    module, params = started("init=he", f"bias={policy}", "activation=tanh", "depth=2", "width=32")
    initbench.initialize(module, "he", bias=policy, activation="tanh", seed=3)
    for key, value in module.state_dict().items():
        assert (value.numpy() == params[key]).all(), key


def test_the_published_bits_of_every_named_stream() -> None:
    """Two numbers of a stream that no change may move: (seed, "init", the parameter's name), blocks in order."""
    attention = nn.MultiheadAttention(8, 2)
    initbench.initialize(attention, "he_normal", seed=5)
    rng = initbench_stream(5, "in_proj_weight")
    for block in attention.in_proj_weight.detach().split(8):
        assert (block.numpy() == np.float32(math.sqrt(2 / 8)) * rng.standard_normal((8, 8), np.float32)).all()


def initbench_stream(seed: int, name: str) -> np.random.Generator:
    from initbench.seeding import stream

    return stream(seed, "init", name)


QKV = ("query", "key", "value")
# Name of a linear layer, its outputs over its inputs, and what its blocks are.
NAMES: list[tuple[str, int, tuple[str, ...]]] = [
    *((name, 3, QKV) for name in ("qkv", "attn.qkv", "to_qkv", "Wqkv", "qkv_proj", "self_attn.qkv_proj")),
    *((name, 3, QKV) for name in ("in_proj_qkv", "attention.query_key_value", "attn.to_qkv.0")),
    *((name, 3, QKV) for name in ("c_attn", "attn.c_attn", "in_proj", "attn.proj_in")),
    ("attn.kqv", 3, ("key", "query", "value")),
    ("to_kv", 2, ("key", "value")),
    ("attn.kv_proj", 2, ("key", "value")),
    ("attn.q_proj", 1, ("query",)),
    ("attention.self.value", 1, ("value",)),
    ("to_k", 1, ("key",)),
    *((name, 1, ("attention_output",)) for name in ("attn.c_proj", "attn.proj", "attention.dense", "self_attn.o_proj")),
    *((name, 1, ("branch_last",)) for name in ("mlp.c_proj", "mlp.fc2", "feed_forward.w2", "mlp.dense_4h_to_h")),
    # None of these says that it holds three matrices.
    *((name, 3, ("hidden",)) for name in ("fc", "mlp.fc1", "expand", "heads", "attn.mlp.fc1", "dkv", "kv_a_proj")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "factor", "roles"), NAMES)
def test_linear_layers_are_read_by_their_names(name: str, factor: int, roles: tuple[str, ...]) -> None:
    path, _, own = name.rpartition(".")
    model = nn.Module()
    for part in path.split(".") if path else ():
        (model if part == path.split(".")[0] else model.get_submodule(path.split(".")[0])).add_module(part, nn.Module())
    (model.get_submodule(path) if path else model).add_module(own, nn.Linear(12, factor * 12))
    whole = nn.ModuleDict({"first": nn.Linear(3, 12), "middle": model, "last": nn.Linear(12, 3)})
    found = {parameter.name: parameter for parameter in parameters(whole)}
    assert tuple(block.role for block in found[f"middle.{name}.weight"].blocks) == roles
    assert {block.shape for block in found[f"middle.{name}.weight"].blocks} == {(factor * 12 // len(roles), 12)}
    assert len(found[f"middle.{name}.bias"].blocks) == len(roles)
    assert bool(found[f"middle.{name}.weight"].note) == (len(roles) > 1)
    assert found["first.weight"].roles == ("input", "weight")
    assert found["last.weight"].roles == ("output", "weight")
    assert found["last.bias"].roles == ("output_bias", "bias")


def test_a_fused_projection_has_the_fans_of_its_matrices_and_says_so() -> None:
    model = nn.ModuleDict({"first": nn.Linear(3, 192), "attn_qkv": nn.Linear(192, 576), "wide": nn.Linear(192, 576)})
    certificates = initbench.initialize(model, "xavier_normal", blocks={"wide": 3})
    for name in ("attn_qkv", "wide"):
        assert float(model[name].weight.detach().std()) == pytest.approx(math.sqrt(2 / 384), rel=0.01)
    assert certificates["attn_qkv.weight"].notes == ("read as 3 matrices by its name: query, key, value",)
    certificates = initbench.initialize(model, "xavier_normal", blocks={"*qkv": 1, "wide.weight": [192, 384]})
    assert float(model["attn_qkv"].weight.detach().std()) == pytest.approx(math.sqrt(2 / 768), rel=0.01)
    assert certificates["attn_qkv.weight"].notes == ()
    first, second = model["wide"].weight.detach().split([192, 384])
    assert float(first.std()) == pytest.approx(math.sqrt(2 / 384), rel=0.01)
    assert float(second.std()) == pytest.approx(math.sqrt(2 / 576), rel=0.01)


def test_query_key_and_value_alternate_over_the_heads_of_gpt_neox() -> None:
    model = nn.Module()
    model.attention = nn.Module()
    model.attention.num_attention_heads = 4
    model.attention.query_key_value = nn.Linear(32, 96)
    certificates = initbench.initialize(model, "orthogonal", bias="normal")
    assert "alternating over 4 heads" in certificates["attention.query_key_value.weight"].notes[0]
    by_head = model.attention.query_key_value.weight.detach().double().reshape(4, 3, 8, 32)
    for matrix in by_head.transpose(0, 1).reshape(3, 32, 32):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(32), atol=1e-6)


class Conv1D(nn.Module):
    """As in Hugging Face's GPT-2: a linear layer whose weight is ``[in, out]``."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight, self.bias = nn.Parameter(torch.zeros(nx, nf)), nn.Parameter(torch.zeros(nf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias


def test_the_transposed_linear_layers_of_gpt_2_are_drawn() -> None:
    model = nn.Module()
    model.wte = nn.Embedding(50, 64)
    model.attn = nn.ModuleDict({"c_attn": Conv1D(192, 64), "c_proj": Conv1D(64, 64)})
    model.mlp = nn.ModuleDict({"c_fc": Conv1D(256, 64), "c_proj": Conv1D(64, 256)})
    model.ln_f = nn.LayerNorm(64)
    certificates = initbench.initialize(model, "orthogonal")
    assert "kept" not in {certificate.law for certificate in certificates.values()}
    for matrix in model.attn["c_attn"].weight.detach().double().split(64, dim=1):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-6)
    he = initbench.initialize(model, "he_normal", gain=1.0)
    assert all(he[f"mlp.c_{name}.weight"].passed for name in ("fc", "proj"))
    assert float(model.mlp["c_fc"].weight.detach().std()) == pytest.approx(1 / 8, rel=0.05)
    assert float(model.mlp["c_proj"].weight.detach().std()) == pytest.approx(1 / 16, rel=0.05)


def held(module: nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in module.parameters()]


@pytest.mark.parametrize("dim", [0, 1, None])
def test_under_weight_norm_the_effective_weight_is_the_laws(dim: int | None) -> None:
    old = torch.nn.utils.weight_norm
    with pytest.warns(FutureWarning):
        wrapped = [old(nn.Linear(48, 32), dim=dim), old(nn.Conv2d(8, 16, 3, groups=2), dim=dim)]
    wrapped += [parametrizations.weight_norm(nn.Linear(48, 32), dim=dim)]
    for layer in wrapped:
        certificates = initbench.initialize(layer, "orthogonal", seed=2)
        assert all(certificate.passed for certificate in certificates.values())
        layer(torch.ones(1, 8, 9, 9) if isinstance(layer, nn.Conv2d) else torch.ones(1, 48))
        weight = layer.weight.detach().double()
        for block in weight.split(len(weight) // getattr(layer, "groups", 1)):
            matrix = block.flatten(1)
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-6)
    before = held(wrapped[-1])
    with pytest.raises(InputError, match="original0 holds norms, and a unit of zeros has no direction"):
        initbench.initialize(wrapped[-1], "zero")
    assert all(map(torch.equal, before, wrapped[-1].parameters()))


def test_a_weight_that_something_else_computes_is_left_and_said() -> None:
    model = nn.ModuleDict({"a": parametrizations.spectral_norm(nn.Linear(30, 20)), "b": nn.Linear(20, 10)})
    name = "a.parametrizations.weight.original"
    with pytest.warns(UserWarning, match=rf"left 72\.3% of the parameters as they were: {name}\. They"):
        certificates = initbench.initialize(model, "he_normal")
    assert certificates[name].law == "kept"


# Modules, and the names of parameters that torch fills with a constant.
TORCH: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(300, 200),
    "convolution": lambda: nn.Conv2d(32, 64, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(64, 16, 3, groups=2),
    "embedding": lambda: nn.Embedding(300, 64, padding_idx=7),
    "bag": lambda: nn.EmbeddingBag(300, 64),
    "lstm": lambda: nn.LSTM(40, 64, num_layers=2, bidirectional=True),
    "projected": lambda: nn.LSTM(40, 64, proj_size=24),
    "gru": lambda: nn.GRU(40, 64),
    "rnn": lambda: nn.RNN(40, 64),
    "cell": lambda: nn.LSTMCell(40, 64),
    "attention": lambda: nn.MultiheadAttention(64, 4),
    "other_sizes": lambda: nn.MultiheadAttention(64, 4, kdim=48, vdim=96),
    "layer": lambda: nn.TransformerEncoderLayer(64, 4, 256),
    "transformer": lambda: nn.Transformer(64, 4, 1, 1, 256, batch_first=True),
    "norm": lambda: nn.BatchNorm2d(64),
}


@pytest.mark.parametrize("kind", TORCH)
def test_torch_default_is_what_torchs_own_layers_hold(kind: str) -> None:
    torch.manual_seed(0)
    theirs, ours = TORCH[kind](), TORCH[kind]()
    with torch.no_grad():
        for value in ours.parameters():
            value.fill_(7.0)
    assert all(found.passed for found in initbench.initialize(ours, "torch_default").values())
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        a, b, n = a.detach().double(), b.detach().double(), a.numel()
        if not b.std():
            assert torch.equal(a, b), name
            continue
        # Five standard errors of a difference of two normals' standard deviations, and of their means.
        assert float(a.std() / b.std()) == pytest.approx(1, abs=5 / math.sqrt(n)), name
        assert float(a.mean()) == pytest.approx(float(b.mean()), abs=5 * math.sqrt(2 / n) * float(b.std())), name
        if name.startswith("weight") and "bag" not in kind and "embedding" not in kind:
            # Uniform laws have a bound, which the largest of thousands of draws comes near.
            assert float(a.abs().max() / b.abs().max()) == pytest.approx(1, abs=40 / n), name
        assert ((a == 0).sum() > 0) == ((b == 0).sum() > 0), name
    assert torch.equal(torch.zeros(64), ours.weight[7]) if kind == "embedding" else True


def test_torch_default_may_have_other_biases_and_is_a_run_of_its_own_on_a_users_module(tmp_path: Any) -> None:
    layer = nn.LSTM(4, 8)
    initbench.initialize(layer, "torch_default", bias="zeros")
    assert not layer.bias_hh_l0.any()
    assert float(layer.weight_hh_l0.detach().abs().max()) == pytest.approx(1 / math.sqrt(8), rel=0.05)
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, n):\n"
        "        super().__init__()\n"
        "        self.rnn, self.out = nn.GRU(8, 16, batch_first=True), nn.Linear(16, n)\n"
        "    def forward(self, x):\n"
        "        return self.out(self.rnn(x.flatten(1).reshape(-1, 8, 8))[0][:, -1])\n"
        "def net(shape, n):\n"
        "    return Net(n)\n"
    )
    module, params = started("model=module", f"model.path={tmp_path / 'own.py'}:net", "init=torch_default")
    initbench.initialize(module, "torch_default", seed=3)
    for key, value in module.state_dict().items():
        assert (value.numpy() == params[key]).all(), key
    assert np.abs(params["rnn.weight_ih_l0"]).max() == pytest.approx(1 / 4, rel=0.02)
    assert request(compose(["init=torch_default"])).cells[0].init.scheme == ""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("init", ["he_normal", "xavier_uniform", "orthogonal", "identity", "he_rademacher", "constant"])
def test_a_certificate_is_of_what_a_low_precision_holds(init: str, dtype: torch.dtype) -> None:
    model = nn.Linear(200, 100, bias=False).to(dtype)
    (certificate,) = initbench.initialize(model, init).values()
    assert certificate.passed
    assert certificate.std == pytest.approx(float(model.weight.detach().double().std(correction=0)), rel=1e-9)


def test_weights_that_a_precision_rounds_to_zero_are_refused() -> None:
    model = nn.Linear(30, 20).half()
    before = held(model)
    with pytest.raises(InputError, match=r"'gaussian' on weight: 6\d\d of 600 values become 0, too small for torch.f"):
        initbench.initialize(model, "normal", std=1e-9)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("std", [0.02, 0.5, 1.0, 3.0])
def test_truncated_normal_of_torch_has_absolute_bounds(std: float) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.init.trunc_normal_(torch.empty(400, 500), std=std).double()
    ours = nn.Linear(500, 400)
    initbench.initialize(ours, "truncated_normal@torch", std=std)
    weight = ours.weight.detach().double()
    assert float(weight.std() / theirs.std()) == pytest.approx(1, abs=0.01)
    assert float(weight.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.2 if std < 1 else 0.01)
    moved = nn.Linear(500, 400)
    (certificate, _) = initbench.initialize(moved, "truncated_normal@torch", mean=1.0, low=0.0, high=1.5).values()
    theirs = torch.nn.init.trunc_normal_(torch.empty(400, 500), mean=1.0, a=0.0, b=1.5).double()
    assert certificate.mean == pytest.approx(float(theirs.mean()), abs=0.01)
    assert certificate.std == pytest.approx(float(theirs.std()), rel=0.02)


def of_law(name: str, **params: Any) -> Draw:
    return Draw(name, LAWS[name], tuple({**LAWS[name].defaults, **params}.items()))


ZEROS = Draw("zeros", BIASES["zeros"])


def test_a_scheme_of_a_transformer_is_a_list_of_rules() -> None:
    """DeepNorm and GPT-2 in rules: a factor on values and what ends a branch, queries and keys as they are."""
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(96, 4, 192, batch_first=True), 3)
    rules = (
        Rule("value", factor=0.5),
        Rule("branch_last", factor=lambda block: block.n_branches**-0.5),
        Rule("key", law=of_law("orthogonal")),
        *scheme_rules(of_law("glorot_normal"), ZEROS),
    )
    parts = {part.name: part for part in assign(parameters(model), rules)}
    part = parts["layers.1.self_attn.in_proj_weight"]
    query, key, value = blocks = part.blocks(0)
    std = math.sqrt(1 / 96)
    for block, of in ((query, std), (key, std), (value, std / 2)):
        assert block.std() == pytest.approx(of, rel=0.05)
    np.testing.assert_allclose(key @ key.T, np.eye(96), atol=1e-5)
    found = part.certificate(blocks)
    assert (found.faults, found.law) == ((), "glorot_normal + orthogonal")
    (fault,) = part.certificate([query, key, value * 2]).faults
    assert fault.startswith("value: std 0.1")
    # Two branches a layer, three layers.
    (closing,) = parts["layers.2.linear2.weight"].blocks(0)
    assert closing.std() == pytest.approx(math.sqrt(2 / 288 / 6), rel=0.05)
    (closing,) = parts["layers.0.self_attn.out_proj.weight"].blocks(0)
    assert closing.std() == pytest.approx(std / math.sqrt(6), rel=0.05)


def test_the_first_rule_that_says_something_decides() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    rules = (
        Rule("weight", law=of_law("constant", value=2.0), pattern="1.*"),
        Rule("output", factor=3.0),
        Rule("weight", factor=5.0, pattern="2.*"),
        *scheme_rules(of_law("constant", value=1.0), ZEROS),
    )
    values = {part.name: part.blocks(0)[0].max() for part in assign(parameters(model), rules)}
    assert [values[f"{i}.weight"] for i in range(3)] == [1, 2, 3]
    assert values["2.bias"] == 0
    assert [part.name for part in assign(parameters(model), rules[:1]) if not part.kept] == ["1.weight"]


@pytest.mark.parametrize(("what", "asked"), [("a learning rate", {"lr": 0.1}), ("a multiplier", {"multiplier": 2.0})])
def test_what_no_engine_has_is_refused_in_one_line(what: str, asked: dict[str, float]) -> None:
    rules = (Rule("hidden", **asked), *scheme_rules(of_law("he_normal"), ZEROS))
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    with pytest.raises(InputError, match=f"the scheme gives 1.weight {what} of its own, which no engine has yet"):
        assign(parameters(model), rules)
    assert assign(parameters(model[:1]), rules)


def test_a_role_that_there_is_not_is_refused_and_every_rule_names_one() -> None:
    with pytest.raises(ValueError, match="role must be one of weight, input, hidden"):
        Rule("queries")
    assert {rule.role for scheme in SCHEMES.values() for rule in scheme.rules} <= set(ROLES)


def test_patterns_bring_their_own_biases_unless_one_policy_is_given() -> None:
    model = nn.Sequential(nn.Linear(50, 40), nn.Linear(40, 30))
    initbench.initialize(model, "he_normal", layers={"1.*": "torch_default"})
    assert not model[0].bias.any()
    assert model[1].bias.all()
    initbench.initialize(model, "he_normal", layers={"1.*": "torch_default"}, bias="zeros")
    assert not model[1].bias.any()


def test_frozen_weights_stay_in_a_run_and_are_drawn_by_initialize() -> None:
    model = nn.Sequential(nn.Linear(5, 4).requires_grad_(False), nn.Linear(4, 3))
    rules = scheme_rules(of_law("he_normal"), ZEROS)
    assert [part.kept for part in assign(parameters(model), rules)] == [True, True, False, False]
    assert initbench.initialize(model)["0.weight"].law == "he_normal"
