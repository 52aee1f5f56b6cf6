"""Certificates catch what is wrong with a weight; biases are what their policy says, names what frameworks draw."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from initbench.commands.listing import listing
from initbench.initializers import BIASES, LAWS, Promise, certify, draw, draw_bias
from initbench.initializers.distributions import KURTOSIS, standardized, truncated_std
from initbench.initializers.names import ALIASES, VIEW_SOURCES, VIEWS, canonical
from initbench.seeding import stream
from initbench.settings.catalogue import Catalogue
from initbench.settings.options import option_files

SHAPE = (256, 512)


def he(law: str = "he_normal", shape: tuple[int, ...] = SHAPE, **params: object) -> np.ndarray:
    return draw(law, shape, stream(0, "init", "layers.0.weight"), **params)


HE = Promise(0.0, math.sqrt(2 / 512), "normal")

# What the peers got wrong, and what the certificate says of it.
WRONG = {
    "LeCun drawn as ±1/√fan_in": (
        he("uniform_fan_in"),
        Promise(0.0, math.sqrt(1 / 512), "uniform", bound=math.sqrt(3 / 512)),
        "std 0.0254",
    ),
    "a misspelt name that left torch's default in place": (he("uniform_fan_in"), HE, "std 0.0254"),
    "He of the transposed shape": (he(shape=(512, 256)).T, HE, "std 0.088"),
    "he_normal meant as Keras', drawn as torch's": (
        he(),
        Promise(0.0, math.sqrt(2 / 512), "truncated_normal", bound=2 * math.sqrt(2 / 512) / 0.8796),
        "|w| up to",
    ),
    "gain forgotten": (
        he("orthogonal"),
        Promise(0.0, math.sqrt(2 / 512), "normal", gain=math.sqrt(2)),
        "orthogonality",
    ),
    "√gain instead of gain": (he("orthogonal", gain=2**0.25), Promise(0.0, 0.0625, "normal", gain=2**0.5), "std"),
    "He with a mean": (he() + np.float32(0.01), HE, "mean 0.00"),
    "sparse with k counted along the wrong axis": (
        he("sparse_torch", sparsity=1 - 15 / 256),
        Promise(0.0, 0.01 * math.sqrt(15 / 512), "normal", zeros=256 * (512 - 15)),
        "zeros instead of",
    ),
    "a constant that is not quite one": (
        np.where(np.arange(64).reshape(8, 8) == 3, 0.5, 0.01),
        Promise(0.01, 0.0, zeros=0, magnitudes=((0.01, 64),)),
        "the magnitudes are not those of the law",
    ),
    "pairs of rows of which one lost its partner": (
        np.concatenate([he(shape=(128, 512)), -he(shape=(128, 512))]) * (np.arange(256) != 200)[:, None],
        Promise(0.0, math.sqrt(2 / 512), "normal", mirror="rows"),
        "its rows are not mirrored",
    ),
    "mirrored along the wrong axis": (
        he("mirrored", mirror="columns"),
        Promise(0.0, 1 / 16, "normal", mirror="rows", gain=1.0),
        "its rows are not mirrored",
    ),
    "a gain forgotten in a mirrored weight": (
        he("mirrored", mirror="both"),
        Promise(0.0, 1 / 16, "normal", mirror="both", gain=math.sqrt(2)),
        "off orthogonality",
    ),
    "an identity without its noise": (
        np.eye(256, 512, dtype=np.float32),
        Promise(0.0, 0.085 / 16, "normal", diagonal=1.0),
        "std 0.04",
    ),
    "noise of the other fan": (
        he("tanh_identity", mode="fan_in"),
        Promise(0.0, 0.085 / 16, "normal", diagonal=1.0),
        "std 0.0037",
    ),
    "not a number": (np.full((4, 4), np.nan), HE, "not every entry is finite"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_weight_fails(mistake: str) -> None:
    weight, promise, fault = WRONG[mistake]
    certificate = certify("wrong", weight, promise)
    assert not certificate.passed
    assert any(fault in text for text in certificate.faults), certificate.faults


def test_a_certificate_has_the_measured_figures() -> None:
    weight = np.array([[3.0, 0.0], [0.0, -4.0]], np.float32)
    certificate = certify("by hand", weight)
    assert (certificate.mean, certificate.maximum, certificate.zeros) == (-0.25, 4.0, 0.5)
    assert certificate.std == pytest.approx(math.sqrt(25 / 4 - 1 / 16))
    assert certificate.stable_rank == pytest.approx(25 / 16)
    assert certificate.passed
    assert certify("zeros", np.zeros((3, 3))).stable_rank is None
    assert certify("vector", np.ones(3)).stable_rank is None


@pytest.mark.full
def test_the_stable_rank_is_that_of_a_full_decomposition() -> None:
    for weight in (he(), he("orthogonal"), he("positive"), he("sobol", layout="flat"), he(shape=(10, 300))):
        singular = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
        exact = (singular**2).sum() / singular[0] ** 2
        assert certify("any", weight).stable_rank == pytest.approx(exact, rel=0.05)


def test_rows_that_are_zero_or_alike_are_told() -> None:
    weight = he(shape=(8, 32))
    assert certify("fine", weight).notes == ()
    weight[3], weight[5], weight[6] = 0, -weight[1], weight[1]
    told = ("1 of 8 rows are zero", "3 of 8 rows are another row but for the sign")
    assert certify("promises nothing", weight).notes == told
    assert certify("promises", weight, Promise(0.0, 0.25, "normal")).notes == told
    # Of zeros, constants and mirrored rows everyone knows.
    assert certify("zeros", np.zeros((4, 4))).notes == ()
    for law, shape in (("constant", (8, 4)), ("mirrored", (8, 16)), ("identity", (8, 4)), ("zero_hadamard", (8, 4))):
        promise = LAWS[law].promise
        assert promise is not None
        assert certify(law, he(law, shape), promise(shape, **LAWS[law].defaults)).notes == ()


@pytest.mark.parametrize("law", LAWS)
def test_a_law_says_whether_it_is_deterministic(law: str) -> None:
    first, other = (draw(law, (16, 32), stream(seed, "init", "w")) for seed in (0, 1))
    assert (first == other).all() == LAWS[law].deterministic


@pytest.mark.parametrize("law", [law for law in LAWS if not LAWS[law].code])
def test_a_correct_law_passes_on_every_seed(law: str) -> None:
    # Small tensors too, where sample moments stray most: six standard errors must hold over all of them.
    promise = LAWS[law].promise
    assert promise is not None
    defaults = LAWS[law].defaults | ({"k": 3} if law == "sparse" else {})
    for shape in ((10, 16), (4, 64)):
        for seed in range(50):
            weight = draw(law, shape, stream(seed, "init", "w"), **defaults)
            assert certify(law, weight, promise(shape, **defaults)).faults == ()


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal", "rademacher"])
def test_distributions_have_unit_variance_and_the_kurtosis_in_the_table(distribution: str) -> None:
    z, unit = standardized(distribution, (1000, 1000), stream(0, "init", "z"))
    z = unit * z.astype(np.float64)
    assert z.std() == pytest.approx(1, abs=4e-3)
    assert np.mean(z**4) == pytest.approx(KURTOSIS[distribution], abs=0.03)
    if distribution in ("normal", "uniform"):
        half = np.abs(z) - np.abs(z).mean()
        assert np.mean(half**4) / np.mean(half**2) ** 2 == pytest.approx(KURTOSIS[f"half_{distribution}"], abs=0.05)


def test_truncation_shrinks_the_standard_deviation_as_published() -> None:
    assert [truncated_std(cut) for cut in (1, 2, 3)] == pytest.approx(
        [0.5395601, 0.8796256610342398, 0.9865784], abs=1e-7
    )


@pytest.mark.parametrize("name", option_files("bias"))
def test_every_bias_policy_is_what_it_says(name: str) -> None:
    node = Catalogue().options("bias")[name]
    policy = BIASES[node["name"]]
    assert set(node) == {"name", *policy.defaults}
    params = {"std": 0.2} if "std" in node else {key: value for key, value in node.items() if key != "name"}
    for shape in ((1000, 25), (64, 3, 3, 3)):
        vector = draw_bias(name, shape, stream(0, "init", "layers.0.bias"), **params)
        assert vector.shape == shape[:1]
        assert vector.dtype == np.float32
        promise = policy.promise(shape, **params)
        assert certify(name, vector, promise).faults == ()
        if policy.std is not None:
            assert promise.std == policy.std(**params)
            assert promise.mean == 0


def test_policies_and_files_agree() -> None:
    assert set(option_files("bias")) == set(BIASES)
    vector = draw_bias("uniform_fan_in", (1000, 25), stream(0, "init", "b"))
    assert 0.19 < np.abs(vector).max() <= 0.2


def test_log_prior_starts_at_the_entropy_of_the_classes() -> None:
    frequencies = np.array([0.7, 0.2, 0.1])
    rng = stream(0, "init", "layers.2.bias")
    bias = draw_bias("log_prior", (3, 8), rng, frequencies).astype(np.float64)
    log_softmax = bias - np.log(np.exp(bias).sum())
    # With zero weights the logits are the biases: the mean loss is the entropy.
    assert -(frequencies * log_softmax).sum() == pytest.approx(-(frequencies * np.log(frequencies)).sum(), rel=1e-6)
    assert (draw_bias("log_prior", (3, 8), rng) == 0).all()
    assert np.isfinite(draw_bias("log_prior", (2, 8), rng, np.array([1.0, 0.0]))).all()
    with pytest.raises(ValueError, match="got 2 for 3 units"):
        draw_bias("log_prior", (3, 8), rng, np.array([0.5, 0.5]))


MOMENTS = json.loads(Path(__file__).with_name("framework_moments.json").read_text())
MEASURED = [
    (framework, name, shape)
    for framework, of in MOMENTS.items()
    for name, shapes in of["laws"].items()
    for shape in shapes
]


@pytest.mark.full
@pytest.mark.parametrize(("framework", "name", "shape"), MEASURED)
def test_a_view_is_what_the_framework_was_measured_to_draw(framework: str, name: str, shape: str) -> None:
    theirs = MOMENTS[framework]["laws"][name][shape]
    name, *settings = name.split()
    node = VIEWS[f"{name}@{framework}"]
    params = LAWS[node["law"]].defaults | {k: v for k, v in node.items() if k in LAWS[node["law"]].defaults}
    for key, value in (setting.split("=") for setting in settings):
        params[key] = value if isinstance(params[key], str) else float(value)
    size = tuple(map(int, shape.split("x")))
    draws = [draw(node["law"], size, stream(seed, "init", "w"), **params) for seed in range(8)]
    ours = np.concatenate([weight.ravel() for weight in draws]).astype(np.float64)
    centred = ours - ours.mean()
    kurtosis = np.mean(centred**4) / np.mean(centred**2) ** 2
    # Five standard errors of a difference of two samples of equal size; of the kurtosis, at most those of a normal.
    n = theirs["n"]
    assert ours.size == n
    of_std = 5 * math.sqrt(2 * max(kurtosis - 1, 1e-9) / (4 * n))
    assert ours.std() == pytest.approx(theirs["std"], rel=of_std)
    assert ours.mean() == pytest.approx(theirs["mean"], abs=5 * math.sqrt(2 / n) * theirs["std"])
    assert (ours == 0).mean() == pytest.approx(theirs["zeros"], abs=1e-6)
    if theirs["zeros"] < 0.5:
        assert kurtosis == pytest.approx(theirs["kurtosis"], abs=5 * math.sqrt(2 * 24 / n))
    # Bounded laws have the same bound; the largest of n normal draws varies by a few tenths of a standard deviation.
    bounded = theirs["kurtosis"] < 2.5
    assert np.abs(ours).max() == pytest.approx(theirs["max"], rel=1e-3 if bounded else 0.25)


def test_every_view_of_a_measured_framework_was_measured() -> None:
    for view in VIEWS:
        name, _, framework = view.partition("@")
        if framework in MOMENTS:
            assert name in MOMENTS[framework]["laws"]


def test_the_source_of_a_view_is_its_framework() -> None:
    rows = {row[0]: row for row in listing("frameworks", Catalogue()).rows}
    assert set(rows) == set(VIEWS) == set(VIEW_SOURCES)
    for view, source in (("normal", "normal_"), ("uniform", "uniform_"), ("truncated_normal", "trunc_normal_")):
        assert rows[f"{view}@torch"][-1] == f"torch.nn.init.{source}"
    assert rows["uniform@keras"][-1] == "keras.initializers.RandomUniform"


def test_same_name_different_law() -> None:
    laws = {name: VIEWS[name]["law"] for name in ("he_normal@torch", "he_normal@keras", "he_normal@jax")}
    assert laws == {
        "he_normal@torch": "he_normal", "he_normal@keras": "he_truncated", "he_normal@jax": "he_truncated",
    }  # fmt: skip
    assert VIEWS["xavier@caffe"]["law"] == "lecun_uniform"
    assert all(node["law"] in LAWS and node["name"] == name for name, node in VIEWS.items())


def test_aliases_lead_to_options_and_hide_none() -> None:
    names = set(option_files("init"))
    assert set(ALIASES.values()) <= names
    assert not set(ALIASES) & names
    assert canonical("kaiming_uniform@torch") == "he_uniform@torch"
    assert canonical("xavier@caffe") == "xavier@caffe"
    assert canonical("nope") == "nope"
