"""``initbench.initialize`` on models of every kind: right fans, own streams, a certificate for every tensor."""

import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import initbench
from initbench.errors import InputError
from initbench.initializers import draw
from initbench.seeding import stream


def mlp(*sizes: int) -> nn.Module:
    model = nn.Module()
    model.layers = nn.ModuleList(nn.Linear(n, m) for n, m in zip(sizes, sizes[1:], strict=False))
    return model


@pytest.mark.full
@pytest.mark.parametrize("init", ["he_normal", "orthogonal_auto", "dirac", "sobol"])
def test_resnet18_has_a_certificate_for_every_tensor(init: str) -> None:
    from torchvision.models import resnet18

    model = resnet18(num_classes=10)
    certificates = initbench.initialize(model, init, activation="relu", layers={"fc.*": "xavier_uniform"})
    assert list(certificates) == [name for name, _ in model.named_parameters()]
    assert all(certificate.passed for certificate in certificates.values())
    assert certificates["fc.weight"].law == "xavier_uniform"
    for name, parameter in model.named_parameters():
        assert certificates[name].std == pytest.approx(
            float(parameter.detach().std(correction=0)), rel=1e-5, abs=1e-9
        ), name


def test_a_transformer_has_a_certificate_for_every_tensor() -> None:
    layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    certificates = initbench.initialize(model, "xavier_uniform")
    assert list(certificates) == [name for name, _ in model.named_parameters()]
    assert all(certificate.passed for certificate in certificates.values())
    # Query, key and value are three matrices 128 x 128: torch counts one of 384 x 128.
    query = model.layers[0].self_attn.in_proj_weight.detach()
    assert float(query.abs().max()) == pytest.approx(math.sqrt(6 / 256), rel=1e-3)
    assert certificates["layers.0.norm1.weight"].law == "ones"
    assert certificates["layers.1.self_attn.in_proj_bias"].law == "zeros"
    assert torch.isfinite(model(torch.ones(1, 3, 128))).all()


def test_a_parameter_depends_on_its_name_and_the_seed_alone() -> None:
    small, large = mlp(20, 30, 10), mlp(20, 30, 10)
    large.another = nn.Linear(7, 7)
    torch.manual_seed(1)
    state = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    initbench.initialize(small, "he_uniform", seed=3)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    torch.manual_seed(2)
    initbench.initialize(large.double(), "he_uniform", seed=3)
    for name, parameter in small.named_parameters():
        assert torch.equal(parameter.double(), large.get_parameter(name))
    first = small.layers[0].weight.clone()
    initbench.initialize(small, "he_uniform", seed=4)
    assert not torch.equal(small.layers[0].weight, first)


def test_it_draws_what_the_benchmark_trains() -> None:
    model = mlp(20, 30, 10)
    initbench.initialize(model, "he_normal", seed=5, bias={"name": "normal", "std": 0.1})
    for i, shape in enumerate([(30, 20), (10, 30)]):
        expected = draw("he_normal", shape, stream(5, "init", f"layers.{i}.weight"))
        assert (model.layers[i].weight.detach().numpy() == expected).all()
        bias = 0.1 * stream(5, "init", f"layers.{i}.bias").standard_normal(shape[0], np.float32)
        np.testing.assert_allclose(model.layers[i].bias.detach(), bias, rtol=1e-6)


def he_std(module: nn.Module, mode: str) -> float:
    model = nn.Sequential(module)
    initbench.initialize(model, {"name": "he_normal", "mode": mode})
    return float(module.weight.detach().std(correction=0))


@pytest.mark.parametrize(
    ("module", "fan_in", "fan_out"),
    [
        (nn.Linear(300, 200), 300, 200),
        (nn.Conv1d(64, 96, 5), 64 * 5, 96 * 5),
        (nn.Conv2d(64, 96, (3, 5)), 64 * 15, 96 * 15),
        (nn.Conv3d(16, 24, 3), 16 * 27, 24 * 27),
        # torch's fan_out is 4 times too large here, and 512 times for the depthwise one.
        (nn.Conv2d(128, 256, 3, groups=4), 32 * 9, 64 * 9),
        (nn.Conv2d(512, 1024, 5, groups=512), 25, 50),
        # torch's fans are swapped here.
        (nn.ConvTranspose2d(128, 32, 3), 128 * 9, 32 * 9),
        (nn.ConvTranspose1d(128, 256, 5, groups=4), 32 * 5, 64 * 5),
        (nn.ConvTranspose3d(16, 24, 3), 16 * 27, 24 * 27),
        (nn.Embedding(1000, 50), 50, 1000),
    ],
)
def test_fans_are_those_of_one_unit(module: nn.Module, fan_in: int, fan_out: int) -> None:
    n = module.weight.numel()
    assert he_std(module, "fan_in") == pytest.approx(math.sqrt(2 / fan_in), rel=5 / math.sqrt(2 * n))
    assert he_std(module, "fan_out") == pytest.approx(math.sqrt(2 / fan_out), rel=5 / math.sqrt(2 * n))


@pytest.mark.parametrize("groups", [1, 4])
def test_he_keeps_the_second_moment_through_a_transposed_convolution(groups: int) -> None:
    conv = nn.ConvTranspose2d(64, 128, 3, groups=groups)
    initbench.initialize(conv, "he_normal")
    x = torch.randn(8, 64, 12, 12, generator=torch.Generator().manual_seed(0)).relu()
    inner = conv(x)[:, :, 3:-3, 3:-3]
    assert float((inner**2).mean().detach() / (2 * (x**2).mean())) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("module", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_grouped_dirac_passes_every_channel_through(module: Any) -> None:
    conv = module(8, 8, 3, padding=1, groups=4)
    initbench.initialize(conv, "dirac")
    x = torch.randn(2, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(conv(x), x)


def test_gates_and_projections_are_matrices_of_their_own() -> None:
    lstm = nn.LSTM(32, 64, num_layers=2)
    certificates = initbench.initialize(lstm, "orthogonal", bias="uniform_fan_in")
    assert list(certificates) == [name for name, _ in lstm.named_parameters()]
    for gate in lstm.weight_hh_l0.detach().double().split(64):
        np.testing.assert_allclose(gate @ gate.T, np.eye(64), atol=1e-6)
    assert float(lstm.bias_ih_l0.detach().abs().max()) == pytest.approx(1 / math.sqrt(32), rel=0.05)
    shapes = {"qkv": (3, 64), "to_kv": (2, 64), "in_proj": (3, 64), "c_attn": (3, 64), "proj": (1, 64)}
    fused = nn.ModuleDict({name: nn.Linear(64, n * out) for name, (n, out) in shapes.items()})
    # A layer of that name that does not hold three square matrices.
    fused["other"] = nn.ModuleDict({"in_proj": nn.Linear(64, 48)})
    certificates = initbench.initialize(fused, "orthogonal")
    blocks = {name: certificate.promise and certificate.promise.blocks for name, certificate in certificates.items()}
    assert {name: blocks[f"{name}.weight"] for name in shapes} == {name: n for name, (n, _) in shapes.items()}
    assert blocks["other.in_proj.weight"] == 1
    for name in shapes:
        for matrix in fused[name].weight.detach().double().split(64):
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-6)


def test_embeddings_keep_their_padding_at_zero_and_ties_are_drawn_once() -> None:
    model = nn.ModuleDict({"embed": nn.Embedding(500, 32, padding_idx=3), "head": nn.Linear(32, 500, bias=False)})
    model["head"].weight = model["embed"].weight
    certificates = initbench.initialize(model, "normal", std=0.02)
    assert list(certificates) == ["embed.weight"]
    assert (model["embed"].weight[3] == 0).all()
    assert float(model["head"].weight.detach().std()) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("init", ["orthogonal", "torch_default", "constant", "half_normal"])
def test_a_certificate_measures_the_padding_too(init: str) -> None:
    layer = nn.Embedding(9, 20, padding_idx=4)
    certificate = initbench.initialize(layer, init)["weight"]
    held = layer.weight.detach()
    assert certificate.passed
    assert certificate.zeros == 20 / 180
    assert (certificate.mean, certificate.std, certificate.maximum) == pytest.approx(
        (float(held.mean()), float(held.std(correction=0)), float(held.abs().max())), rel=1e-5, abs=1e-8
    )


def test_the_activation_sets_the_gain_where_it_is_asked_to() -> None:
    def std(init: Any, **options: Any) -> float:
        layer = nn.Linear(500, 400)
        initbench.initialize(layer, init, **options)
        return float(layer.weight.detach().std(correction=0)) * math.sqrt(500)

    assert std("he_normal") == pytest.approx(math.sqrt(2), rel=0.01)
    assert std("he_normal", activation="relu") == pytest.approx(math.sqrt(2), rel=0.01)
    # The named law as listed, as in a run: its gain is the activation's where that is asked for.
    assert std("lecun_normal", activation="gelu") == pytest.approx(1, rel=0.01)
    assert std("he_normal", activation="tanh") == pytest.approx(math.sqrt(2), rel=0.01)
    assert std("lecun_normal", activation="gelu", gain="auto") == pytest.approx(1.5335, rel=0.01)
    assert std({"name": "lecun_normal", "gain": "auto"}, activation="gelu") == pytest.approx(1.5335, rel=0.01)
    assert std("orthogonal_auto", activation="relu") == pytest.approx(math.sqrt(2), rel=0.01)
    leaky = {"name": "leaky_relu", "negative_slope": 0.2}
    assert std("lecun_normal", activation=leaky, gain="auto") == pytest.approx(1.3868, rel=0.01)
    assert std("lecun_normal", activation="gelu", gain=3) == pytest.approx(3, rel=0.01)
    assert std("lecun_normal", activation="tanh", gain="torch") == pytest.approx(5 / 3, rel=0.01)
    assert std("he_normal@keras", activation="tanh") == pytest.approx(math.sqrt(2), rel=0.01)
    assert std("critical", activation="tanh", bias="critical") == pytest.approx(1.327, rel=0.01)
    assert std("critical", activation="tanh") == pytest.approx(1.327, rel=0.01)


def test_a_function_of_ones_own_is_an_initializer() -> None:
    def half(shape: tuple[int, ...], rng: np.random.Generator, *, scale: float = 0.5) -> np.ndarray:
        return scale * rng.random(shape)

    model = mlp(20, 30, 10)
    certificates = initbench.initialize(model, half, scale=2.0, layers={"layers.1.*": "zero"})
    assert certificates["layers.0.weight"].law == "half"
    assert float(model.layers[0].weight.detach().mean()) == pytest.approx(1, abs=0.1)
    assert (model.layers[1].weight == 0).all()


def test_parameters_of_unknown_modules_stay_unless_they_are_named() -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.full((1, 9, 32), 7.0))
            self.project = nn.Linear(16, 32)

    model = Patches()
    with pytest.warns(UserWarning, match=r"left 34\.6% of the parameters as they were: position\. They belong to"):
        assert initbench.initialize(model, "he_normal")["position"].law == "kept"
    assert (model.position == 7).all()
    named = initbench.initialize(model, "he_normal", layers={"position": {"name": "normal", "std": 0.02}})
    assert named["position"].law == "gaussian"
    assert float(model.position.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_what_is_left_is_counted_with_its_vectors() -> None:
    class Handmade(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4))

    with pytest.warns(UserWarning, match=r"left 100\.0% of the parameters as they were: weight, bias\. They belong"):
        initbench.initialize(Handmade(), "he_normal")


def test_complex_and_whole_numbers_are_left_and_said() -> None:
    class Packed(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 8, bias=False)
            self.weight = nn.Parameter(torch.arange(64).reshape(8, 8), requires_grad=False)  # type: ignore[assignment]

    model = nn.Sequential(nn.Linear(8, 8, bias=False, dtype=torch.complex64), Packed(), nn.Linear(8, 8, bias=False))
    before = [model[i].weight.detach().clone() for i in range(2)]
    said = (
        r"left 66\.7% .*: 0\.weight, 1\.weight\. Only real .*: 0\.weight is torch.complex64, 1\.weight is torch.int64$"
    )
    for layers in (None, {"*.weight": "he_normal"}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.warns(UserWarning, match=said):
                certificates = initbench.initialize(model, "he_normal", layers=layers)
        assert [certificates[f"{i}.weight"].law for i in range(3)] == ["kept", "kept", "he_normal"]
        assert all(torch.equal(model[i].weight, before[i]) for i in range(2))
    parts = torch.view_as_real(before[0])
    assert certificates["0.weight"].std == pytest.approx(float(parts.std(correction=0)), rel=1e-5)


# Arguments, and what the one line says.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"init": "he_nromal"}, "unknown init 'he_nromal', did you mean 'he_normal'?"),
    ({"init": "identity"}, "init 'identity' on 0.weight of shape (4, 8, 3, 3): identity is for dense weights"),
    ({"init": "delta_orthogonal"}, "at least as many channels out as in; got 4 out of 8"),
    ({"init": "sparse", "k": 100}, "k must be between 1 and fan_in, here 72; got 100"),
    ({"init": "he_normal", "std": 1.0}, "unknown setting 'init.std'"),
    ({"activation": "rlu"}, "unknown activation 'rlu', did you mean 'relu'?"),
    ({"activation": "gelu", "gain": "torch"}, "torch has no gain for 'gelu'"),
    ({"init": "critical"}, "bias.std=auto needs the activation"),
    ({"init": "critical", "bias": "zeros"}, "init.gain=critical needs the activation"),
    ({"bias": "ones"}, "unknown bias 'ones'"),
    ({"bias": "log_prior"}, "bias 'log_prior' needs to know the output layer"),
    ({"bias": {"std": 0.1}}, "a mapping must have a 'name'"),
    ({"activation": {"name": "relu", "slope": 1.0}}, "unknown setting 'activation.slope'"),
    ({"layers": {"fc.*": "zero"}}, "layers: 'fc.*' matches no parameter of the model"),
    ({"layers": {"1.*": "nope"}}, "unknown init 'nope'"),
    ({"init": lambda shape, rng: np.zeros((2, 2))}, "it returned an array of shape (2, 2)"),
    *(
        ({"init": lambda shape, rng, value=value: np.full(shape, value)}, "an array that is not of finite numbers")
        for value in (np.nan, 1e300, 1j, True, "x")
    ),
    ({"init": "gaussian", "std": torch.ones(2)}, 'init.std must be a finite number; got "tensor([1., 1.])"'),
    ({"init": "gaussian", "std": "0.1"}, "init.std must be a finite number; got '0.1'"),
    *(({"seed": seed}, "seed must be a whole number >= 0; got ") for seed in (-1, None, "x", True, 1.0)),
    ({"activation": nn.ReLU()}, "activation must be a name, or a mapping with a 'name'; got ReLU"),
    ({"bias": 1}, "bias must be a name, or a mapping with a 'name'; got int"),
    ({"init": "fixup"}, "init 'fixup' is for residual branches, which it cannot find in this module"),
    ({"blocks": {"2": 3}}, "blocks: the 100 rows of 2 cannot be cut into 3"),
    ({"blocks": {"2.*": [60, 60]}}, "blocks: the 100 rows of 2 cannot be cut into [60, 60]"),
    ({"blocks": {"2": 0}}, "blocks: the 100 rows of 2 cannot be cut into 0"),
    ({"blocks": {"0": 2}}, "blocks: '0' matches no weight of a linear layer"),
    ({"init": 5}, "init must be a name, or a mapping with a 'name'; got int"),
    ({"init": ["he"]}, "init must be a name, or a mapping with a 'name'; got list"),
    ({"init": {"name": 5}}, "init: a mapping must have a 'name'; got {'name': 5}"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_told_in_one_line_and_leaves_the_model_alone(arguments: dict[str, Any], message: str) -> None:
    model = nn.Sequential(nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(100, 100))
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InputError) as error:
        initbench.initialize(model, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert all(map(torch.equal, before, model.parameters()))


def test_scalars_of_any_kind_are_numbers() -> None:
    models = [nn.Linear(30, 20) for _ in range(4)]
    for model, std in zip(models, (0.5, np.float32(0.5), torch.tensor(0.5), np.array(0.5)), strict=True):
        initbench.initialize(model, "sparse", k=np.int64(3), std=std, seed=np.uint8(2))  # type: ignore[arg-type]
        assert torch.equal(model.weight, models[0].weight)
    assert int((models[0].weight != 0).sum()) == 60


def test_weights_that_the_precision_cannot_hold_are_refused() -> None:
    model = nn.Linear(30, 20).half()
    before = model.weight.clone()
    with pytest.raises(InputError, match="init 'gaussian' on weight: a value is too large for torch.float16"):
        initbench.initialize(model, "normal", std=1e5)
    assert torch.equal(model.weight, before)


def _expanded() -> nn.Parameter:
    return nn.Parameter(torch.ones(1, 4).expand(4, 4))


def _of_inference() -> nn.Parameter:
    with torch.inference_mode():
        return nn.Linear(4, 4).weight


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda first: _expanded(), "entries of 1.weight are the same memory; tie whole parameters"),
        (lambda first: nn.Parameter(first.data), "entries of 0.weight and 1.weight are the same memory"),
        (lambda first: nn.Parameter(first.data.t()), "entries of 0.weight and 1.weight are the same memory"),
        (lambda first: _of_inference(), "1.weight was made in inference mode"),
    ],
)
def test_memory_that_cannot_be_written_by_itself_is_refused_before_anything_is(second: Any, message: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = second(model[0].weight)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(InputError, match=message):
        initbench.initialize(model, "he_normal")
    assert all(map(torch.equal, before, model.parameters()))


def test_parts_of_one_memory_are_parameters_like_any_others() -> None:
    memory, apart = torch.empty(4, 6), nn.Sequential(nn.Linear(2, 4, bias=False), nn.Linear(4, 4, bias=False))
    model = nn.Sequential(nn.Linear(2, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[0].weight, model[1].weight = nn.Parameter(memory[:, :2]), nn.Parameter(memory[:, 2:])
    for one in (model, apart):
        initbench.initialize(one, "he_normal")
    assert all(map(torch.equal, model.parameters(), apart.parameters()))


def test_a_model_without_values_is_refused() -> None:
    with pytest.raises(InputError, match="weight has no values yet"):
        initbench.initialize(nn.LazyLinear(3))
    with pytest.raises(InputError, match="weight has no values yet"):
        initbench.initialize(nn.Linear(3, 3, device="meta"))


@pytest.mark.full
def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, initbench; assert 'torch' not in sys.modules; initbench.initialize; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'initialise'"):
        initbench.initialise  # noqa: B018
