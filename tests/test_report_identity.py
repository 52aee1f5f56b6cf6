"""What is one technique, one setting and one cell: nothing is merged that differs, nothing is split that does not."""

import math
from typing import Any

import numpy as np
import pytest
from handmade import csv_of, make_record, trials_of

from initbench.analysis.compare import compare
from initbench.analysis.trials import select
from initbench.render.blocks import Block, Figure, Table
from initbench.report.document import Options, document
from initbench.settings.overrides import parse_filters


def tables(blocks: list[Block], title: str) -> list[Table]:
    found = [(b.title, b.table if isinstance(b, Figure) else b) for b in blocks if isinstance(b, Figure | Table)]
    return [table for name, table in found if name.startswith(title)]


def test_an_accuracy_is_over_the_samples_of_its_own_split() -> None:
    dataset = make_record()["trial"]["dataset"]
    made = [
        make_record("he", 0, 90, total, dataset={**dataset, "test": test}) for test, total in ((0.1, 180), (0.3, 539))
    ]
    frame = trials_of(made).frame()
    assert sorted(frame["test_accuracy"]) == [90 / 539, 90 / 180]


@pytest.mark.parametrize("by", ["init", "lr", "init.std"])
def test_values_that_differ_in_the_last_digit_are_two(by: str) -> None:
    key = "lr" if by == "lr" else "std"
    made = [make_record("he", seed, 90, **{key: value}) for seed in range(3) for value in (math.sqrt(2), 1.41421)]
    comparison = compare(trials_of(made), by)
    assert len(comparison.techniques) == 2
    (runs,) = tables(document(trials_of(made), Options(by=by)), "Runs")
    assert [cell for row in runs.rows[:3] for cell in row[1:]] == ["90.00"] * 6


@pytest.mark.parametrize(("text", "widths"), [("[16,8]", [[16, 8]]), ("16", [[16, 16]]), ("[16,16]", [[16, 16]])])
def test_a_list_of_widths_is_one_width(text: str, widths: list[list[int]]) -> None:
    made = [make_record("he", seed, width=width) for seed in range(2) for width in ([16, 8], [8, 16], [16, 16])]
    chosen = select(trials_of(made), parse_filters([f"width={text}"]))
    used = np.unique(chosen.columns.numbers["cell"])
    assert [chosen.columns.cells[code].trial["width"] for code in used] == widths


def test_a_network_without_hidden_layers_has_no_width_to_differ_in() -> None:
    made = [
        make_record("he", seed, 90 + depth, depth=depth, width=[16] * depth) for seed in range(3) for depth in (0, 2, 3)
    ]
    assert compare(trials_of(made), "depth").techniques == ["0", "2", "3"]
    assert len(compare(trials_of(made), "depth").settings) == 1
    (table,) = tables(document(trials_of(made), Options(views=("depth",))), "Depth")
    assert table.header[1:4] == ("depth 0", "depth 2", "depth 3")


def with_gain(init: str, seed: int, activation: dict[str, Any], gain: float) -> dict[str, Any]:
    record = make_record(init, seed, 90, activation=activation)
    record["trial"]["init"] = {"name": init, "law": "orthogonal", "gain": gain}
    return record


def test_a_gain_that_follows_the_activation_is_one_technique() -> None:
    made = [
        with_gain("orthogonal_auto", seed, {"name": name}, gain)
        for seed in range(2)
        for name, gain in (("relu", 1.414), ("tanh", 1.593))
    ]
    (table,) = tables(document(trials_of(made), Options(views=("activation",))), "Accuracy by activation")
    assert table.rows == (("orthogonal_auto", "90.00", "90.00"),)


def test_an_activation_is_its_parameters_too() -> None:
    made = [
        with_gain("he", seed, {"name": "leaky_relu", "negative_slope": slope}, 1.0)
        for seed in range(2)
        for slope in (0.1, 0.3)
    ]
    (table,) = tables(document(trials_of(made), Options(views=("activation",))), "Accuracy by activation")
    assert table.header[1:] == ("leaky_relu negative_slope=0.1", "leaky_relu negative_slope=0.3")


def test_titles_tell_sections_apart_by_every_setting() -> None:
    made = [
        make_record("he", 0, 90, model={"name": "mlp", "norm": norm}, protocol=protocol, stage="final")
        for norm in (None, "batch")
        for protocol in ("fixed", {"name": "tuned", "lrs": [0.1], "halving": True}, {"name": "tuned", "lrs": [0.1]})
    ]
    titles = compare(trials_of(made)).titles
    assert len(set(titles)) == 6
    assert any(title.endswith("lr tuned · model.norm=batch · protocol.halving=true") for title in titles)


def test_equal_differences_have_no_effect_size() -> None:
    made = [make_record(init, seed, n, 359) for seed in range(10) for init, n in (("he", 300), ("xavier", 307))]
    (table,) = tables(document(trials_of(made), Options(baseline="he")), "Against he")
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert (row["difference"], row["d_z"], row["detectable"]) == ("+1.95", "–", "–")


@pytest.mark.parametrize("by", ["init.name", "activation.name", "optimizer.name"])
def test_a_groups_name_is_the_group(by: str) -> None:
    trials = trials_of([make_record(init, 0, 90) for init in ("he", "zero")])
    assert compare(trials, by).techniques == compare(trials, by.split(".")[0]).techniques


def test_the_order_of_rows_does_not_depend_on_the_order_of_reading() -> None:
    made = [make_record("he", 0, n, bias={"name": "constant", "value": n / 100}) for n in range(5)]
    assert csv_of(trials_of(made)) == csv_of(trials_of(made[::-1]))


def test_a_title_names_an_option_and_not_all_of_its_parameters() -> None:
    options = [{"name": "sgd", "momentum": 0.9}, {"name": "sgd", "momentum": 0.5}, {"name": "adam", "beta1": 0.9}]
    titles = {
        n: [title.partition(" · lr 0.1 · ")[2] for title in compare(trials_of(made)).titles]
        for n in (1, 3)
        for made in [[make_record("he", 0, 90, optimizer=option) for option in options[-n - 1 :]]]
    }
    assert sorted(titles[1]) == ["optimizer=adam", "optimizer=sgd"]
    assert len(set(titles[3])) == 3
