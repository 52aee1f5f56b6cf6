"""Records and names that are odd but possible: every format still says what is so, and says it readably."""

import io
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from handmade import failed_record, make_record, trials_of
from rich.console import Console

from initbench.render.blocks import Heading, Paragraph, Table
from initbench.render.latex import tex, to_latex
from initbench.render.markdown import to_markdown
from initbench.render.terminal import to_terminal
from initbench.report import output
from initbench.report.document import VIEWS, Options, document


def test_a_sweep_in_which_every_run_diverged_has_its_page() -> None:
    made = [make_record(init, seed, None, lr=lr) for init in ("he", "zero") for seed in range(2) for lr in (0.1, 0.2)]
    assert "Learning rates" in output.report(trials_of(made), Options(), "html")


def test_a_title_may_hold_what_a_pattern_would_take_for_its_own() -> None:
    dataset = make_record()["trial"]["dataset"] | {"name": r"x\d{1}|y"}
    made = [make_record("he", seed, 90, dataset=dataset) for seed in range(2)]
    assert r"x\d{1}|y" in output.report(trials_of(made), Options(), "html")


def test_settings_in_which_nothing_could_start_have_no_rank() -> None:
    unknown = make_record()["trial"]["dataset"] | {"sha256": "f" * 16}
    inits = ("he", "xavier", "zero")
    made = [failed_record(init, 0) for init in inits]
    for record in made:
        record["trial"]["dataset"] = unknown
    assert document(trials_of(made), Options(views=("across",)))
    made += [make_record(init, seed, 90, lr=lr) for init in inits for seed in range(2) for lr in (0.1, 0.2)]
    text = to_markdown(document(trials_of(made), Options(views=("across",))))
    assert "Mean rank over 2 settings" in text


def test_who_is_left_out_of_the_ranks_is_told() -> None:
    made = [make_record(init, 0, 90, lr=lr) for init in ("a", "b", "c", "he") for lr in (0.1, 0.2)][:-1]
    text = to_markdown(document(trials_of(made), Options(views=("across",))))
    assert "Left out, as they have no trials in some settings: he." in text


@pytest.mark.parametrize(
    ("by", "values", "told"),
    [
        ("epochs", (1, 2), "the epochs compared of batches of 128"),
        ("batch_size", (32, 64), "2 epochs of batches of the sizes compared"),
        ("schedule", ("cosine", "linear"), "lr 0.1 (the schedules compared)"),
        ("lr", (0.1, 0.2), "the learning rates compared (cosine)"),
    ],
)
def test_what_is_compared_is_not_said_to_be_equal(by: str, values: tuple[Any, ...], told: str) -> None:
    made = [make_record("he", 0, 90, **{by: value}) for value in values]
    paragraphs = [b.text for b in document(trials_of(made), Options(by=by)) if isinstance(b, Paragraph)]
    (protocol,) = [text for text in paragraphs if text.startswith("Protocol")]
    assert told in protocol


def test_a_page_counts_the_settings_of_its_own_comparison() -> None:
    made = [
        make_record(init, 0, 90, activation={"name": name}) for init in ("a", "b", "c") for name in ("relu", "tanh")
    ]
    assert "3 initializers, 3 settings" in output.report(trials_of(made), Options(by="activation"), "html")
    assert "3 initializers, 2 settings" in output.report(trials_of(made), Options(), "html")


def test_means_that_look_equal_share_a_rank_and_a_place_in_the_order() -> None:
    made = [make_record(init, 0, n, 100_000) for init, n in (("he", 97_904), ("xavier", 97_901), ("zero", 10_000))]
    table = next(b for b in document(trials_of(made)) if isinstance(b, Table) and b.title == "Beside article D4")
    assert {row[0]: row[3] for row in table.rows[:3]} == {"he": "1", "xavier": "1", "zero": "3"}
    assert "measured: xavier = he > zero" in table.caption


def shown(*blocks: Any) -> str:
    page = io.StringIO()
    to_terminal(blocks, Console(file=page, width=80))
    return page.getvalue()


def test_a_terminal_shows_names_as_they_are_and_numbers_whole() -> None:
    names = [f"he std=0.{i} init_output.value=0.12345 bias=constant bias.value=0.{i} :smile: \\ [b]" for i in (1, 2)]
    table = Table(("technique", "difference", "95 % interval"), tuple((n, "+0.12", "-12.34 to +56.78") for n in names))
    text = shown(Heading(names[0]), table)
    assert ":smile: \\ [b]" in text
    assert text.count("-12.34 to +56.78") == 2
    assert max(map(len, text.splitlines())) <= 80
    assert "".join(text.split()).count("init_output.value=0.12345") >= 3


def test_markdown_keeps_a_bar_in_its_cell() -> None:
    assert r"| a\\\|b |" in to_markdown([Table(("name",), ((r"a\|b",),))])


@pytest.mark.parametrize("char", ["ħ", "ŉ", "ſ", "\x7f", "\x01", "\u0085"])
def test_latex_gets_no_character_that_its_fonts_lack(char: str) -> None:
    assert char not in tex(f"a{char}b")


def test_two_hyphens_stay_two() -> None:
    assert tex("--baseline") == "-{}-baseline"
    assert tex("–") == "--"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_tables_of_many_runs_and_techniques_stay_on_the_page(tmp_path: Path) -> None:
    made = [make_record(f"technique{i}", seed, 90 - i) for i in range(25) for seed in range(60)]
    (tmp_path / "r.tex").write_text(to_latex(document(trials_of(made))), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "r.tex"]
    log = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.decode("latin-1")
    too_wide = [float(line.split("(")[1].split("pt")[0]) for line in log.splitlines() if line.startswith("Overfull")]
    assert max(too_wide, default=0.0) < 10


def test_nothing_is_divided_by_a_size_that_is_not_known(recwarn: pytest.WarningsRecorder) -> None:
    text = to_markdown(document(trials_of([failed_record("he", seed) for seed in range(3)]), Options(views=VIEWS)))
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]
    assert "nan" not in text
    assert math.isnan(trials_of([failed_record("he", 0)]).frame()["test_accuracy"][0])
