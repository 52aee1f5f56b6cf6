"""The ledger: how claims are decided, that chance decides few of them, and the command from a file to a verdict."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from initbench.analysis.trials import Trials, to_trials
from initbench.api.claims import ask, measure
from initbench.claims import document, files, hypotheses, ledger, verdicts
from initbench.claims.values import OF_TRIALS, as_compared, is_of_trials, of_trials
from initbench.claims.verdicts import Sample, flip_p, overall
from initbench.errors import InputError
from initbench.records import index
from initbench.settings.catalogue import Catalogue

CLAIM: dict[str, Any] = {
    "statement": "Random weights learn more than zeros.",
    "sources": ["a test"],
    "refuted_by": "Zeros that are as good.",
    "settings": {"depth": [1, 2], "activation": "relu"},
    "arms": ["he", "zero"],
    "quantity": "test_accuracy",
    "expect": "higher",
    "compare": "he",
    "against": "zero",
}


def written(folder: Path, **changes: Any) -> Path:
    """A folder of a user's with one claim, ``mine``."""
    (folder / "claim").mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    (folder / "claim" / "mine.yaml").write_text(json.dumps(CLAIM | changes), encoding="utf-8")
    return folder


@pytest.mark.parametrize("n", [2, 3, 7, 10, 11])
def test_p_is_that_of_all_signs(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, n)
    signs = np.array(list(itertools.product([-1, 1], repeat=n)))
    share = (signs @ np.abs(values) >= values.sum() - 1e-12).mean()
    assert flip_p(values) == pytest.approx(share)
    listed = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    )
    assert flip_p(values) == pytest.approx(listed.pvalue)


def test_p_of_shares_is_the_sign_test() -> None:
    values = np.array([0.5] * 15 + [-0.5] * 5)
    assert flip_p(values) == pytest.approx(stats.binomtest(15, 20, alternative="greater").pvalue)
    assert flip_p(np.zeros(20)) == flip_p(np.zeros(0)) == 1.0


def test_forty_seeds_are_the_most() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, 40)
    # Symmetric, and so many that the normal distribution is near.
    expected = stats.norm.sf(values.sum() / math.sqrt((values**2).sum()))
    assert flip_p(values) == pytest.approx(expected, rel=0.3)
    with pytest.raises(ValueError, match="40"):
        flip_p(np.ones(41))


DECIDED = {
    "higher": {0.1: "supported", 0.005: "refuted", -0.1: "refuted"},
    "lower": {-0.1: "supported", -0.005: "refuted", 0.1: "refuted"},
    "at_least": {0.1: "supported", -0.005: "supported", -0.1: "refuted"},
    "at_most": {-0.1: "supported", 0.005: "supported", 0.1: "refuted"},
    "equal": {0.0: "supported", 0.005: "supported", 0.1: "refuted", -0.1: "refuted"},
    "different": {0.1: "supported", -0.1: "supported", 0.0: "refuted"},
}


@pytest.mark.parametrize("expect", DECIDED)
def test_what_is_clear_is_decided(expect: Any) -> None:
    noise = np.random.default_rng(1).normal(0, 0.001, 20)
    for mean, verdict in DECIDED[expect].items():
        (found,) = verdicts.findings([Sample(mean + noise, expect, 0.01)])
        assert found.verdict == verdict, mean
    for few in (noise[:3] + 0.1, noise[:3] - 0.1):
        (found,) = verdicts.findings([Sample(few, expect, 0.01)])
        # Three seeds have a p of an eighth at best.
        assert found.verdict == "inconclusive"
        assert found.needed is not None
        assert found.needed > 3
    assert verdicts.findings([Sample(np.zeros(0), expect, 0.01)])[0].verdict == "unmeasured"


@pytest.mark.parametrize("expect", DECIDED)
def test_a_network_without_a_number_counts_against_whatever_is_tested(expect: Any) -> None:
    for mean in DECIDED[expect]:
        values = mean + np.random.default_rng(2).normal(0, 0.001, 8)
        (whole,), worse = (verdicts.findings([Sample(values, expect, 0.01)]), values.copy())
        worse[:3] = np.nan
        (found,) = verdicts.findings([Sample(worse, expect, 0.01)])
        assert found.support >= whole.support - 1e-12
        assert found.refute >= whole.refute - 1e-12


def test_the_seeds_that_are_said_to_decide_do() -> None:
    rng = np.random.default_rng(3)
    sample = Sample(rng.normal(1.0, 1, 6), "higher", 0.0)
    (found,) = verdicts.findings([sample])
    assert found.verdict == "inconclusive"
    mean, spread = sample.values.mean(), sample.values.std(ddof=1)
    assert found.needed is not None
    decided = [
        verdicts.findings([Sample(rng.normal(mean, spread, found.needed), "higher", 0.0)])[0].verdict == "supported"
        for _ in range(40)
    ]
    # The power is 80 %; of 40 repetitions 24 is more than three standard errors below.
    assert sum(decided) >= 24


def test_the_verdict_of_a_claim() -> None:
    assert overall(["supported", "supported"]) == "supported"
    assert overall(["refuted"]) == "refuted"
    assert overall(["supported", "refuted", "inconclusive"]) == "mixed"
    assert overall(["supported", "supported", "inconclusive"]) == "supported"
    assert overall(["refuted", "refuted", "inconclusive"]) == "refuted"
    assert overall(["inconclusive"]) == overall(["supported", "inconclusive"]) == "inconclusive"
    assert overall(["unmeasured", "supported"]) == "unmeasured"


@pytest.fixture(scope="module")
def whole() -> hypotheses.Asked:
    """Every claim of ours."""
    return ask([f"seeds={list(range(20))}".replace(" ", "")], "smoke", None, [])[1]


def test_every_claim_is_whole(whole: hypotheses.Asked) -> None:
    known = files.claims()
    assert {one.claim.id for one in whole.hypotheses} == {claim.id for claim in known}
    sources = {source for claim in known for source in claim.sources}
    assert {"D0", "D1", "D2", "D3", "D4"} <= sources
    papers = {source for source in sources if "20" in source}
    assert len(papers) >= 10
    for claim in known:
        assert claim.statement.endswith(".")
        assert claim.refuted_by.endswith(".")
        is_of_trials(claim.quantity)


def under_one_name(asked: hypotheses.Asked, rng: np.random.Generator) -> tuple[hypotheses.Asked, ledger.Values]:
    """Values of a ledger in which every initializer is the same one, under many names.

    Of claims that compare arms: where all are equal nothing is above anything.
    """
    some = tuple(one for one in asked.hypotheses if one.pair[1] and is_of_trials(one.claim.quantity))
    asked = replace(asked, hypotheses=some)
    values: ledger.Values = {}
    for cell in {cell for one in some for _, cell in one.terms}:
        rate = rng.uniform(0.3, 0.98)
        for seed in asked.request.seeds:
            for quantity in OF_TRIALS:
                values[quantity, cell, seed] = rng.binomial(10_000, 0.9) / 10_000
            values["stuck", cell, seed] = float(rng.random() < rate)
            values["n_test", cell, seed] = 10_000.0
    return asked, values


# Where nothing differs.
FALSE = {
    "higher": "supported",
    "lower": "supported",
    "different": "supported",
    "equal": "refuted",
    "at_least": "refuted",
    "at_most": "refuted",
}


def n_false(asked: hypotheses.Asked, rng: np.random.Generator) -> int:
    same, values = under_one_name(asked, rng)
    # A rate of stuck networks is of the cell; here all cells are one.
    stuck = {seed: float(rng.random() < 0.5) for seed in same.request.seeds}
    values |= {key: stuck[key[2]] for key in values if key[0] == "stuck"}
    judged = ledger.judge(same, values)
    return sum(
        one.finding.verdict == FALSE[one.hypothesis.claim.expect] for entry in judged.entries for one in entry.measured
    )


def few_false(asked: hypotheses.Asked, simulations: int) -> None:
    wrong = sum(n_false(asked, np.random.default_rng([7, number])) > 0 for number in range(simulations))
    # At most 5 % of ledgers may have any false verdict; three standard errors above is what chance may add.
    assert wrong <= 0.05 * simulations + 3 * math.sqrt(simulations * 0.05 * 0.95)


@pytest.mark.full
def test_one_initializer_under_many_names_has_few_false_verdicts(whole: hypotheses.Asked) -> None:
    few_false(whole, 20)


@pytest.mark.slow
def test_five_hundred_ledgers_of_one_initializer_have_few_false_verdicts(whole: hypotheses.Asked) -> None:
    few_false(whole, 500)


@pytest.mark.full
def test_a_claim_of_ones_own_from_its_file_to_its_verdict(initbench: Any, tmp_path: Path) -> None:
    seeds = f"seeds={list(range(17))}".replace(" ", "")
    command = ["claims", "mine", seeds, "epochs=2", "--preset", "smoke", "--config-dir", written(tmp_path / "own")]
    plan = initbench(*command, "--run", "--dry-run")
    assert plan.out.endswith("4 cells, 68 trials: 0 done, 68 to do\n")
    assert not Path("results").exists()
    told = initbench(*command, "--run", "--format", "json")
    assert told.code == 0
    (claim,) = json.loads(told.out)["claims"]
    assert claim["verdict"] == "supported"
    assert [one["setting"] for one in claim["found"]] == [{"depth": "1"}, {"depth": "2"}]
    accuracy = means()
    expected = [accuracy["he", depth] - accuracy["zero", depth] for depth in (1, 2)]
    assert [one["effect"] for one in claim["found"]] == pytest.approx(expected)
    assert claim["effect"] == pytest.approx(sum(expected) / 2)
    # Zeros predict one class.
    assert sorted(of_trials(trained())["stuck"].unique()) == [0.0, 1.0]
    page = tmp_path / "page.html"
    again = initbench(*command, "--run", "--format", "html", "--out", page)
    assert "nothing to train" in again.err
    text = page.read_text(encoding="utf-8")
    shown = "initbench claims mine epochs=2 --run --preset smoke"
    for part in ('id="mine"', "<svg", "supported in 2 of 2 settings", shown):
        assert part in text


def trained() -> Trials:
    return to_trials(index.load([Path("results")])[0])


def means() -> dict[tuple[str, int], float]:
    """Test accuracy by initializer and depth, as a mean over the seeds."""
    trials = trained()
    frame, about = trials.frame(), trials.cells
    return {
        (about["init"].iloc[cell], int(about["depth"].iloc[cell])): float(rows["test_accuracy"].mean())
        for cell, rows in frame.groupby("cell")
    }


def of_one_claim(folder: Path) -> hypotheses.Asked:
    """What the claim of a folder asks for by itself."""
    (mine,) = files.chosen(files.claims(folder), ["mine"])
    return hypotheses.ask([mine], files.preset("smoke"), ["seeds=[5,6]"], Catalogue(config_dir=str(folder)))


@pytest.mark.full
def test_a_change_is_the_difference_of_two_differences(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", settings={"activation": "relu"}, change={"depth": [1, 2]})
    asked = of_one_claim(folder)
    assert ledger.read(asked).entries[0].verdict == "unmeasured"
    assert not measure(asked)
    (entry,) = ledger.read(asked).entries
    mean = means()
    assert entry.mean == pytest.approx(mean["he", 2] - mean["zero", 2] - mean["he", 1] + mean["zero", 1])


WRONG = {
    "no_such_field": ({"colour": "red"}, "unknown field `colour`"),
    "no_such_arm": ({"against": "glorot"}, "'glorot' is none of its arms: he, zero"),
    "no_other": ({"against": None}, "one of against, bound and order"),
    "no_such_quantity": ({"quantity": "speed"}, "unknown quantity 'speed'"),
    "no_such_setting": ({"settings": {"colour": 1}}, "claim mine: unknown setting 'colour'"),
    "seeds": ({"settings": {"seeds": 3}}, "seeds of its own"),
    "no_such_initializer": ({"arms": ["he", "zero", "heh"]}, "unknown init 'heh', did you mean 'he'"),
    "interpolation": ({"settings": {"depth": "${oc.env:HOME}"}}, "mine.yaml: a config may only refer to its own keys"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_claim_is_one_line(name: str, tmp_path: Path) -> None:
    change, message = WRONG[name]
    with pytest.raises(InputError) as error:
        of_one_claim(written(tmp_path / "own", **change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_named(initbench: Any) -> None:
    assert "did you mean 'he_faster'" in initbench("claims", "he_fast").err
    assert "unknown preset 'big'" in initbench("claims", "--preset", "big").err
    with pytest.raises(InputError, match="unknown claim"):
        files.chosen(files.claims(), ["nothing"])


def test_ratios_are_compared_as_logarithms() -> None:
    assert as_compared("backward_rms.ratio", math.e) == pytest.approx(1.0)
    assert as_compared("test_accuracy", 0.5) == 0.5
    assert as_compared("forward_rms[:-1].ratio", 0.0) == pytest.approx(math.log(1e-30))
    assert math.isnan(as_compared("forward_rms.ratio", math.nan))


@pytest.mark.parametrize("form", document.FORMATS)
def test_every_format_says_what_was_found(form: str, whole: hypotheses.Asked) -> None:
    judged = ledger.judge(whole, {})
    shown = document.text(judged, "smoke", form, detailed=form != "rich")
    for claim in files.claims():
        assert claim.id in shown
    assert "unmeasured" in shown
    if form == "markdown":
        assert shown.startswith(f"## The answer\n\nNot measured: {files.claims()[0].id}, ")


ODD = {
    "axis of an arm": (
        {"arms": {"a": {"init": "he", "depth": [1, 2]}, "zero": {"init": "zero"}}, "compare": "a"},
        "axis",
    ),
    "one arm twice": ({"arms": ["he", "he_normal"], "against": "he_normal"}, "'he' and 'he_normal' are one network"),
    "itself": ({"compare": "zero"}, "compared with itself"),
    "order of one": ({"order": ["he"], "against": None, "compare": None}, "order two"),
    "nobody": ({"against": []}, "at least one name"),
    "no arms": ({"arms": {}, "against": None, "compare": None, "bound": 1}, "at least one name"),
    "no margin": ({"margin": 0}, "margin must be above 0"),
    "factor below one": ({"margin": 0.5, "quantity": "forward_rms.ratio"}, "margin must be above 1"),
    "nothing refutes it": ({"refuted_by": " "}, "refuted_by is empty"),
    "no change": ({"change": {"depth": [2, 2]}}, "depth does not change as it says"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_claim_is_one_line(name: str, tmp_path: Path) -> None:
    change, message = ODD[name]
    with pytest.raises(InputError, match=message):
        of_one_claim(written(tmp_path / "own", **change))


def test_what_one_arm_sets_changes_no_other(tmp_path: Path) -> None:
    arms = {"narrow": {"init": "he", "width": 4}, "rest": {"init": "he"}}
    folder = written(tmp_path / "own", arms=arms, compare="narrow", against="rest")
    widths = [[cell.width[0] for _, cell in one.terms] for one in of_one_claim(folder).hypotheses]
    # The preset says 32.
    assert widths == [[4, 32], [4, 32]]


def test_names_in_other_spellings_are_the_arms_that_they_name(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", arms=["kaiming_normal", "zero"], compare="kaiming_normal")
    assert [[cell.init.name for _, cell in one.terms] for one in of_one_claim(folder).hypotheses] == 2 * [
        ["he_normal", "zero"]
    ]


def test_what_the_user_sets_is_said_and_what_changes_cannot_be_set(tmp_path: Path) -> None:
    folder = written(tmp_path / "own")
    (mine,) = files.chosen(files.claims(folder), ["mine"])
    asked = hypotheses.ask([mine], files.preset("smoke"), ["width=8", "seeds=[5,6]"], Catalogue(config_dir=str(folder)))
    shown = document.text(ledger.judge(asked, {}), "smoke", "markdown", detailed=True)
    assert "initbench claims mine width=8 --run --preset smoke" in shown
    assert "and width=8" in shown
    folder = written(tmp_path / "own", settings={"activation": "relu"}, change={"depth": [1, 2]})
    (mine,) = files.chosen(files.claims(folder), ["mine"])
    with pytest.raises(InputError, match="change of depth, which cannot be set"):
        hypotheses.ask([mine], files.preset("smoke"), ["depth=3"], Catalogue())
    with pytest.raises(InputError, match="at most 40 seeds"):
        hypotheses.ask([mine], files.preset("smoke"), ["seeds=41"], Catalogue())
