"""Every law of the catalogue against its formula; a new law is covered by having its line in ``EXPECTED``."""

import math

import numpy as np
import pytest
import yaml
from scipy import stats

from initbench.config import option_files
from initbench.initializers import LAWS, draw, draw_bias, fans
from initbench.seeding import stream

# Rectangular, so that fan_in, fan_out and their mean tell each other apart; 262,144 entries.
OUT, IN = 256, 1024
SHAPE = (OUT, IN)
N = OUT * IN
AVG = (OUT + IN) / 2

# Law: standard deviation by its formula, and the distribution of a standardised entry.
EXPECTED = {
    "normal": (0.01, stats.norm()),
    "uniform": (0.05 / math.sqrt(3), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    "uniform_fan_in": (math.sqrt(1 / (3 * IN)), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    "lecun_normal": (math.sqrt(1 / IN), stats.norm()),
    "lecun_uniform": (math.sqrt(1 / IN), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    "glorot_normal": (math.sqrt(1 / AVG), stats.norm()),
    "glorot_uniform": (math.sqrt(1 / AVG), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    "he_normal": (math.sqrt(2 / IN), stats.norm()),
    "he_uniform": (math.sqrt(2 / IN), stats.uniform(-math.sqrt(3), 2 * math.sqrt(3))),
    "variance_scaling": (math.sqrt(1 / IN), stats.norm()),
}
DETERMINISTIC = {"constant"}
STRUCTURED = {"orthogonal", "sparse", "positive"}


def draw_one(law: str, seed: int = 0, shape: tuple[int, ...] = SHAPE, **params: object) -> np.ndarray:
    return draw(law, shape, stream(seed, "init", "layers.0.weight"), **params)


def test_every_law_is_tested() -> None:
    assert set(LAWS) == set(EXPECTED) | DETERMINISTIC | STRUCTURED


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(8, 16), (16, 8), (32, 3, 5, 3)])
def test_contract(law: str, shape: tuple[int, ...]) -> None:
    params = {"k": 2} if law == "sparse" else {}
    weight = draw_one(law, shape=shape, **params)
    assert weight.shape == shape
    assert weight.dtype == np.float32
    assert np.isfinite(weight).all()
    assert (weight == draw_one(law, shape=shape, **params)).all()
    assert (weight == draw_one(law, seed=1, shape=shape, **params)).all() == (law in DETERMINISTIC)


@pytest.mark.parametrize("law", EXPECTED)
def test_moments_and_distribution(law: str) -> None:
    std, distribution = EXPECTED[law]
    weight = draw_one(law).ravel().astype(np.float64)
    # Five standard errors: of the mean std/√n, of the std at most std/√(2n) (the normal's; the uniform's is smaller).
    assert abs(weight.mean()) < 5 * std / math.sqrt(N)
    assert weight.std() == pytest.approx(std, rel=5 / math.sqrt(2 * N))
    assert stats.kstest(weight / std, distribution.cdf).pvalue > 1e-4


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
@pytest.mark.parametrize("shape", [SHAPE, (64, 32, 8, 8)])
def test_variance_scaling_has_the_variance_asked_for(mode: str, distribution: str, shape: tuple[int, ...]) -> None:
    fan_in, fan_out = fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    weight = draw_one("variance_scaling", shape=shape, scale=3.0, mode=mode, distribution=distribution)
    assert weight.std(dtype=np.float64) == pytest.approx(math.sqrt(3 / fan), rel=5 / math.sqrt(2 * weight.size))
    if distribution == "truncated_normal":
        assert np.abs(weight).max() <= 2.2738 * math.sqrt(3 / fan)
        z = weight.ravel() / math.sqrt(3 / fan) * 0.8796256610342398
        assert stats.kstest(z, stats.truncnorm(-2, 2).cdf).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(64, 144), (144, 64), (50, 50), (16, 4, 3, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    m = draw_one("orthogonal", shape=shape, gain=1.5).reshape(shape[0], -1).astype(np.float64)
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    # Entries are rounded to float32 once (2⁻²⁴ relative): the error of a row's product is far below 1e-6·gain².
    np.testing.assert_allclose(gram, 2.25 * np.eye(len(gram)), atol=1e-6 * 2.25)


def test_orthogonal_is_haar() -> None:
    # Without the sign correction every determinant has one sign, and the trace is biased.
    squares = [draw_one("orthogonal", seed, (3, 3)).astype(np.float64) for seed in range(400)]
    positive = sum(np.linalg.det(q) > 0 for q in squares)
    assert stats.binomtest(positive, 400).pvalue > 1e-3
    # E[trace] = 0 and E[trace²] = 1 under Haar measure.
    traces = np.array([np.trace(q) for q in squares])
    assert abs(traces.mean()) < 4 / math.sqrt(400)
    assert np.mean(traces**2) == pytest.approx(1, abs=0.4)


def test_sparse_has_k_weights_per_unit_at_random_places() -> None:
    weight = draw_one("sparse")
    assert ((weight != 0).sum(axis=1) == 15).all()
    assert weight[weight != 0].std() == pytest.approx(1, rel=5 / math.sqrt(2 * 15 * OUT))
    # How often an input is used is binomial(256, 15/1024).
    used = (weight != 0).sum(axis=0)
    assert used.var() == pytest.approx(OUT * 15 / IN * (1 - 15 / IN), rel=0.25)


def test_positive_is_he_without_signs() -> None:
    weight = draw_one("positive")
    assert (weight > 0).all()
    assert (weight == np.abs(draw_one("he_normal"))).all()
    assert weight.mean(dtype=np.float64) == pytest.approx(0.7978846 * math.sqrt(2 / IN), rel=0.01)


def test_constant() -> None:
    assert (draw_one("constant", value=0.25) == 0.25).all()


def test_he_keeps_the_second_moment_through_relu_layers_and_glorot_halves_it() -> None:
    rng = np.random.default_rng(0)
    ratios = {}
    for law in ("he_normal", "glorot_normal"):
        h = rng.standard_normal((256, 512))
        for layer in range(5):
            h = np.maximum(h @ draw(law, (512, 512), stream(0, "init", f"layers.{layer}.weight")).T, 0)
            if layer == 0:
                first = np.mean(h**2)
        ratios[law] = np.log(np.mean(h**2) / first)
    # Four layers at width 512: the log ratio has a standard deviation near 0.09.
    assert abs(ratios["he_normal"]) < 0.5
    assert ratios["glorot_normal"] == pytest.approx(-4 * math.log(2), abs=0.5)


def test_fans() -> None:
    assert fans((10, 20)) == (20, 10)
    assert fans((8, 3, 5, 5)) == (75, 200)


@pytest.mark.parametrize(
    ("law", "params", "message"),
    [
        ("normal", {"std": -1.0}, "std must be >= 0; got -1.0"),
        ("uniform", {"low": 1.0, "high": 1.0}, "low must be below high"),
        ("he_normal", {"gain": 0.0}, "gain must be > 0"),
        ("he_normal", {"mode": "fan"}, "mode must be one of fan_in, fan_out, fan_avg; got 'fan'"),
        (
            "variance_scaling",
            {"distribution": "cauchy"},
            "distribution must be one of normal, uniform, truncated",
        ),
        ("variance_scaling", {"scale": -1.0}, "scale must be >= 0"),
        ("orthogonal", {"gain": -1.0}, "gain must be > 0"),
        ("sparse", {"k": 2000}, "k must be between 1 and fan_in, here 1024; got 2000"),
    ],
)
def test_bad_parameters_are_named(law: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        draw_one(law, **params)


@pytest.mark.parametrize("law", sorted(set(LAWS) - {"constant", "normal", "uniform"}))
def test_laws_that_count_fans_refuse_vectors(law: str) -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        draw_one(law, shape=(10,))


def test_biases() -> None:
    rng = stream(0, "init", "layers.0.bias")
    assert (draw_bias("zeros", (1000, 25), rng) == 0).all()
    bias = draw_bias("uniform_fan_in", (1000, 25), rng)
    assert np.abs(bias).max() <= 0.2
    assert bias.std() == pytest.approx(0.2 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("name", option_files("init"))
def test_every_option_names_a_law_and_lists_all_its_parameters(name: str) -> None:
    node = yaml.safe_load(option_files("init")[name].read_text())
    assert node["name"] == name
    assert set(node) == {"name", "law", "bias", *LAWS[node["law"]].defaults}


def test_an_initializer_and_its_plain_name_are_one_law() -> None:
    options = {name: yaml.safe_load(file.read_text()) for name, file in option_files("init").items()}
    for name in ("he", "xavier", "lecun"):
        assert options[name] | {"name": ""} == options[f"{name}_normal"] | {"name": ""}
