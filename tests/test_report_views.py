"""What is compared and scored, on hand-made records whose answers one can do by head."""

import io
import math
from typing import Any

import pandas as pd
import pytest
from handmade import csv_of, failed_record, make_record, table, trials_of

from initbench.analysis.compare import compare
from initbench.analysis.scores import OUTCOMES, target_of
from initbench.analysis.trials import select
from initbench.errors import InputError
from initbench.render.blocks import Block, Figure, Heading, Paragraph, Table
from initbench.render.markdown import to_markdown
from initbench.report.document import VIEWS, Options, document
from initbench.report.drift_tables import two_sets


def outcomes(made: list[dict[str, Any]], **options: Any) -> list[str]:
    frame = trials_of(made, **options).frame()
    return [OUTCOMES[code] for code in frame["outcome"]]


def with_curve(record: dict[str, Any], *counts: int | None) -> dict[str, Any]:
    return record | {"history": {"val_correct": list(counts)}}


def test_the_six_outcomes() -> None:
    made = [
        with_curve(make_record(seed=0, correct=95), 20, 100, 190),
        with_curve(make_record(seed=1, correct=95), 20, 100, 170),
        with_curve(make_record(seed=2, correct=19), 20, 20, 20),
        with_curve(make_record(seed=3, correct=20), 20, 20, 20),
        with_curve(make_record(seed=4, correct=None), 20, None, None),
        failed_record("he", 5),
        with_curve(make_record(seed=6, correct=95), 20, 99, 99),
    ]
    # Chance is 10 of 100, and its standard error 3: up to 19 correct answers are at chance. The target is 180 of the
    # 200 validation samples, chance 20, and 100 half the way.
    assert outcomes(made) == ["ok", "slow", "stuck", "poor", "diverged", "poor", "failed"]
    assert outcomes(made, target=0.85)[:2] == ["ok", "ok"]


def test_one_answer_and_a_flat_loss_are_told_of_those_that_say_so() -> None:
    about = {"constant": {"train": 2.3, "val": 2.3, "test": 2.3}}
    made = [
        make_record(seed=0) | about | {"n_answers": 10},
        make_record(seed=1, correct=10) | about | {"n_answers": 1, "loss": {"train": 2.301, "val": 2.3, "test": 2.3}},
        # Two classes by accuracy at chance, and still it has learned something of the training samples.
        make_record(seed=2, correct=10) | about | {"n_answers": 2, "loss": {"train": 2.2, "val": 2.3, "test": 2.3}},
        make_record(seed=3, correct=None) | about,
        make_record("xavier", seed=0),
    ]
    frame = trials_of(made).frame()
    told = {name: frame[name].tolist() for name in ("one_answer", "flat")}
    # Nobody knows it of the last two.
    assert str(told) == str(
        {"one_answer": [0.0, 1.0, 0.0, math.nan, math.nan], "flat": [0.0, 1.0, 0.0, math.nan, math.nan]}
    )
    shown = table(document(trials_of(made), Options()), "What became of the runs")
    rows = {name: [row[column] for column in ("chance", "failed", "one answer", "flat")] for name, row in shown.items()}
    assert rows == {"he": ["2", "1", "1", "1"], "xavier": ["0", "0", "–", "–"]}


def test_scores_of_a_curve_by_head() -> None:
    frame = trials_of([with_curve(make_record(), 20, 100, 190, 180, 190)]).frame()
    row = frame.iloc[0]
    assert (row["epochs_to_50"], row["epochs_to_80"], row["epochs_to_90"], row["epochs_to_95"]) == (1, 2, 2, 2)
    assert row["epochs_to_target"] == 2
    assert row["best_val_epoch"] == 2
    assert row["auc"] == pytest.approx((20 / 2 + 100 + 190 + 180 + 190 / 2) / 4 / 200)


def test_steps_are_epochs_times_batches() -> None:
    # 600 samples in batches of 128 are 5 steps an epoch.
    table = pd.read_csv(io.StringIO(csv_of(trials_of([with_curve(make_record(), 20, 100, 190)]))))
    assert table.loc[0, ["epochs_to_50", "steps_to_50", "epochs_to_target", "steps_to_target"]].tolist() == [
        1,
        5,
        2,
        10,
    ]


def test_more_settings_than_anyone_reads_are_an_overview_with_the_laws() -> None:
    made = [make_record(init, seed, lr=float(lr)) for init in ("he", "zero") for seed in (0, 1) for lr in range(1, 30)]
    blocks = document(trials_of(made), Options(by="init"))
    titles = [block.title for block in blocks if isinstance(block, Table)]
    assert titles == ["Laws"]
    (overview,) = [block for block in blocks if isinstance(block, Figure)]
    assert (overview.title, len(overview.table.rows)) == ("Mean test accuracy", 29)
    assert set(table(blocks, "Laws")) == {"he", "zero"}


def test_scores_do_not_depend_on_the_company() -> None:
    one = with_curve(make_record(seed=1), 20, 100, 190)
    others = [
        with_curve(make_record(init, seed), *range(20, 20 + n)) for n, init in ((2, "a"), (5, "b")) for seed in (0, 9)
    ]
    alone, among = trials_of([one]).frame(), trials_of([*others, one]).frame()
    columns = ["outcome", "auc", "epochs_to_target", "best_val_epoch", "epochs_to_50"]
    found = among[among["val_correct"].notna() & (among["seed"] == 1)]
    assert found[columns].values.tolist() == alone[columns].values.tolist()


def test_targets() -> None:
    assert target_of("mnist", 0.1) == 0.95
    assert target_of("own", 0.4) == 0.7


def test_the_bias_moved_out_of_init_and_the_model_became_a_mapping() -> None:
    """Records of both shapes are the same trials to a report."""
    old = [make_record("he", seed) for seed in range(2)]
    groups = {"model": {"name": "mlp"}, "bias": {"name": "zeros"}, "protocol": "fixed", "stage": "final"}
    groups |= {"init_first": None, "init": {"name": "he", "law": "normal", "std": 0.1}}
    new = [record | {"trial": record["trial"] | groups, "key": f"new {record['key']}"} for record in old]
    assert to_markdown(document(trials_of(old))) == to_markdown(document(trials_of(new)))
    assert len(compare(trials_of(old + new)).settings) == 1


def test_variants_of_one_name_are_told_apart_by_what_differs() -> None:
    made = [make_record("he", bias={"name": bias}) for bias in ("zeros", "uniform")]
    made += [
        make_record("xavier", init_output={"name": "zero", "law": "constant", "value": 0.0}),
        make_record("xavier"),
    ]
    made += [make_record("torch_default", bias={"name": "uniform"})]
    assert compare(trials_of(made)).techniques == [
        *("xavier", "xavier init_output=zero init_output.value=0"),
        *("he bias=uniform", "he bias=zeros", "torch_default"),
    ]


@pytest.mark.parametrize(
    ("by", "columns"),
    [
        ("bias", ["uniform", "zeros"]),
        ("lr", ["0.03", "0.1"]),
        ("depth", ["2", "10"]),
        ("activation", ["relu", "tanh"]),
        ("optimizer.momentum", ["0", "0.9"]),
    ],
)
def test_any_setting_can_be_what_is_compared(by: str, columns: list[str]) -> None:
    values: dict[str, list[Any]] = {
        "bias": [{"name": "zeros"}, {"name": "uniform"}],
        "lr": [0.1, 0.03],
        "depth": [10, 2],
        "activation": [{"name": "tanh"}, {"name": "relu"}],
        "optimizer.momentum": [{"name": "sgd", "momentum": momentum} for momentum in (0.9, 0.0)],
    }
    key = by.split(".")[0]
    made = [make_record("he", seed, **{key: value}) for value in values[by] for seed in range(2)]
    made = [record | {"trial": record["trial"] | {"width": [128] * record["trial"]["depth"]}} for record in made]
    comparison = compare(trials_of(made), by)
    assert comparison.techniques == columns
    assert len(comparison.settings) == 1
    assert "he" in comparison.titles[0].split(" · ")
    runs = next(block for block in document(trials_of(made), Options(by=by)) if isinstance(block, Table))
    assert runs.header == ("run", *columns)


def test_settings_are_told_apart_in_their_titles() -> None:
    made = [make_record("gaussian", lr=lr, std=std, batch_size=size) for lr in (0.1, 0.3) for std in (0.1, 0.01)
            for size in (32, 64)]  # fmt: skip
    titles = compare(trials_of(made), "lr").titles
    assert titles[0] == "digits · mlp depth 2, width 128 · relu · gaussian · batch_size 32 · init.std=0.01"
    assert len(set(titles)) == 4
    assert compare(trials_of(made)).titles[1] == "digits · mlp depth 2, width 128 · relu · lr 0.1 · batch_size 64"


def test_protocols_can_be_compared() -> None:
    made = [make_record("he", seed, 90, lr=lr) for seed in range(3) for lr in (0.1, 0.3)]
    made += [make_record("he", seed, 95, lr=0.03, protocol="tuned", stage="final") for seed in range(3)]
    comparison = compare(trials_of(made), "protocol")
    assert comparison.techniques == ["fixed lr=0.1", "fixed lr=0.3", "tuned"]
    assert len(comparison.settings) == 1


@pytest.mark.full
@pytest.mark.parametrize("by", ["init", "lr", "depth", "activation", "protocol", "stage", "bias", "optimizer", "width"])
def test_every_view_stands_whatever_is_compared(by: str) -> None:
    made = [
        make_record(init, seed, 60 + 5 * seed + depth, depth=depth, width=[8] * depth, lr=lr, **protocol)
        for init in ("he", "xavier", "zero")
        for seed in range(2)
        for depth in (1, 2)
        for lr in (0.1, 0.3)
        for protocol in ({}, {"protocol": {"name": "tuned", "lrs": [0.1, 0.3], "halving": True}, "stage": "search"})
    ]
    blocks = document(trials_of(made), Options(by=by, views=VIEWS))
    assert sum(isinstance(block, Table | Figure) for block in blocks) > 5


def test_data_sets_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="accuracies on different data sets are not comparable"):
        compare(trials_of([make_record()]), "dataset")


def test_an_unknown_comparison_or_baseline_is_told() -> None:
    with pytest.raises(InputError, match="unknown setting 'activaton', did you mean 'activation'"):
        document(trials_of([make_record()]), Options(by="activaton"))
    with pytest.raises(InputError, match="unknown baseline 'hee', did you mean 'he'"):
        document(trials_of([make_record()]), Options(baseline="hee"))


def test_the_baseline_by_head() -> None:
    made = [make_record("torch_default", seed, 50 + seed % 2) for seed in range(10)]
    made += [make_record("he", seed, 60 + seed % 2 + (seed == 0)) for seed in range(10)]
    made += [make_record("xavier", seed, 51 - seed % 2) for seed in range(10)]
    blocks = document(trials_of(made))
    rows = table(blocks, "Against torch_default")
    assert rows["he"]["difference"] == "+10.10"
    assert (rows["he"]["p"], rows["he"]["p (Holm)"], rows["he"]["P(A>B)"]) == ("0.002", "0.004", "1.00 (1.00–1.00)")
    assert (rows["xavier"]["difference"], rows["xavier"]["p"]) == ("+0.00", "1.000")
    # Half the difference of two rates of 10 fair coins, plus a half: its standard deviation is 0.11.
    assert rows["xavier"]["P(A>B)"] == "0.50 (0.30–0.70)"
    verdict = next(b.text for b in blocks if isinstance(b, Paragraph) and b.text.startswith("Against"))
    # Of 100 samples half of which are right the binomial standard error is 5 points, and the mean difference 0.
    assert verdict == (
        "Against torch_default, at a family-wise error of 5 %: higher: he; the same but for less than is of interest: "
        "xavier."
    )


def test_a_design_that_can_show_nothing_is_refused_with_the_n_that_would_do() -> None:
    made = [make_record(init, seed, n) for init, n in (("he", 90), ("xavier", 10)) for seed in range(5)]
    blocks = document(trials_of(made), Options(baseline="he"))
    assert table(blocks, "Against he")["xavier"]["p"] == "–"
    text = " ".join(block.text for block in blocks if isinstance(block, Paragraph))
    assert "with 5 pairs and 1 comparison no difference whatever could be significant" in text
    assert "6 seeds would do" in text


def test_all_pairs_put_what_is_not_separable_in_a_group() -> None:
    accuracy = {"he": 90, "xavier": 90, "zero": 10}
    made = [make_record(init, seed, n + seed % 3) for init, n in accuracy.items() for seed in range(8)]
    blocks = document(trials_of(made), Options(views=("pairs",)))
    groups = table(blocks, "Groups")
    assert groups["he"]["group"] == groups["xavier"]["group"] == "a"
    assert groups["zero"]["group"] == "b"
    pairs = table(blocks, "All pairs")
    assert list(pairs) == ["xavier − he", "xavier − zero", "he − zero"]
    assert pairs["xavier − zero"]["p (Holm)"] == "0.023"


def drifted(change: int, seeds: range = range(8)) -> list[Block]:
    first = [make_record("he", seed, 80 + seed % 2) for seed in range(8)] + [make_record("zero", 0, 10)]
    second = [make_record("he", seed, 80 + seed % 2 + change) for seed in seeds] + [make_record("one", 0, 10)]
    return two_sets(trials_of(first), trials_of(second), ("a", "b"))


@pytest.mark.parametrize(
    ("change", "verdict", "words"), [(0, "same", "No drift."), (5, "drift", "Drift: he (digits · mlp depth 2")]
)
def test_two_result_sets_are_compared(change: int, verdict: str, words: str) -> None:
    blocks = drifted(change)
    found = table(blocks, "digits")
    assert found["he"]["verdict"] == verdict
    assert found["he"]["difference"] == f"+{change}.00"
    assert (found["zero"]["verdict"], found["one"]["verdict"]) == ("first only", "second only")
    assert to_markdown(blocks).startswith(f"## The answer\n\n{words}")
    same = table(blocks, "The same trials")
    assert same["in both"]["n"] == "8"
    assert same["of these with the same counts"]["n"] == ("8" if change == 0 else "0")


def test_other_seeds_are_compared_as_two_samples() -> None:
    assert table(drifted(0, range(100, 108)), "digits")["he"]["verdict"] == "other seeds"
    assert table(drifted(9, range(100, 108)), "digits")["he"]["verdict"] == "drift"


def test_a_single_changed_trial_is_told_and_is_no_drift() -> None:
    first = [make_record("he", seed, 80) for seed in range(8)]
    second = [make_record("he", seed, 80 + (seed == 3)) for seed in range(8)]
    blocks = two_sets(trials_of(first), trials_of(second), ("a", "b"))
    assert table(blocks, "digits")["he"]["verdict"] == "changed"
    assert "No drift. Changed, by no more than chance explains: he (digits" in to_markdown(blocks)


def test_failures_are_drift_too_and_means_are_over_common_seeds() -> None:
    first = [make_record("he", seed, 97) for seed in range(10)]
    blocks = two_sets(trials_of(first), trials_of([make_record("he", seed, None) for seed in range(10)]), ("a", "b"))
    row = table(blocks, "digits")["he"]
    assert (row["failed"], row["failed'"], row["verdict"]) == ("0", "10", "drift")
    more = [make_record("he", seed, 97 if seed < 10 else 27) for seed in range(20)]
    row = table(two_sets(trials_of(first), trials_of(more), ("a", "b")), "digits")["he"]
    assert (row["n'"], row["difference"], row["verdict"]) == ("20", "+0.00", "same")


def test_too_few_seeds_are_said_to_be_too_few() -> None:
    first, second = ([make_record("he", seed, n) for seed in range(3)] for n in (97, 10))
    blocks = two_sets(trials_of(first), trials_of(second), ("a", "b"))
    assert table(blocks, "digits")["he"]["verdict"] == "too few seeds"
    assert "with too few seeds to tell whether by chance (6 would do): he (digits" in to_markdown(blocks)


def test_variants_of_a_name_are_not_compared_with_each_other() -> None:
    first = [make_record("he", seed, 97, std=0.1) for seed in range(8)]
    second = [make_record("he", seed, 60, std=0.2) for seed in range(8)] + first
    rows = table(two_sets(trials_of(first), trials_of(second), ("a", "b")), "digits")
    assert {name: row["verdict"] for name, row in rows.items()} == {"he std=0.1": "same", "he std=0.2": "second only"}


def test_a_search_is_no_result() -> None:
    tuned = {"name": "tuned", "lrs": [0.1, 1.0]}
    made = [make_record("he", 2**32 + i, 11, lr=lr, protocol=tuned, stage="search") for i in (0, 1) for lr in (0.1, 1)]
    made += [make_record("he", seed, 97, lr=0.1, protocol=tuned, stage="final") for seed in range(8)]
    assert table(two_sets(trials_of(made), trials_of(made), ("a", "b")), "digits")["he"]["mean"] == "97.00"


def test_the_articles_own_runs_are_a_view() -> None:
    made = [make_record(init, 0, 90) for init in ("he", "zero", "lecun")]
    blocks = document(trials_of(made), Options(views=("article",)))
    rows = table(blocks, "Runs in article D4")
    # Article D4, section "He initialization": 97.8 in run 1, 97.1 in run 10; their mean is 97.55.
    assert [rows[run]["he"] for run in ("1", "10", "mean")] == ["97.80", "97.10", "97.55"]
    assert set(rows["1"]) == {"he", "zero"}
    assert not any(isinstance(b, Table) and b.title == "Runs in article D4" for b in document(trials_of(made)))


def test_optimizers_are_compared_each_at_its_own_learning_rate() -> None:
    kinds = (("sgd", 0.1), ("adam", 0.01), ("rmsprop", 0.003))
    made = [
        make_record("he", seed, 90 + number, optimizer={"name": name}, lr=lr)
        for seed in range(3)
        for number, (name, lr) in enumerate(kinds)
    ]
    blocks = document(trials_of(made), Options(by="optimizer", baseline="sgd"))
    (heading,) = [block.text for block in blocks if isinstance(block, Heading)][1:2]
    assert heading == "digits · mlp depth 2, width 128 · relu · he"
    assert [b.header[1:] for b in blocks if isinstance(b, Table) and b.title == "Runs"] == [("adam", "rmsprop", "sgd")]
    (rules,) = [block.text for block in blocks if isinstance(block, Paragraph) and block.text.startswith("Protocol")]
    assert "the optimizer compared, lr 0.01 for adam, 0.003 for rmsprop and 0.1 for sgd (cosine)" in rules


def test_an_optimizer_at_several_learning_rates_is_several_columns() -> None:
    made = [
        make_record("he", seed, 90, optimizer={"name": name}, lr=lr)
        for seed in range(2)
        for name, lr in (("sgd", 0.1), ("adam", 0.01), ("adam", 0.1))
    ]
    comparison = compare(trials_of(made), "optimizer")
    assert comparison.techniques == ["adam lr=0.01", "adam lr=0.1", "sgd"]
    assert len(comparison.settings) == 1
    assert compare(select(trials_of(made), {"lr": [0.1]}), "optimizer").techniques == ["adam", "sgd"]
    tuned = {"name": "tuned", "lrs": [0.01, 0.1]}
    searched = [record | {"trial": record["trial"] | {"protocol": tuned, "stage": "final"}} for record in made[:2]]
    assert compare(trials_of(searched), "optimizer").techniques == ["adam", "sgd"]
