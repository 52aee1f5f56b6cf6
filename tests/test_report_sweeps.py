"""What is swept and what holds across settings, on hand-made records whose answers one can do by head."""

from typing import Any

from handmade import failed_record, make_record, table, trials_of

from initbench.analysis.compare import compare
from initbench.analysis.scores import OUTCOMES
from initbench.analysis.sweeps import longest_run, sweeps
from initbench.records.schema import settings
from initbench.render.blocks import Code, Figure, Paragraph
from initbench.render.markdown import to_markdown
from initbench.render.plots import Panels
from initbench.report.document import Options, document
from initbench.trial import Asked


def outcomes(made: list[dict[str, Any]], **options: Any) -> list[str]:
    frame = trials_of(made, **options).frame()
    return [OUTCOMES[code] for code in frame["outcome"]]


def with_curve(record: dict[str, Any], *counts: int | None) -> dict[str, Any]:
    return record | {"history": {"val_correct": list(counts)}}


def test_the_longest_run() -> None:
    assert longest_run([False, True, True, False, True]) == (1, 2)
    assert longest_run([True, False, True]) == (0, 0)
    assert longest_run([False]) is None


def swept(init: str, lr: float, seed: int, n: int | None, **trial: Any) -> dict[str, Any]:
    record = make_record(init, seed, n, lr=lr, **trial)
    record["n_correct"] = record["n_correct"] and record["n_correct"] | {"val": 2 * record["n_correct"]["test"]}
    return with_curve(record, 20, 2 * (n or 10))


def test_the_learning_rate_window_by_head() -> None:
    accuracy = {0.001: 50, 0.01: 91, 0.1: 95, 1.0: None}
    made = [swept("he", lr, seed, n) for lr, n in accuracy.items() for seed in range(3)]
    made += [swept("xavier", lr, seed, 95 if lr < 0.1 else 10) for lr in accuracy for seed in range(3)]
    made += [swept("zero", lr, seed, 10) for lr in accuracy for seed in range(3)]
    found = table(document(trials_of(made), Options(views=("lr",))), "Learning rates")
    assert found["he"]["1"] == "– (3)"
    assert (found["he"]["window"], found["he"]["decades"], found["he"]["best lr"]) == ("0.01 to 0.1", "1.00", "0.1")
    assert (found["xavier"]["window"], found["xavier"]["decades"]) == ("0.001 to 0.01", ">1.00")
    assert found["xavier"]["best lr"] == "0.001 (edge)"
    # A learning rate at which all runs failed was tried all the same: the one before it is not at the edge.
    fails_at = [swept("he", lr, seed, None if lr == 1.0 else 95) for lr in (0.01, 0.1, 1.0) for seed in range(3)]
    blocks = document(trials_of([*fails_at, *[swept("he", 0.1, 9, 99)]]), Options(views=("lr",)))
    assert table(blocks, "Learning rates")["he"]["best lr"] == "0.1"
    assert (found["zero"]["window"], found["zero"]["decades"]) == ("none", "–")


# As the first format has it.
TUNED = {"name": "tuned", "lrs": [0.001, 0.01, 0.1]}


def test_a_tuned_cell_has_one_section_its_own_rates_and_its_search_elsewhere() -> None:
    best = {"he": 0.1, "xavier": 0.01}
    made = [
        swept(init, lr, seed, 95 if lr == best[init] else 80, protocol=TUNED, stage="search")
        for init in best
        for lr in (0.001, 0.01, 0.1)
        for seed in (100, 101)
    ]
    made += [swept(init, lr, seed, 94, protocol=TUNED, stage="final") for init, lr in best.items() for seed in range(8)]
    blocks = document(trials_of(made), Options(views=("lr",), baseline="he"))
    comparison = compare(trials_of([record for record in made if record["trial"]["stage"] == "final"]))
    assert comparison.titles == ["digits · mlp depth 2, width 128 · relu · lr tuned"]
    assert table(blocks, "What became")["he"]["n"] == "8"
    assert [row["lr"] for row in table(blocks, "Laws").values()] == ["0.01", "0.1"]
    assert table(blocks, "Against he")["xavier"]["pairs"] == "8"
    found = table(blocks, "Learning rates")
    assert (found["he"]["0.1"], found["he"]["best lr"]) == ("95.00", "0.1 (edge)")
    assert (found["xavier"]["0.1"], found["xavier"]["best lr"]) == ("80.00", "0.01")
    (figure,) = [block for block in blocks if isinstance(block, Figure) if block.name.startswith("learning-rates")]
    assert isinstance(figure.plot, Panels)
    assert [panel.ring for panel in figure.plot.panels] == [(0.01, 95.0), (0.1, 95.0)]
    assert "lr" not in next(b.lines[0] for b in blocks if isinstance(b, Code)).replace("lr_", "").split("init=")[0]


def test_what_an_initializer_costs_is_charged() -> None:
    cost = {"samples": 1000, "steps": 50, "seconds": 0.25}
    made = [make_record("lsuv", seed) | {"init_cost": cost} for seed in range(2)] + [make_record("he", 0)]
    rows = table(document(trials_of(made)), "Laws")
    assert rows["lsuv"]["cost before training, per run"] == "1,000 samples, 50 steps, 0.25 s"
    assert rows["he"]["cost before training, per run"] == "none"
    assert "cost before training, per run" not in table(document(trials_of(made[2:])), "Laws")["he"]


def test_why_trials_failed_is_told_once_per_technique() -> None:
    made = [failed_record(init, seed, "no") for init in ("a", "b") for seed in range(3)] + [make_record("he", 0)]
    told = [b.text for b in document(trials_of(made)) if isinstance(b, Paragraph) and b.text.startswith("Failed")]
    assert told == ["Failed: a: no; b: no."]


def test_the_deepest_trainable_depth_by_head() -> None:
    deepest = {"he": 10, "xavier": 5, "zero": 0}
    made = [
        swept(init, 0.1, seed, 95 if depth <= limit else 10, depth=depth, width=[64] * depth)
        for init, limit in deepest.items()
        for depth in (2, 5, 10)
        for seed in range(2)
    ]
    blocks = document(trials_of(made), Options(views=("depth",)))
    found = table(blocks, "Depth")
    assert {name: row["deepest"] for name, row in found.items()} == {"he": "> 10", "xavier": "5", "zero": "none"}
    assert found["xavier"]["depth 10"] == "10.00 (2)"


def test_a_sweep_needs_two_values_of_a_technique() -> None:
    made = [make_record("he", lr=0.1), make_record("xavier", lr=0.01)]
    assert sweeps(trials_of(made), "init", "lr", "val_accuracy") == []


def test_settings_are_blocks_and_seeds_are_not() -> None:
    made = [
        make_record(init, seed, n + lr, lr=float(lr))
        for init, n in (("he", 70), ("xavier", 60), ("zero", 10))
        for lr in range(1, 7)
        for seed in range(4)
    ]
    blocks = document(trials_of(made), Options(views=("across",)))
    ranks = table(blocks, "Mean ranks")
    assert [ranks[name]["mean rank"] for name in ("he", "xavier", "zero")] == ["1.00", "2.00", "3.00"]
    # q / √2 · √(k (k + 1) / 6 N) = 2.343 · √(12 / 36)
    assert ranks["critical difference"]["mean rank"] == "1.35"
    assert ranks["Friedman p"]["mean rank"] == "0.002"
    assert table(blocks, "Interquartile")["he"]["IQM"] == "73.50"


def test_too_few_settings_are_refused_with_the_number_that_would_do() -> None:
    made = [
        make_record(init, seed, n, lr=lr)
        for init, n in (("he", 90), ("lecun", 80), ("zero", 10))
        for lr in (0.1, 0.2)
        for seed in range(3)
    ]
    text = to_markdown(document(trials_of(made), Options(views=("across",))))
    assert "with 2 settings and 3 techniques no two mean ranks can differ significantly; 3 settings would do" in text


def test_the_performance_profile_by_head() -> None:
    made = []
    for lr, he, xavier in ((0.1, 1, 2), (0.2, 2, 2), (0.3, 3, None)):
        for init, epochs in (("he", he), ("xavier", xavier), ("zero", None)):
            counts = [20] * 4 if epochs is None else [20] * epochs + [190] * (4 - epochs)
            made += [with_curve(make_record(init, seed, 80, lr=lr), *counts) for seed in range(3)]
    found = table(document(trials_of(made), Options(views=("across",))), "Performance profile")
    assert list(found["he"].values()) == ["100", "100", "100", "100", "100"]
    assert list(found["xavier"].values()) == ["33", "33", "67", "67", "67"]
    assert list(found["zero"].values()) == ["0", "0", "0", "0", "0"]


def test_a_slope_that_follows_from_the_depth_does_not_part_a_sweep_over_depth() -> None:
    def activations(**more: str) -> list[object]:
        asked = Asked(init="he", settings={"init": "he", "activation": "tat"} | more)
        trials = ({"depth": depth, "activation": {"name": "tat", "negative_slope": depth / 100}} for depth in (20, 50))
        return [settings(trial, asked)["activation"] for trial in trials]

    assert activations() == [{"name": "tat"}] * 2
    assert activations(**{"activation.eta": "0.8"}) == [{"name": "tat", "eta": "0.8"}] * 2
    given = activations(**{"activation.negative_slope": "0.2"})
    assert given == [{"name": "tat", "negative_slope": slope} for slope in (0.2, 0.5)]
