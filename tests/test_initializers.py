"""Every law of the catalogue against its promise, and the promises against numbers that do not come from this code.

The tests over ``LAWS`` need no line for a new entry: it is covered by being listed.
"""

import math

import numpy as np
import pytest
from scipy import stats
from threadpoolctl import threadpool_limits

from initbench.initializers import LAWS, Promise, certify, draw, fan, fans
from initbench.seeding import stream

# Rectangular, so that fan_in, fan_out and their means tell each other apart; 262,144 entries, at which four standard
# errors of a standard deviation are at most 0.55 %.
OUT, IN = 256, 1024
SHAPE = (OUT, IN)
N = OUT * IN
WIDE, TALL, CONV = SHAPE, (IN, OUT), (96, 64, 5, 7)

DISTRIBUTIONS = {
    "normal": stats.norm(),
    "uniform": stats.uniform(-1, 2),
    "truncated_normal": stats.truncnorm(-2, 2),
    "half_normal": stats.halfnorm(),
    "half_uniform": stats.uniform(),
}
DENSE_ONLY = {"identity", "tanh_identity"}


def draw_one(law: str, seed: int = 0, shape: tuple[int, ...] = SHAPE, **params: object) -> np.ndarray:
    return draw(law, shape, stream(seed, "init", "layers.0.weight"), **params)


def promise_of(law: str, shape: tuple[int, ...] = SHAPE, **params: object) -> Promise:
    promise = LAWS[law].promise
    assert promise is not None, f"{law} promises nothing that a certificate could check"
    return promise(shape, **LAWS[law].defaults | params)


def cases(*shapes: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Every law with every shape it is for."""
    return [(law, shape) for law in LAWS for shape in shapes if law not in DENSE_ONLY or len(shape) == 2]


def smaller(law: str) -> dict[str, object]:
    """Parameters that fit the few inputs of a small layer."""
    return {"k": 2} if law == "sparse" else {}


@pytest.mark.parametrize(("law", "shape"), cases((8, 16), (16, 8), (32, 3, 5, 3), (32, 3, 3), (32, 3, 3, 3, 3)))
def test_contract(law: str, shape: tuple[int, ...]) -> None:
    params = smaller(law)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    weight = draw_one(law, shape=shape, **params)
    assert weight.shape == shape
    assert weight.dtype == np.float32
    assert np.isfinite(weight).all()
    assert (weight == draw_one(law, shape=shape, **params)).all()
    drawn = promise_of(law, shape, **params).distribution is not None
    assert (weight != draw_one(law, seed=1, shape=shape, **params)).any() == drawn
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.full
@pytest.mark.parametrize(("law", "shape"), cases(WIDE, TALL, CONV))
def test_every_law_keeps_its_promise(law: str, shape: tuple[int, ...]) -> None:
    weight, promise = draw_one(law, shape=shape), promise_of(law, shape=shape)
    certificate = certify(law, weight, promise)
    assert certificate.faults == ()
    # The reference's tolerances: four standard errors of the mean, 1 % of the standard deviation.
    scale = math.hypot(promise.mean, promise.std)
    assert abs(certificate.mean - promise.mean) <= 4 * promise.std / math.sqrt(weight.size) + 1e-6 * scale
    assert certificate.std == pytest.approx(promise.std, rel=0.01, abs=1e-6 * scale)


@pytest.mark.parametrize("law", [law for law in LAWS if promise_of(law).bound is not None])
def test_a_promised_bound_is_the_least(law: str) -> None:
    bound = promise_of(law).bound
    assert 0.98 * bound <= np.abs(draw_one(law)).max() <= 1.00001 * bound


@pytest.mark.full
@pytest.mark.parametrize("law", [law for law in LAWS if promise_of(law).distribution in DISTRIBUTIONS])
def test_every_law_has_its_distribution(law: str) -> None:
    promise = promise_of(law)
    drawn = draw_one(law).ravel().astype(np.float64)
    if promise.zeros:
        drawn = drawn[drawn != 0]
        promise = Promise(0.0, promise.std * math.sqrt(N / len(drawn)), promise.distribution)
    drawn = np.where(drawn > promise.diagonal / 2, drawn - promise.diagonal, drawn) if promise.diagonal else drawn
    distribution = DISTRIBUTIONS[promise.distribution or ""]
    standardized = (drawn - promise.mean) / promise.std * distribution.std() + distribution.mean()
    assert stats.kstest(standardized, distribution.cdf).pvalue > 1e-3


# The moments again, by hand, at (256, 1024): mean, standard deviation, largest absolute value where there is one.
BY_HAND = {
    "constant": (0.01, 0.0, 0.01),
    "normal": (0.0, 0.01, None),
    "uniform": (0.0, 0.028868, 0.05),
    "truncated_normal": (0.0, 0.043981, 0.1),
    "truncated_torch": (0.0, 0.879626, 2.0),
    "half_normal": (0.0079788, 0.0060281, None),
    "uniform_fan_in": (0.0, 0.018042, 0.03125),
    "lecun_normal": (0.0, 0.03125, None),
    "lecun_uniform": (0.0, 0.03125, 0.054127),
    "lecun_truncated": (0.0, 0.03125, 0.071054),
    "glorot_normal": (0.0, 0.039528, None),
    "glorot_uniform": (0.0, 0.039528, 0.068465),
    "glorot_truncated": (0.0, 0.039528, 0.089876),
    "he_normal": (0.0, 0.044194, None),
    "he_uniform": (0.0, 0.044194, 0.076547),
    "he_truncated": (0.0, 0.044194, 0.100485),
    "he_rademacher": (0.0, 0.044194, 0.044194),
    "variance_scaling": (0.0, 0.03125, None),
    "identity": (0.0009765625, 0.031235, 1.0),
    "dirac": (0.0009765625, 0.031235, 1.0),
    "orthogonal": (0.0, 0.03125, None),
    "delta_orthogonal": (0.0, 0.03125, None),
    "sparse": (0.0, 0.121031, None),
    "sparse_torch": (0.0, 0.0094786, None),
    "positive": (0.035262, 0.026641, None),
    "positive_mean": (0.0009765625, 0.00073779, None),
    "critical": (0.0, 0.03125, None),
    "random_walk": (0.0, 0.044246, None),
    "zero_hadamard": (0.0009765625, 0.031235, 1.0),
    "sobol": (0.0, 0.044194, None),
    "mirrored": (0.0, 0.03125, None),
    "sinusoidal": (0.0, 0.039528, 0.0559017),
    "tanh_identity": (0.00390625, 0.062604, None),
}


@pytest.mark.parametrize("law", BY_HAND)
def test_moments_by_hand(law: str) -> None:
    mean, std, largest = BY_HAND[law]
    weight = draw_one(law).astype(np.float64)
    assert weight.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(N) + 1e-8)
    assert weight.std() == pytest.approx(std, rel=0.01, abs=1e-8)
    if largest is not None:
        assert largest * 0.999 <= np.abs(weight).max() <= largest * 1.00001


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal", "rademacher"])
@pytest.mark.parametrize("shape", [SHAPE, (64, 32, 8, 8)])
def test_variance_scaling_has_the_variance_asked_for(mode: str, distribution: str, shape: tuple[int, ...]) -> None:
    fan_in, fan_out = fans(shape)
    sizes = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    size = sizes.get(mode, math.sqrt(fan_in * fan_out))
    weight = draw_one("variance_scaling", shape=shape, scale=3.0, mode=mode, distribution=distribution)
    assert weight.std(dtype=np.float64) == pytest.approx(math.sqrt(3 / size), rel=5 / math.sqrt(2 * weight.size))
    most = {"normal": 6.0, "uniform": math.sqrt(3), "truncated_normal": 2.2738, "rademacher": 1.00001}
    assert np.abs(weight).max() <= most[distribution] * math.sqrt(3 / size)


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


def test_delta_orthogonal_keeps_the_norm_of_every_image() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.tensor(draw_one("delta_orthogonal", shape=(16, 16, 3, 3), gain=1.5), dtype=torch.float64)
    x = torch.tensor(np.random.default_rng(0).standard_normal((4, 16, 9, 9)))
    out = torch.nn.functional.conv2d(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular"), weight)
    np.testing.assert_allclose(out.flatten(1).norm(dim=1), 1.5 * x.flatten(1).norm(dim=1), rtol=1e-6)


def test_delta_orthogonal_with_fewer_channels_out_is_refused() -> None:
    with pytest.raises(ValueError, match="at least as many channels out as in; got 8 out of 16"):
        draw_one("delta_orthogonal", shape=(8, 16, 3, 3))
    # A dense layer has one tap: there it is orthogonal.
    assert (draw_one("delta_orthogonal", shape=(8, 16)) == draw_one("orthogonal", shape=(8, 16))).all()


@pytest.mark.parametrize("kernel", [(3, 3), (5, 1), (3,), (3, 3, 3)])
def test_dirac_passes_its_input_through(kernel: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    conv = getattr(torch.nn.functional, f"conv{len(kernel)}d")
    x = torch.randn(2, 4, *(6 for _ in kernel), generator=torch.Generator().manual_seed(0))
    weight = torch.tensor(draw_one("dirac", shape=(4, 4, *kernel)))
    assert torch.equal(conv(x, weight, padding=tuple(k // 2 for k in kernel)), x)
    expected = torch.nn.init.dirac_(torch.empty(8, 4, *kernel))
    assert torch.equal(torch.tensor(draw_one("dirac", shape=(8, 4, *kernel))), expected)


def test_identity_is_torchs_and_for_dense_weights_only() -> None:
    torch = pytest.importorskip("torch")
    for shape in ((6, 6), (4, 7), (7, 4)):
        assert (draw_one("identity", shape=shape, gain=2.0) == 2 * torch.nn.init.eye_(torch.empty(shape)).numpy()).all()
    with pytest.raises(ValueError, match="the identity of a convolution is dirac"):
        draw_one("identity", shape=(4, 4, 3, 3))


def test_sparse_has_k_weights_per_unit_at_random_places() -> None:
    weight = draw_one("sparse")
    assert ((weight != 0).sum(axis=1) == 15).all()
    assert weight[weight != 0].std() == pytest.approx(1, rel=5 / math.sqrt(2 * 15 * OUT))
    # How often an input is used is binomial(256, 15/1024).
    used = (weight != 0).sum(axis=0)
    assert used.var() == pytest.approx(OUT * 15 / IN * (1 - 15 / IN), rel=0.25)


def test_torchs_sparse_has_zeros_per_input_not_per_unit() -> None:
    weight = draw_one("sparse_torch", shape=(200, 30), sparsity=0.07)
    # 0.07 · 200 is 14.000000000000002: torch rounds that up as well.
    assert ((weight == 0).sum(axis=0) == 15).all()
    assert len(set(map(tuple, (weight == 0).T))) == 30
    assert len(set((weight == 0).sum(axis=1).tolist())) > 1


def test_positive_is_he_without_signs() -> None:
    assert (draw_one("positive") == np.abs(draw_one("he_normal"))).all()
    assert (draw_one("positive", distribution="uniform") == np.abs(draw_one("he_uniform"))).all()
    for law in ("positive", "positive_mean", "half_normal"):
        assert (draw_one(law) > 0).all()
    for distribution in ("normal", "uniform"):
        mean = draw_one("positive_mean", distribution=distribution).sum(axis=1, dtype=np.float64).mean()
        assert mean == pytest.approx(1, abs=0.01)


def test_an_orthogonal_matrix_depends_on_no_number_of_threads() -> None:
    made = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            made.append(draw("orthogonal", (1000, 1000), stream(0, "init", "w")).tobytes())
    assert made[0] == made[1]


def test_truncated_normal_has_both_conventions() -> None:
    plain = draw_one("truncated_normal", std=0.02)
    corrected = draw_one("truncated_normal", std=0.02, corrected=True)
    assert np.abs(plain).max() <= 0.04
    assert plain.std(dtype=np.float64) == pytest.approx(0.8796256610342398 * 0.02, rel=0.01)
    assert corrected.std(dtype=np.float64) == pytest.approx(0.02, rel=0.01)
    # Cuts at one and three standard deviations, from the reference's table.
    for cut, factor in ((1.0, 0.5395601), (3.0, 0.9865784)):
        assert draw_one("truncated_normal", std=1.0, cut=cut).std(dtype=np.float64) == pytest.approx(factor, rel=0.01)


def test_hadamard() -> None:
    raising = draw_one("zero_hadamard", shape=(128, 64)).astype(np.float64)
    np.testing.assert_allclose(raising.T @ raising, np.eye(64), atol=1e-12)
    # Where out is no power of two the columns are shorter: 300 of 512 rows.
    cut = draw_one("zero_hadamard", shape=(300, 20)).astype(np.float64)
    np.testing.assert_allclose(np.diag(cut.T @ cut), 300 / 512, rtol=1e-6)
    assert (draw_one("zero_hadamard", shape=(64, 128)) == draw_one("identity", shape=(64, 128))).all()
    paper = draw_one("zero_hadamard", shape=(128, 64), scale="paper")
    np.testing.assert_allclose(paper, math.sqrt(2) * raising, rtol=1e-6)
    conv = draw_one("zero_hadamard", shape=(128, 64, 3, 3))
    assert (conv[:, :, 1, 1] == raising.astype(np.float32)).all()
    assert np.count_nonzero(conv) == 128 * 64
    from scipy.linalg import hadamard

    np.testing.assert_allclose(draw_one("zero_hadamard", shape=(64, 63)), hadamard(64)[:, :63] / 8)


@pytest.mark.full
def test_sobol_points_are_as_full_ranked_as_random_ones_and_the_flat_layout_is_not() -> None:
    # The share of the largest singular value in the energy, at the shape the reference measured.
    shares = {}
    for layout in ("points", "flat"):
        w = draw_one("sobol", shape=(64, 784), layout=layout).astype(np.float64)
        shares[layout] = np.linalg.norm(w, 2) ** 2 / np.linalg.norm(w) ** 2
    iid = (math.sqrt(64) + math.sqrt(784)) ** 2 / (64 * 784)
    assert shares["points"] < 2 * iid
    assert shares["flat"] > 0.1
    flat = certify("sobol", draw_one("sobol", layout="flat"), promise_of("sobol", layout="flat"))
    assert flat.passed
    assert "nearly low rank" in flat.notes[0]
    assert certify("sobol", draw_one("sobol"), promise_of("sobol")).notes == ()


def test_random_walk_is_the_papers_gain() -> None:
    for n in (4, 64, 1024):
        relu = draw_one("random_walk", shape=(512, n)) / draw_one("he_normal", shape=(512, n))
        np.testing.assert_allclose(relu, math.exp(1.2 / (max(n, 6) - 2.4)), rtol=1e-5)
        linear = draw_one("random_walk", shape=(512, n), gain=1.0, kurtosis=3.0) / draw_one(
            "lecun_normal", shape=(512, n)
        )
        np.testing.assert_allclose(linear, math.exp(1 / (2 * n)), rtol=1e-5)


def test_random_walk_takes_the_drift_out_of_the_logarithm() -> None:
    # 60 linear layers of width 20: the drift that He's and LeCun's laws leave is 60/20·½ = 1.5 in the log of the norm.
    def log_norm(law: str, seed: int, **params: object) -> float:
        h = np.ones(20)
        for layer in range(60):
            h = draw(law, (20, 20), stream(seed, "init", f"layers.{layer}.weight"), **params) @ h
        return math.log(np.linalg.norm(h) / math.sqrt(20))

    walks = [log_norm("random_walk", seed, gain=1.0, kurtosis=3.0) for seed in range(200)]
    drifting = [log_norm("lecun_normal", seed) for seed in range(200)]
    error = 4 * np.std(walks) / math.sqrt(200)
    assert np.mean(walks) == pytest.approx(0, abs=error)
    assert np.mean(drifting) == pytest.approx(-1.5, abs=error)


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
    assert [fan((2, 8), mode) for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")] == [8, 2, 5, 4]


@pytest.mark.parametrize(
    ("law", "params", "message"),
    [
        ("normal", {"std": -1.0}, "std must be >= 0; got -1.0"),
        ("uniform", {"low": 1.0, "high": 1.0}, "low must be below high"),
        ("truncated_normal", {"std": 0.0}, "std must be > 0"),
        ("truncated_normal", {"cut": 0.01}, "cut must be >= 0.1"),
        ("truncated_torch", {"std": 0.0}, "std must be > 0"),
        ("truncated_torch", {"low": 1.0, "high": 1.0}, "low must be below high"),
        ("truncated_torch", {"low": 8.0, "high": 9.0}, "fewer than one draw in 1000 lies between low=8.0 and high=9.0"),
        ("he_normal", {"gain": 0.0}, "gain must be > 0"),
        ("he_normal", {"mode": "fan"}, "mode must be one of fan_in, fan_out, fan_avg, fan_geo_avg; got 'fan'"),
        (
            "variance_scaling",
            {"distribution": "cauchy"},
            "distribution must be one of normal, uniform, truncated",
        ),
        ("variance_scaling", {"scale": -1.0}, "scale must be >= 0"),
        ("orthogonal", {"gain": -1.0}, "gain must be > 0"),
        ("sparse", {"k": 2000}, "k must be between 1 and fan_in, here 1024; got 2000"),
        ("sparse", {"std": 0.0}, "std must be > 0"),
        ("sparse_torch", {"sparsity": 1.0}, "sparsity must be >= 0 and < 1"),
        ("positive", {"distribution": "rademacher"}, "distribution must be one of normal, uniform"),
        ("positive_mean", {"distribution": "cauchy"}, "distribution must be one of normal, uniform"),
        ("zero_hadamard", {"scale": "big"}, "scale must be one of notebook, paper"),
        ("sobol", {"layout": "row"}, "layout must be one of points, flat"),
        ("sobol", {"distribution": "cauchy"}, "distribution must be one of normal, uniform"),
        ("sobol", {"gain": 0.0}, "gain must be > 0"),
        ("mirrored", {"mirror": "left"}, "mirror must be one of none, rows, columns, both; got 'left'"),
        ("mirrored", {"base": "uniform"}, "base must be one of orthogonal, normal; got 'uniform'"),
        ("mirrored", {"gain": 0.0}, "gain must be > 0"),
        ("sinusoidal", {"gain": -1.0}, "gain must be > 0"),
        ("tanh_identity", {"noise": 0.0}, "noise must be > 0"),
        ("tanh_identity", {"mode": "fan"}, "mode must be one of fan_in"),
    ],
)
def test_bad_parameters_are_named(law: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        draw_one(law, **params)


@pytest.mark.parametrize(
    "law", sorted(set(LAWS) - {"constant", "normal", "uniform", "half_normal", "truncated_normal", "truncated_torch"})
)
def test_laws_that_count_fans_refuse_vectors(law: str) -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        draw_one(law, shape=(10,))
