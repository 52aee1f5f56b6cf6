"""The statistics against scipy, statsmodels, published values and answers done by head."""

import math

import numpy as np
import pytest
from handmade import make_record, trials_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

from initbench.analysis import statistics
from initbench.analysis.compare import compare
from initbench.analysis.contrasts import Verdict, against

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("n", [2, 3, 6, 10])
def test_the_sign_flip_test_is_scipys_exact_permutation_test(n: int) -> None:
    for _ in range(5):
        differences = RNG.integers(-8, 9, size=n)
        exact = stats.permutation_test(
            (differences,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf
        )
        assert statistics.sign_flip_p(differences) == pytest.approx(exact.pvalue, rel=1e-12)


def test_the_sign_flip_test_by_head() -> None:
    assert statistics.sign_flip_p(np.array([1, 1, 1])) == 2 / 8
    assert statistics.sign_flip_p(np.array([1, -1])) == 1.0
    assert statistics.sign_flip_p(np.array([5] * 10)) == 2 / 2**10
    assert statistics.sign_flip_p(np.zeros(4, dtype=int)) == 1.0
    assert statistics.sign_flip_p(np.array([3] * 40)) == pytest.approx(2 / 2**40, rel=1e-9)


@pytest.mark.parametrize("shift", [0, 3, 6, 9, 12])
@pytest.mark.parametrize("n", [21, 100, 400])
def test_the_edgeworth_series_is_the_exact_distribution_to_three_digits(
    n: int, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves out is of the order 1 / n², relative to the density where it stands."""
    differences = np.random.default_rng(n).integers(-60, 61, size=n) + round(shift * 40 / n)
    exact = statistics.sign_flip_p(differences)
    monkeypatch.setattr(statistics, "_MOST_WORK", 0)
    assert statistics.sign_flip_p(differences) == pytest.approx(exact, rel=5 / n, abs=1 / n**2)


def test_intervals_are_scipys() -> None:
    values = RNG.normal(size=9)
    expected = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    assert statistics.t_interval(values) == pytest.approx(expected, rel=1e-12)
    assert all(map(math.isnan, statistics.t_interval(values[:1])))
    for k, n in ((0, 10), (3, 10), (10, 10)):
        wilson = stats.binomtest(k, n).proportion_ci(method="wilson")
        assert statistics.wilson(k, n) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


@pytest.mark.full
def test_holm_is_statsmodels() -> None:
    for m in (1, 2, 9, 45):
        p = RNG.uniform(size=m) ** 3
        assert statistics.holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert statistics.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]).tolist() == []


def test_superiority_is_the_mann_whitney_statistic_and_counts_failed_trials_as_losses() -> None:
    a, b = RNG.integers(0, 6, size=8).astype(float), RNG.integers(0, 6, size=7).astype(float)
    assert statistics.superiority(a, b)[0] == pytest.approx(stats.mannwhitneyu(a, b).statistic / 56)
    assert statistics.superiority(np.array([1.0, math.nan]), np.array([0.0]))[0] == 0.5
    assert statistics.superiority(np.array([math.nan]), np.array([math.nan]))[0] == 0.5


@pytest.mark.parametrize("n", [8, 501])
def test_the_interval_of_superiority_is_scipys_percentile_bootstrap(n: int) -> None:
    """With 501 values it is computed in closed form."""
    a, b = np.round(RNG.normal(0.4, 1.0, n), 1), np.round(RNG.normal(0.0, 1.0, n - 1), 1)

    def share(a: np.ndarray, b: np.ndarray) -> float:
        return float(stats.mannwhitneyu(a, b, method="asymptotic").statistic / a.size / b.size)

    n_resamples = 1_000
    theirs = stats.bootstrap((a, b), share, n_resamples=n_resamples, vectorized=False, method="percentile", rng=1)
    _, low, high = statistics.superiority(a, b)
    # The quantile of a bootstrap of a nearly normal statistic has the standard error sqrt(p (1 - p) / n) / density;
    # four of them, and the steps that a statistic of few values makes.
    density = stats.norm.pdf(1.96) / theirs.standard_error
    tolerance = 4 * math.sqrt(0.025 * 0.975 / n_resamples) / density + 1 / n**2
    assert low == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=tolerance)


def test_a_single_trial_has_no_interval_of_superiority() -> None:
    assert np.isnan(statistics.superiority(np.array([1.0]), np.array([0.0, 2.0]))[1:]).all()


@pytest.mark.parametrize(("comparisons", "n"), [(1, 6), (9, 9), (45, 11), (66, 12), (120, 13), (190, 13)])
def test_the_least_number_of_pairs(comparisons: int, n: int) -> None:
    assert statistics.least_pairs(comparisons) == n
    assert 2 / 2**n <= 0.05 / comparisons < 2 / 2 ** (n - 1)


def test_the_detectable_difference_is_found_in_80_percent() -> None:
    effect = statistics.detectable(1.0, 10, 1)
    limit = stats.t.ppf(0.975, 9)
    power = stats.nct.sf(limit, 9, effect * math.sqrt(10)) + stats.nct.cdf(-limit, 9, effect * math.sqrt(10))
    assert power == pytest.approx(0.8, abs=1e-6)
    assert statistics.detectable(1.0, 10, 9) > effect
    assert math.isnan(statistics.detectable(0.0, 10, 1))
    assert math.isnan(statistics.detectable(math.nan, 1, 1))


@pytest.mark.parametrize(("n", "comparisons"), [(3, 4), (5, 20), (10, 1653), (20, 190)])
def test_the_detectable_difference_of_small_and_strict_designs_is_found_in_80_percent(n: int, comparisons: int) -> None:
    effect = statistics.detectable(1.0, n, comparisons)
    repetitions = 100_000
    rng = np.random.default_rng(n)
    # The mean and the deviation of n normal differences, without drawing each of them.
    mean = effect + rng.standard_normal(repetitions) / math.sqrt(n)
    deviation = np.sqrt(rng.chisquare(n - 1, repetitions) / (n - 1))
    found = np.abs(mean / deviation * math.sqrt(n)) > stats.t.isf(0.025 / comparisons, n - 1)
    assert found.mean() == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / repetitions))


@pytest.mark.parametrize(("k", "n", "expected"), [(5, 10, 1.93), (5, 24, 1.25), (8, 24, 2.14), (10, 60, 1.75)])
def test_the_critical_difference_is_the_published_one(k: int, n: int, expected: float) -> None:
    assert statistics.critical_difference(k, n) == pytest.approx(expected, abs=0.005)


def test_ranks_and_groups_by_head() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 1.0]])
    assert statistics.mean_ranks(scores).tolist() == [1.0, 2.25, 2.75]
    assert statistics.friedman_p(np.ones((4, 3))) == 1.0
    p = np.array([[1, 0.5, 0.01], [0.5, 1, 0.5], [0.01, 0.5, 1]])
    assert statistics.letters(p, [0, 1, 2]) == ["a", "ab", "b"]
    assert statistics.letters(p, [2, 1, 0]) == ["b", "ab", "a"]


def test_nemenyi_separates_what_lies_further_apart_than_the_critical_difference() -> None:
    scores = RNG.normal(size=(30, 6)) + np.linspace(0, 2, 6)
    ranks, p = statistics.mean_ranks(scores), statistics.nemenyi(scores)
    apart = np.abs(ranks[:, None] - ranks) > statistics.critical_difference(6, 30)
    assert (apart == (p < 0.05)).all()
    assert apart.any()
    assert not apart.all()


def test_the_interquartile_mean_and_its_bootstrap() -> None:
    assert statistics.interquartile_mean(np.array([0.0, 1.0, 3.0, 100.0])) == 2.0
    strata = [np.array([0.5, 0.6, 0.7]), np.array([0.9, 0.9, 0.9])]
    mean, low, high = statistics.bootstrap_interquartile_mean(strata)
    assert low <= mean <= high
    assert statistics.bootstrap_interquartile_mean(strata) == (mean, low, high)
    assert all(map(math.isnan, statistics.bootstrap_interquartile_mean([np.array([0.5]), np.array([0.6])])[1:]))
    equal = statistics.bootstrap_interquartile_mean([np.full(5, 0.5)] * 3)
    assert equal == (0.5, 0.5, 0.5)


def test_a_performance_profile_by_head() -> None:
    costs = np.array([[1.0, 2.0, math.inf], [4.0, 2.0, 2.0], [math.inf] * 3])
    factors, shares = statistics.performance_profile(costs)
    assert factors.tolist() == [1.0, 2.0]
    assert shares.tolist() == [[1 / 3, 2 / 3], [1 / 3, 2 / 3], [1 / 3, 1 / 3]]


def test_welch_is_scipys_and_knows_constant_samples() -> None:
    a, b = RNG.normal(size=5), RNG.normal(size=8)
    assert statistics.welch_p(a, b) == stats.ttest_ind(a, b, equal_var=False).pvalue
    assert statistics.welch_p(np.ones(3), np.ones(4)) == 1.0
    assert statistics.welch_p(np.ones(3), np.zeros(4)) == 0.0
    assert math.isnan(statistics.welch_p(np.ones(1), np.ones(4)))


@pytest.mark.full
def test_the_same_initializer_under_ten_names_differs_in_at_most_six_percent_of_tables() -> None:
    """500 tables of ten names and ten seeds from one law, a fifth of them with a run that failed, through all of the
    report's machinery: the rate of tables with any false positive stays at its nominal 5 %, within sampling error."""
    rng = np.random.default_rng(20261122)
    made = []
    for number in range(500):
        for name in range(10):
            for seed in range(10):
                lost = number % 5 == 0 and seed == name == 3
                correct = None if lost else int(rng.binomial(10_000, 0.97))
                made.append(make_record(f"n{name}", seed, correct, 10_000, lr=number + 1.0))
    comparison = compare(trials_of(made))
    assert len(comparison.settings) == 500
    wrong = covered = 0
    for setting in range(500):
        found = against(comparison, setting, 0)
        wrong += any(one.verdict in (Verdict.HIGHER, Verdict.LOWER) for one in found)
        covered += sum(one.low <= 0 <= one.high for one in found)
    assert wrong / 500 <= 0.06
    # The nine comparisons of a table share a baseline, so this has about twice the binomial standard error.
    assert covered / 4500 == pytest.approx(0.95, abs=4 * 2 * math.sqrt(0.05 * 0.95 / 4500))


@pytest.mark.parametrize("margin", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("n", [2, 7, 20])
def test_equivalence_is_two_one_sided_t_tests(n: int, margin: float) -> None:
    differences = np.random.default_rng(n).normal(0.1, 0.4, n)
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert statistics.equivalence_p(differences, margin) == pytest.approx(max(above, below), rel=1e-9)


def test_equivalence_of_one_pair_without_a_margin_or_without_spread() -> None:
    assert math.isnan(statistics.equivalence_p(np.array([0.1]), 1.0))
    assert math.isnan(statistics.equivalence_p(np.array([0.1, 0.2]), math.nan))
    assert math.isnan(statistics.equivalence_p(np.array([0.1, 0.2]), 0.0))
    assert statistics.equivalence_p(np.array([0.1, 0.1]), 0.2) == 0
    assert statistics.equivalence_p(np.array([-0.3, -0.3]), 0.2) == 1


def test_the_same_is_said_only_of_what_was_shown_to_be() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(900, 910, 20)
    arms = {"he": base, "near": base + rng.integers(-2, 3, 20), "noisy": base + rng.integers(-40, 41, 20)}
    made = [
        make_record(name, seed, int(correct), total=1000)
        for name, values in arms.items()
        for seed, correct in enumerate(values)
    ]
    comparison = compare(trials_of(made))
    he = comparison.techniques.index("he")
    found = {comparison.techniques[one.a]: one for one in against(comparison, 0, he)}
    assert {name: one.verdict for name, one in found.items()} == {
        "near": Verdict.EQUIVALENT,
        "noisy": Verdict.INSEPARABLE,
    }
    # The binomial standard error of 1,000 samples at the mean of both.
    halfway = (arms["near"].mean() + base.mean()) / 2000
    assert found["near"].interest == pytest.approx(math.sqrt(halfway * (1 - halfway) / 1000))
    raw = {name: statistics.equivalence_p((arms[name] - base) / 1000, found[name].interest) for name in found}
    assert found["near"].same_p == pytest.approx(2 * raw["near"])
    assert found["noisy"].same_p == pytest.approx(max(raw["noisy"], 2 * raw["near"]))
    # What nobody would care for is named by who asks.
    asked = {comparison.techniques[one.a]: one for one in against(comparison, 0, he, interest=0.0001)}
    assert {one.verdict for one in asked.values()} == {Verdict.INSEPARABLE}
