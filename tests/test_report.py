"""The reporter on hand-made records whose answers one can do by head."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import csv_of, make_record, publish, trials_of
from rich.console import Console

from initbench.analysis.articles import D4
from initbench.analysis.trials import select, to_trials
from initbench.errors import InputError
from initbench.records import index
from initbench.render.blocks import Block, Heading, Table
from initbench.render.markdown import to_markdown
from initbench.render.terminal import to_terminal
from initbench.report.document import Options
from initbench.report.document import document as document_of
from initbench.settings.overrides import parse_filters


def document(made: Iterable[dict[str, Any]], **options: Any) -> list[Block]:
    """The report on hand-made records."""
    return document_of(trials_of(made), Options(**options))


def to_csv(made: Iterable[dict[str, Any]]) -> str:
    return csv_of(trials_of(made))


def table_of(blocks: list[Any], first: str) -> dict[str, dict[str, str]]:
    """The first table whose header starts so, as row label to column to text."""
    table = next(block for block in blocks if isinstance(block, Table) and block.header[0] == first)
    return {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def beside_d4(blocks: list[Any]) -> Table:
    return next(block for block in blocks if isinstance(block, Table) and "article D4" in block.header)


def test_one_column_per_technique_and_one_row_per_run() -> None:
    accuracies = {"he": [90, 92, 94], "zero": [10, 10, 10]}
    trials = [make_record(init, seed, n) for init, counts in accuracies.items() for seed, n in enumerate(counts)]
    runs = table_of(document(trials), "run")
    assert [runs[str(k)]["he"] for k in (1, 2, 3)] == ["90.00", "92.00", "94.00"]
    assert (runs["mean"]["he"], runs["sd"]["he"], runs["failed"]["he"]) == ("92.00", "2.00", "0/3")
    assert (runs["mean"]["zero"], runs["sd"]["zero"], runs["at chance"]["zero"]) == ("10.00", "0.00", "3/3")
    assert runs["at chance"]["he"] == "0/3"


def test_a_failed_run_is_counted_and_in_no_mean() -> None:
    runs = table_of(document([make_record(seed=0, correct=80), make_record(seed=1, correct=None)]), "run")
    assert (runs["2"]["he"], runs["mean"]["he"], runs["sd"]["he"], runs["failed"]["he"]) == (
        "div",
        "80.00",
        "–",
        "1/2",
    )


def test_all_failed_and_single_seeds_have_no_numbers_but_a_table() -> None:
    blocks = document([make_record("he", 0, None), make_record("xavier", 0, 50)])
    runs = table_of(blocks, "run")
    assert (runs["mean"]["he"], runs["sd"]["he"], runs["failed"]["he"]) == ("–", "–", "1/1")
    assert (runs["mean"]["xavier"], runs["sd"]["xavier"]) == ("50.00", "–")
    beside = table_of(blocks, "technique")
    assert set(beside) == {"he", "xavier"}
    assert "nan" not in to_markdown(blocks)


def test_a_missing_run_is_an_empty_cell() -> None:
    trials = [make_record("he", 0), make_record("he", 4), make_record("xavier", 4)]
    blocks = document(trials)
    runs = table_of(blocks, "run")
    assert (runs["1"]["xavier"], runs["2"]["xavier"]) == ("", "90.00")
    assert "Run k is seed 0, 4 in this order" in to_markdown(blocks)


def test_columns_are_in_the_articles_order_and_variants_are_told_apart() -> None:
    trials = [make_record(init) for init in ("mine", "he", "random")]
    assert list(table_of(document(trials), "run")["1"]) == ["random", "he", "mine"]
    variants = [make_record("gaussian", std=std) for std in (0.1, 0.01)]
    assert list(table_of(document(variants), "run")["1"]) == ["gaussian std=0.01", "gaussian std=0.1"]


def test_every_setting_is_a_section() -> None:
    blocks = document([make_record(depth=depth, width=[64] * depth) for depth in (10, 0, 2)])
    assert [block.text for block in blocks if isinstance(block, Heading)] == [
        "The answer",
        "All settings",
        "digits · mlp depth 0 · relu · lr 0.1",
        "digits · mlp depth 2, width 64 · relu · lr 0.1",
        "digits · mlp depth 10, width 64 · relu · lr 0.1",
    ]


def test_d4_stands_beside_the_measured_figures() -> None:
    accuracy = {"he": 90, "zero": 9, "mine": 50, "sparse": 20}
    trials = [make_record(init, seed, n + seed) for init, n in accuracy.items() for seed in (0, 2)]
    blocks = document(trials)
    rows = {row[0]: row[1:] for row in beside_d4(blocks).rows}
    assert rows["he"] == ("91.00 ± 1.41", "0/2", "1", "97.55 ± 0.30", "1", "-6.55")
    assert rows["zero"] == ("10.00 ± 1.41", "0/2", "3", "11.16 ± 1.26", "3", "-1.16")
    assert "mine" not in rows


def test_d4_is_the_articles_table() -> None:
    means = {name: round(sum(runs) / 10, 2) for name, runs in D4.items()}
    assert means == {
        "random": 89.40, "zero": 11.16, "gaussian": 92.16, "xavier": 95.06, "he": 97.55, "orthogonal": 92.08,
        "sparse": 88.95, "uniform": 91.11, "constant": 12.01, "positive": 94.65,
    }  # fmt: skip
    assert all(len(runs) == 10 for runs in D4.values())
    assert [round(float(pd.Series(runs).std()), 2) for runs in D4.values()] == [
        1.06, 1.26, 0.73, 0.32, 0.30, 0.48, 0.60, 0.38, 0.76, 0.34,
    ]  # fmt: skip


def test_equal_means_share_a_rank_and_equal_orders_correlate_fully() -> None:
    blocks = document(
        [make_record(init, correct=n) for init, n in (("he", 90), ("xavier", 80), ("zero", 10), ("constant", 10))]
    )
    rows = {row[0]: row for row in beside_d4(blocks).rows}
    assert [rows[name][3] for name in ("he", "xavier", "zero", "constant")] == ["1", "2", "3", "3"]
    assert rows["Spearman"][-1] == "0.95"


def test_the_order_of_the_records_is_irrelevant() -> None:
    trials = [make_record(init, seed, 50 + seed) for init in ("he", "xavier", "zero") for seed in range(4)]
    shuffled = trials.copy()
    random.Random(0).shuffle(shuffled)
    assert to_markdown(document(trials)) == to_markdown(document(shuffled))
    assert to_csv(trials) == to_csv(shuffled)


def test_no_line_on_an_80_column_terminal_is_longer(capsys: pytest.CaptureFixture[str]) -> None:
    trials = [make_record(init, seed) for init in [*D4, "torch_default"] for seed in range(10)]
    to_terminal(document(trials), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    # A command is one line, to be copied as one.
    assert max(len(line) for line in lines if not line.startswith("initbench run ")) <= 80
    assert not any("…" in line for line in lines)
    text = "\n".join(lines)
    assert all(name in text for name in D4)


def test_csv_is_one_row_per_trial(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(to_csv([make_record(seed=0), make_record(seed=1, correct=None)]))
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["test_accuracy"].tolist()[0] == 0.9
    assert table["test_accuracy"].isna().tolist() == [False, True]
    assert table["outcome"].tolist() == ["slow", "diverged"]
    assert table["best_val_epoch"].tolist() == [1, 1]
    assert (table["test_total"] == 100).all()


POOL = [
    make_record(init, seed, depth=depth) for init in ("he", "xavier", "zero") for seed in (0, 1) for depth in (2, 10)
]


@pytest.mark.parametrize(
    ("filters", "n"),
    [
        (["init=he"], 4),
        (["init=he,xavier", "depth=10"], 4),
        (["seeds=[1]"], 6),
        (["seeds=1,0"], 12),
        (["seeds=1"], 6),
        (["seeds=2"], 12),
        (["width=128"], 12),
        (["depth=range(1,5)"], 6),
        (["init=glob(*e*)"], 12),
        (["init=glob(x*)"], 4),
        (["init=glorot,kaiming"], 8),
        (["init.std=0.1", "dataset=digits", "optimizer.momentum=0.9"], 12),
    ],
)
def test_filters_use_the_grammar_of_run(filters: list[str], n: int) -> None:
    assert len(select(trials_of(POOL), parse_filters(filters))) == n


@pytest.mark.parametrize(("norm", "n"), [("none", 1), ("null", 1), ("batch", 2), ("none,batch", 3)])
def test_a_filter_finds_what_is_off(norm: str, n: int) -> None:
    pool = [make_record("he", seed, model={"name": "mlp", "norm": None if seed == 0 else "batch"}) for seed in range(3)]
    assert len(select(trials_of(pool), parse_filters([f"model.norm={norm}"]))) == n


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["init=hee"], "no records with init=hee; there are records with init: he, xavier, zero"),
        (["depth=3"], "no records with depth=3; there are records with depth: 2, 10"),
        (["init=he", "depth=5,6"], "no records with depth=5,6; there are records with depth: 2, 10"),
        (["init=glob(q*)"], "no records with init=that pattern; there are"),
        (["dpth=3"], "unknown setting 'dpth', did you mean 'depth'?"),
        (["init.sd=3"], "unknown setting 'init.sd', did you mean 'init.std'?"),
    ],
)
def test_an_empty_selection_says_what_is_there(filters: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        select(trials_of(POOL), parse_filters(filters))
    assert message in str(error.value)


def test_records_of_a_folder_report_as_they_are(tmp_path: Path) -> None:
    publish(tmp_path, POOL)
    loaded, damaged = index.load([tmp_path])
    assert not damaged
    assert to_markdown(document_of(to_trials(loaded))) == to_markdown(document(POOL))
