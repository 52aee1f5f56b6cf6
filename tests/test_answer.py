"""The answer that a report opens with: who may be best, what is below, what is lost, and how sure that is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer
from handmade import make_record, publish, trials_of
from test_terminals import in_a_window

from initbench.analysis.compare import compare
from initbench.analysis.contrasts import best
from initbench.render.blocks import Figure, Heading, Paragraph
from initbench.render.plots import Strips
from initbench.report.answer import answer
from initbench.report.document import Options, document

Initbench = Callable[..., Answer]


def told(runs: Mapping[str, Sequence[int]], **more: Any) -> str:
    """The answer on some techniques, of which each run has so many correct answers of 100."""
    records = [make_record(init, seed, n, **more) for init, values in runs.items() for seed, n in enumerate(values)]
    return answer(compare(trials_of(records)))


EIGHT = (90, 91, 92, 93, 94, 90, 91, 92)


def test_one_that_is_above_all_is_best() -> None:
    said = told({"he": EIGHT, "xavier": [n - 5 for n in EIGHT], "lecun": [n - 9 for n in EIGHT]})
    assert said.startswith("he is best: 91.62 % on average, 5.00 points above xavier.")
    assert "Below: xavier (86.62) and lecun (82.62)." in said
    assert "How sure: 8 runs of each, paired by seed; the best is in first place with 95 % confidence." in said
    assert said.endswith("One learning rate for all favours those it suits; protocol=tuned gives each its own.")
    assert 3 <= said.count(". ") + 1 <= 6


def test_those_that_cannot_be_told_apart_share_the_first_place() -> None:
    said = told({"he": EIGHT, "xavier": EIGHT[::-1], "lecun": [n - 9 for n in EIGHT]})
    assert said.startswith("xavier and he share the first place: between 91.62 and 91.62 % on average")
    assert "Below: lecun (82.62)." in said
    assert told({"he": EIGHT, "xavier": EIGHT[::-1]}).startswith("No difference is certain: xavier and he end between")


def test_too_few_seeds_are_said_to_be() -> None:
    said = told({"he": (90, 91, 92), "xavier": (50, 51, 52)})
    assert said.startswith("he has the highest mean, 91.00 %, xavier the next, 51.00 %, but no difference could be")
    assert "3 runs of each, paired by seed, which is too few for any test; 6 seeds would do." in said


def test_those_with_too_few_seeds_are_named_and_in_no_place() -> None:
    for lucky in (60, 93):
        said = told({"he": EIGHT, "xavier": [n - 5 for n in EIGHT], "lecun": [lucky]})
        assert said.startswith("he is ahead of all that are tested: 91.62 % on average. Below: xavier (86.62).")
        assert "lecun has too few seeds for a test, 7 would do." in said


def test_what_stays_at_chance_and_what_fails_is_named() -> None:
    failing = [make_record("he", seed, None, outcome="diverged") for seed in range(2)]
    records = [make_record("he", seed, 90) for seed in range(2, 8)] + failing
    records += [make_record("zero", seed, 10) for seed in range(8)]
    said = answer(compare(trials_of(records)))
    assert "At chance: all runs of zero." in said
    assert "Failed: some of he (2 of 8)." in said


def test_one_technique_is_compared_with_nothing() -> None:
    assert told({"he": EIGHT}).startswith("he ends at 91.62 % on average; there is nothing to compare it with.")


def test_over_several_settings_it_says_where_who_is_best() -> None:
    records = []
    for depth, ahead in ((2, "he"), (5, "xavier"), (10, "he")):
        for init in ("he", "xavier"):
            records += [
                make_record(init, seed, n - (init != ahead) * (5 + depth), depth=depth, width=[8] * depth)
                for seed, n in enumerate(EIGHT)
            ]
    said = answer(compare(trials_of(records)))
    assert said.startswith("None may be best in all 3 settings; most often he in 2 and xavier in 1.")
    assert "Alone in first place: he with" in said
    assert "(15.00 points above xavier)" in said
    assert "Below the best: xavier in 2 and he in 1 of 3 settings." in said
    assert "95 % confidence in each setting" in said


def test_the_true_best_is_left_out_in_at_most_one_case_of_twenty() -> None:
    """Where all are equal, each is the best: any one of them, fixed before, is in first place 95 times of 100."""
    rng, missed, repeats = np.random.default_rng(1), 0, 300
    for _ in range(repeats):
        runs = rng.normal(5000, 30, (5, 10)).round().astype(int)
        records = [make_record(f"t{t}", seed, int(runs[t, seed]), 10000) for t in range(5) for seed in range(10)]
        comparison = compare(trials_of(records))
        missed += comparison.techniques.index("t0") not in best(comparison, 0).first
    assert missed / repeats <= 0.05


@pytest.mark.parametrize("n_settings", [1, 2])
def test_a_report_opens_with_the_answer_and_one_figure(n_settings: int) -> None:
    records = [
        make_record(init, seed, 90, lr=lr)
        for init in ("he", "xavier")
        for seed in range(3)
        for lr in (0.1, 0.2)[:n_settings]
    ]
    blocks = document(trials_of(records), Options(views=("strips",)))
    assert isinstance(blocks[0], Heading)
    assert isinstance(blocks[1], Paragraph)
    figures = [block.name for block in blocks if isinstance(block, Figure)]
    assert figures[0] == ("runs-1" if n_settings == 1 else "overview")
    assert len(figures) == len(set(figures))
    assert [type(block) for block in blocks].index(Figure) <= 3


def test_more_settings_than_a_map_can_have_are_dots() -> None:
    records = [make_record(init, 0, 50 + n, lr=0.01 * (1 + n)) for init in ("he", "xavier") for n in range(41)]
    (figure,) = [block for block in document(trials_of(records)) if isinstance(block, Figure)]
    assert isinstance(figure.plot, Strips)
    assert [sorted(strip.values) for strip in figure.plot.strips] == [pytest.approx(range(50, 91))] * 2
    assert len(figure.table.rows) == 41


def test_a_plot_of_a_view_is_not_the_first_figure_of_the_report(initbench: Initbench) -> None:
    import initbench as api

    publish(Path("results/run/records"), [make_record(init, 0, 90, lr=lr) for init in ("he", "a") for lr in (0.1, 0.2)])
    assert len(api.load()._figures("lr", "init")) == 1


@pytest.mark.full
def test_a_terminal_gets_a_screenful_that_says_where_the_rest_is() -> None:
    publish(Path("results/run/records"), [make_record(init, seed, 90) for init in ("he", "mine") for seed in range(3)])
    environment = {"TERM": "dumb"}
    code, text = in_a_window(80, 24, "report", "init=he,mine", **environment)
    assert code == 0
    lines = text.splitlines()
    assert len(lines) <= 24
    assert "The answer" in lines
    assert "initbench report init=he,mine --full" in lines
    assert "initbench report init=he,mine --out report.html --open" in lines
    assert "Records: results." in text
    assert "Protocol" not in text
    for more in (["--full"], ["--view", "pairs"], ["--baseline", "he"]):
        assert "Protocol" in in_a_window(80, 24, "report", *more, **environment)[1]


@pytest.mark.full
def test_the_articles_techniques_stand_beside_the_article_in_it_too() -> None:
    accuracies = {"he": 90, "xavier": 85, "zero": 10}
    publish(
        Path("results/run/records"), [make_record(init, seed, n) for init, n in accuracies.items() for seed in (0, 1)]
    )
    shown = in_a_window(100, 24, "report", TERM="dumb")[1]
    assert "97.55 ± 0.30" in shown


def test_what_is_opened_is_a_file(initbench: Initbench) -> None:
    publish(Path("results/run/records"), [make_record()])
    assert initbench("report", "--open").err == (
        "initbench: error: --open opens the file that --out names; write --out report.html --open\n"
    )
