"""Records of GPUs and of others: every format reports them, and says no more of where they were made than they do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from handmade import GPU, foreign_record, make_record, recorded, table, trials_of

from initbench.analysis.compare import compare
from initbench.analysis.trials import Trials, to_trials
from initbench.records.columns import from_records
from initbench.render.figures import write
from initbench.report import output
from initbench.report.document import VIEWS, Options, document
from initbench.report.provenance import made_with
from initbench.trial import Asked

FORMATS = ("rich", "markdown", "csv", "latex", "html")
COUNTS = {"he": [90, 91, None, 93], "xavier": [80, 81, 82, 83], "zero": [10, 10, 10, 10]}


def made_by(maker: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    return [maker(init, seed, n) for init, counts in COUNTS.items() for seed, n in enumerate(counts)]


def of_a_gpu() -> Trials:
    return trials_of(made_by(make_record), environment=GPU)


def of_others() -> Trials:
    return trials_of(made_by(foreign_record), environment={})


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("maker", [of_a_gpu, of_others])
def test_every_format_reports_them(maker: Callable[[], Trials], form: str) -> None:
    text = output.report(maker(), Options(baseline="he", views=VIEWS), form)
    assert "80.00" in text or "0.8," in text
    assert not re.search(r"\b(nan|None)\b", text)


def test_their_figures_are_drawn(tmp_path: Path) -> None:
    assert len(write(document(of_others(), Options(views=("strips",))), tmp_path)) == 2


@pytest.mark.parametrize("form", ["rich", "markdown", "latex", "html"])
def test_they_can_be_compared_with_ours(form: str) -> None:
    ours = trials_of(made_by(make_record))
    assert "No drift." in output.report(ours, Options(), form, (of_others(), ("ours", "theirs")))


def test_where_they_were_made_is_said_as_far_as_it_is_known() -> None:
    # Three names of one law: each trial was made once.
    assert made_with(of_a_gpu()) == (
        "Made with initbench 0.1.0, torch 2.13.0, Python 3.11.7, Linux x86_64, cuda (A GPU): 4 trials."
    )
    assert made_with(of_others()) == "Made with an unknown environment: 4 trials."
    some = trials_of([foreign_record()], environment={"torch": "2.0", "device": "cpu"})
    assert made_with(some) == "Made with torch 2.0, cpu: 1 trial."


def test_a_failed_run_has_no_correct_answer_where_nobody_says_what_chance_is() -> None:
    """What is not known is not said, and failing gains nothing by it."""
    blocks = document(of_others(), Options(baseline="xavier"))
    # (90 + 91 + 0 + 93) / 4.
    assert table(blocks, "Test accuracy")["he"]["all runs"] == "68.50"
    assert table(blocks, "Against xavier")["he"]["pairs"] == "4"
    protocol = next(block.text for block in blocks if getattr(block, "text", "").startswith("Protocol"))
    assert "Chance: – %." in protocol


def test_records_that_name_nothing_go_by_their_law_and_their_data() -> None:
    made = [msgspec.structs.replace(record, asked=Asked()) for record in recorded(made_by(foreign_record))]
    comparison = compare(to_trials(from_records(made)))
    assert comparison.techniques == ["normal"]
    assert comparison.titles[0].startswith("0123456789ab · mlp depth 2")
