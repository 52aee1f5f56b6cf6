"""Contrasts as numbers, and what a failed run counts in every rank, contrast and sentence; answers done by head."""

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from handmade import failed_record, make_record, table, trials_of

from initbench.analysis import contrasts, drift, rankings
from initbench.analysis.articles import D4
from initbench.analysis.compare import Comparison, compare
from initbench.analysis.contrasts import Verdict
from initbench.analysis.drift import DriftVerdict
from initbench.analysis.summaries import summaries
from initbench.render.blocks import Block, Paragraph, Table
from initbench.report.document import VIEWS, Options, document


def made_of(counts: dict[str, list[int | None]], **trial: Any) -> list[dict[str, Any]]:
    """A technique's counts of 100 correct answers by seed; chance is 10, None diverged."""
    return [make_record(init, seed, n, **trial) for init, every in counts.items() for seed, n in enumerate(every)]


def comparison_of(counts: dict[str, list[int | None]]) -> Comparison:
    return compare(trials_of(made_of(counts)))


def tables_of(blocks: list[Block]) -> dict[str, Table]:
    return {block.title: block for block in blocks if isinstance(block, Table)}


# The README's second command at depth 10, as a newcomer ran it.
DIVERGING: dict[str, list[int | None]] = {"he": [None, 96, None], "xavier": [84, 85, 85], "zero": [10, 10, 10]}


def test_a_technique_gains_no_rank_by_diverging() -> None:
    blocks = document(trials_of(made_of(DIVERGING)), Options(baseline="xavier", views=("pairs",)))
    accuracy = table(blocks, "Test accuracy")
    # (10 + 96 + 10) / 3, and the description of the one that finished beside it.
    assert accuracy["he"] == {
        **{"n": "1", "failed": "2", "mean": "96.00", "sd": "–", "95 % interval": "–", "median": "96.00"},
        **{"range": "96.00–96.00", "all runs": "38.67", "rank": "2"},
    }
    assert {name: row["rank"] for name, row in accuracy.items()} == {"xavier": "1", "he": "2", "zero": "3"}
    beside = tables_of(blocks)["Beside article D4"]
    assert {row[0]: row[3] for row in beside.rows} == {"xavier": "1", "he": "2", "zero": "3", "Spearman": ""}
    assert "measured: xavier > he > zero." in beside.caption
    assert table(blocks, "Against xavier")["he"]["difference"] == "-46.00"
    assert table(blocks, "Against xavier")["he"]["pairs"] == "3"


def test_the_caption_of_every_rank_and_test_says_how_failures_count() -> None:
    counts: dict[str, list[int | None]] = {
        "he": [None, *[96] * 9], "xavier": [*range(80, 90)], "zero": [10] * 10, "lecun": [*range(81, 91)],
    }  # fmt: skip
    found = tables_of(document(trials_of(made_of(counts)), Options(baseline="he", views=("pairs",))))
    for title in ("Test accuracy", "Beside article D4", "Against he", "All pairs", "Groups"):
        assert "a failed run scoring as always naming the most frequent class" in found[title].caption


def test_without_failures_nothing_is_shown_of_them() -> None:
    blocks = document(trials_of(made_of({"he": [90, 91], "xavier": [80, 81]})))
    assert set(table(blocks, "Test accuracy")["he"]) == {"n", "mean", "sd", "95 % interval", "median", "range", "rank"}


def test_a_failed_run_is_part_of_its_pair() -> None:
    comparison = comparison_of({"he": [*[None] * 8, 95, 95], "xavier": [90] * 10})
    he, xavier = comparison.techniques.index("he"), comparison.techniques.index("xavier")
    (found,) = contrasts.against(comparison, 0, xavier)
    assert (found.a, found.b, found.pairs, found.failed_a, found.failed_b) == (he, xavier, 10, 8, 0)
    # Eight times 10 against 90, twice 95: a mean of -63 points.
    assert found.mean == pytest.approx(-0.63)
    # As far from zero are the signs with all eight alike: 2 · 4 of 2¹⁰.
    assert found.p == 8 / 2**10
    assert found.superiority == pytest.approx(0.2)
    assert found.verdict is Verdict.LOWER
    (sentence,) = [
        block.text
        for block in document(comparison.trials, Options(baseline="xavier"))
        if isinstance(block, Paragraph) and block.text.startswith("Against")
    ]
    assert sentence == "Against xavier, at a family-wise error of 5 %: lower: he (8 of 10 failed)."


def test_failing_always_is_no_better_and_no_worse_than_chance() -> None:
    comparison = comparison_of({"he": [None] * 6, "zero": [10] * 6, "sparse": [20] * 6})
    he, zero, sparse = (comparison.techniques.index(name) for name in ("he", "zero", "sparse"))
    against = {one.a: one for one in contrasts.against(comparison, 0, he)}
    assert (against[zero].mean, against[zero].superiority) == (0.0, 0.5)
    assert against[sparse].mean == pytest.approx(0.1)
    assert {one.technique: one.rank for one in summaries(comparison, 0)} == {he: 2, zero: 2, sparse: 1}


def test_failing_is_no_better_than_falling_short_of_chance() -> None:
    """A network that learned nothing may name another class than the most frequent one, and get a few samples less."""
    counts: dict[str, list[int | None]] = {"he": [None] * 8, "zero": [9, 8, *[9] * 6], "xavier": [90] * 8}
    comparison = comparison_of(counts)
    he, zero, xavier = (comparison.techniques.index(name) for name in ("he", "zero", "xavier"))
    (found,) = contrasts.contrasts(comparison, 0, [(he, zero)])
    # Eight in place of ten, the least of all finished runs.
    assert found.mean == pytest.approx(-7 / 800)
    assert {one.technique: one.rank for one in summaries(comparison, 0)} == {xavier: 1, zero: 2, he: 3}
    made = [record for lr in (0.1, 1.0) for record in made_of(counts, lr=lr)]
    ranks = rankings.mean_ranks(rankings.block_design(compare(trials_of(made))))
    assert [comparison.techniques[code] for code in ranks.techniques] == ["xavier", "zero", "he"]


def test_across_settings_too_failing_always_is_no_better_and_no_worse_than_chance() -> None:
    counts: dict[str, list[int | None]] = {"he": [None] * 4, "zero": [10] * 4, "xavier": [90] * 4}
    comparison = compare(trials_of([record for lr in (0.1, 1.0) for record in made_of(counts, lr=lr)]))
    design = rankings.block_design(comparison)
    ranks = rankings.mean_ranks(design)
    names = [comparison.techniques[code] for code in ranks.techniques]
    assert dict(zip(names, ranks.ranks, strict=True)) == {"xavier": 1.0, "he": 2.5, "zero": 2.5}
    means = {comparison.techniques[one.technique]: one.mean for one in rankings.interquartile_means(design)}
    assert means == pytest.approx({"xavier": 0.9, "he": 0.1, "zero": 0.1})


def test_runs_that_could_not_start_count_as_those_that_diverged() -> None:
    made = made_of({"he": [None] * 8, "xavier": [90] * 8}) + [failed_record("broken", seed) for seed in range(8)]
    comparison = compare(trials_of(made))
    found = {comparison.techniques[one.a]: one for one in contrasts.against(comparison, 0, 0)}
    assert found["he"].mean == found["broken"].mean == pytest.approx(-0.8)
    assert found["he"].p == found["broken"].p == 2 / 2**8


def test_where_nothing_could_start_nothing_is_known() -> None:
    comparison = compare(trials_of([failed_record(init, seed) for init in ("a", "b") for seed in range(8)]))
    (found,) = contrasts.against(comparison, 0, 0)
    assert (found.pairs, found.verdict) == (0, Verdict.UNTESTABLE)
    assert math.isnan(found.mean)
    assert document(comparison.trials, Options(baseline="a", views=VIEWS))


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ([95] * 8, Verdict.HIGHER),
        ([85] * 8, Verdict.LOWER),
        ([91, 89] * 4, Verdict.EQUIVALENT),
        ([96, 84] * 4, Verdict.INSEPARABLE),
        ([95] * 5, Verdict.UNTESTABLE),
    ],
)
def test_the_five_verdicts(counts: list[int | None], verdict: Verdict) -> None:
    comparison = comparison_of({"he": [90] * 8, "lecun": counts})
    (found,) = contrasts.against(comparison, 0, comparison.techniques.index("he"))
    assert found.verdict is verdict
    # One comparison needs 6 pairs: 2 / 2⁶ < 0.05.
    assert found.seeds_needed == 6


def test_a_contrast_is_addressed_by_what_was_trained() -> None:
    made = [make_record("gaussian", seed, n, std=std) for std, n in ((0.1, 90), (0.2, 95)) for seed in range(8)]
    comparison = compare(trials_of(made))
    (found,) = contrasts.all_pairs(comparison, 0)
    cells = [comparison.cells[found.setting, technique] for technique in (found.a, found.b)]
    assert [comparison.trials.identities[cell]["init"]["std"] for cell in cells] == [0.2, 0.1]


def test_contrasts_are_a_tidy_table() -> None:
    comparison = comparison_of({"he": [*[90] * 8, None], "lecun": [95] * 9, "zero": [10] * 9})
    found = contrasts.all_pairs(comparison, 0)
    frame = contrasts.to_frame(comparison, found)
    assert frame[["a", "b"]].to_numpy().tolist() == [["lecun", "he"], ["lecun", "zero"], ["he", "zero"]]
    first = frame.iloc[0]
    assert first["setting"] == comparison.titles[0]
    assert (first["pairs"], first["failed_a"], first["failed_b"], first["comparisons"]) == (9, 0, 1, 3)
    # Eight times 5 points and once 85.
    assert first["mean"] == pytest.approx((8 * 0.05 + 0.85) / 9)
    assert (first["verdict"], first["seeds_needed"]) == ("higher", 7)
    assert (frame["adjusted_p"] >= frame["p"]).all()
    assert list(contrasts.to_frame(comparison, []).columns) == list(frame.columns)


def test_the_best_learning_rate_is_not_the_one_that_diverges() -> None:
    """At 0.3 one run of three is the best of all and two diverged."""
    validation = {0.03: [80, 80, 80], 0.1: [90, 90, 90], 0.3: [99, None, None]}
    made = []
    for lr, counts in validation.items():
        for seed, n in enumerate(counts):
            record = make_record("he", seed, n, lr=lr)
            if n is not None:
                record["n_correct"] = record["n_correct"] | {"val": 2 * n}
            made.append(record)
    blocks = document(trials_of(made), Options(views=("lr",)))
    found = table(blocks, "Learning rates")["he"]
    assert (found["0.3"], found["best lr"]) == ("99.00 (2)", "0.1")


def test_drift_is_numbers_too() -> None:
    first = made_of({"he": [97] * 10, "lecun": [90] * 10, "zero": [10] * 3})
    second = made_of({"he": [None] * 10, "lecun": [*[90] * 9, 91], "one": [10]})
    comparison, found = drift.drift(trials_of(first), trials_of(second))
    by_name = {comparison.techniques[one.technique]: one for one in found}
    assert {name: one.verdict for name, one in by_name.items()} == {
        "he": DriftVerdict.DRIFT,
        "lecun": DriftVerdict.CHANGED,
        "zero": DriftVerdict.FIRST_ONLY,
        "one": DriftVerdict.SECOND_ONLY,
    }
    assert (by_name["he"].failed, by_name["he"].common) == ((0, 10), 10)
    assert by_name["lecun"].difference == pytest.approx(0.001)
    frame = drift.to_frame(comparison, found).set_index("technique")
    assert (frame.loc["he", "mean_first"], frame.loc["he", "verdict"]) == (0.97, "drift")


PLAIN = ("he", "xavier", "zero")


def beside_of(inits: tuple[str, ...] = PLAIN, by: str = "init", **trial: Any) -> int:
    made = [make_record(init, seed, 90 - 2 * place, **trial) for place, init in enumerate(inits) for seed in range(2)]
    blocks = document(trials_of(made), Options(by=by))
    return sum(isinstance(block, Table) and block.title == "Beside article D4" for block in blocks)


def test_the_article_stands_where_its_figures_are_comparable() -> None:
    assert beside_of() == 1
    assert beside_of(tuple(D4)) == 1
    assert beside_of(depth=10, width=[64] * 10) == 1
    assert beside_of(model={"name": "mlp", "norm": None}) == 1


@pytest.mark.parametrize(
    "what",
    [
        {"inits": ("he", "xavier")},
        {"inits": ("he", "xavier", "lecun", "mine")},
        {"by": "activation"},
        {"model": {"name": "residual_mlp", "layers": 2}},
        {"model": {"name": "mlp", "norm": "batch"}},
        {"model": {"name": "cnn"}},
    ],
    ids=str,
)
def test_the_article_does_not_stand_beside_everything(what: dict[str, Any]) -> None:
    assert beside_of(**what) == 0


@pytest.mark.parametrize("majority", [1, 40])
def test_the_article_does_not_stand_beside_other_tasks(majority: int) -> None:
    """A regression's column read as 214 classes, and three sorts of wine."""
    made = [make_record(init, seed, 50) | {"n_majority": majority} for init in PLAIN for seed in range(2)]
    blocks = document(trials_of(made), Options(views=VIEWS))
    assert not any("article D4" in block.title for block in blocks if isinstance(block, Table))


def test_what_computes_knows_nothing_of_what_words_and_draws() -> None:
    for path in Path(contrasts.__file__).parent.glob("*.py"):
        names = [
            name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                         [alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        ]  # fmt: skip
        assert not [name for name in names if name.startswith(("initbench.render", "initbench.report"))], path.name
