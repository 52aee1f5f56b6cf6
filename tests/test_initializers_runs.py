"""Initializers and biases at work: what a deep network makes of them, and how the command line trains them."""

from collections.abc import Callable

import numpy as np
import pytest
import yaml
from conftest import Answer, stored
from conftest import asked as ways

from initbench.initializers import LAWS, draw
from initbench.initializers.schemes import SCHEMES
from initbench.seeding import stream
from initbench.settings.options import option_files

Initbench = Callable[..., Answer]


# Law, and the factor by which one wide relu layer multiplies the second moment of its inputs.
PER_LAYER = {
    "he_normal": 1.0,
    "he_rademacher": 1.0,
    "sobol": 1.0,
    "lecun_normal": 1 / 2,
    "uniform_fan_in": 1 / 6,
    "normal": 512 * 0.01**2 / 2,
    # With positive inputs relu does nothing and the mean decides: (n · E[w])² = 2/π · 2n.
    "positive": 2 / np.pi * 2 * 512,
    "positive_mean": 1.0,
}


@pytest.mark.full
@pytest.mark.parametrize("law", PER_LAYER)
def test_a_deep_relu_network_scales_as_its_law_says(law: str) -> None:
    depth, logs = 8, []
    for seed in range(5):
        h = np.abs(stream(seed, "data").standard_normal((16, 512)))
        for layer in range(depth + 1):
            if layer == 1:
                # The first layer makes activations of whatever the inputs were.
                start = np.mean(h**2)
            weight = draw(law, (512, 512), stream(seed, "init", f"layers.{layer}.weight"), **LAWS[law].defaults)
            h = np.maximum(h @ weight.T.astype(np.float64), 0)
        logs.append(np.log(np.mean(h**2) / start) / depth)
    # Of the log of one layer's factor the standard deviation is near √(5/512); over 8 layers and 5 seeds, 0.016.
    assert np.mean(logs) == pytest.approx(np.log(PER_LAYER[law]), abs=0.1)


@pytest.mark.full
def test_every_initializer_and_every_bias_trains_five_layers(initbench: Initbench) -> None:
    setting = ("dataset=digits", "depth=5", "width=16", "epochs=1", "seeds=1")
    assert initbench("run", "init=glob(*)", *setting).code == 0
    assert initbench("run", "bias=glob(*)", "activation=tanh", *setting).code == 0
    # A pattern names what can serve: a plain network has no residual branches to scale.
    files = option_files("init").items()
    schemes = {name: SCHEMES.get(yaml.safe_load(file.read_text()).get("scheme", "")) for name, file in files}
    for_any_model = {name for name, scheme in schemes.items() if scheme is None or not scheme.residual}
    # Nor has a network of ours a start of its own.
    assert {one.init for one in ways()} == for_any_model - {"own"}
    assert {one.bias for one in ways()} == set(option_files("bias"))
    assert {record["outcome"] for record in stored().values()} <= {"ok", "diverged"}


@pytest.mark.full
def test_first_and_output_layer_start_as_asked(initbench: Initbench) -> None:
    layers = ("init=he", "init_first=gaussian", "init_first.std=0.5", "init_output=zero", "depth=2", "seeds=1")
    asked = (*layers, "dataset=digits", "width=16", "epochs=1")
    assert initbench("run", *asked).code == 0
    (record,) = stored().values()
    assert [std for std, _ in record["certificate"].values()] == [0.5, 0.3536, 0.0]
    assert record["trial"]["init_output"] == {"law": "constant", "value": 0.0}
    # With zero output weights the logits are the biases: zeros, or the log-frequencies of nearly balanced classes.
    assert record["history"]["val_loss"][0] == pytest.approx(np.log(10), rel=1e-5)
    assert initbench("run", "bias=log_prior", *asked).code == 0
    losses = {r["asked"].get("bias", "zeros"): r["history"]["val_loss"][0] for r in stored().values()}
    assert losses["log_prior"] == pytest.approx(losses["zeros"], abs=0.05)
    assert losses["log_prior"] != losses["zeros"]


def test_what_is_known_to_be_odd_is_said_before_training(initbench: Initbench) -> None:
    answer = initbench("run", "init=sobol_flat", "seeds=1", "dataset=digits", "epochs=1")
    assert answer.code == 0
    assert "note: 'sobol_flat' on layers.1.weight of shape (128, 128): nearly low rank: stable rank" in answer.err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("init.gain=1e39", "init 'he' on layers.0.weight of shape (16, 16): it returned an array that is not of"),
        ("init.gain=1e200", "init 'he': a parameter is too large"),
        ("init=gaussian init.std=1e39", "init 'gaussian': it returned an array that is not of finite numbers"),
        ("init=random_walk init.kurtosis=1e300", "init 'random_walk': a parameter is too large"),
        ("init=random_walk init.kurtosis=1e5", "init 'random_walk' on layers.0.weight of shape (16, 16): a parameter"),
        ("bias=normal bias.std=1e39", "'normal' on layers.0.bias of shape (16,): not every entry is finite"),
    ],
)  # fmt: skip
def test_what_float32_cannot_hold_is_told_in_one_line(initbench: Initbench, settings: str, message: str) -> None:
    answer = initbench("run", *settings.split(), "dataset=synthetic", "width=16", "epochs=1", "seeds=1")
    assert answer.code == 2
    assert answer.err.startswith(f"initbench: error: {message}")
    assert answer.err.count("\n") == 1
