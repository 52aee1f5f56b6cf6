"""The published reports are what the published records say, and the documents show what they say."""

import sys
from pathlib import Path

import numpy as np
import pytest
from test_widths import check

import initbench
from initbench.analysis.articles import D4
from initbench.analysis.trials import finals, select, to_table, to_trials
from initbench.api.claims import ask
from initbench.claims import document as claims_document
from initbench.claims.ledger import read
from initbench.engine.optimizers import OPTIMIZERS
from initbench.records import index
from initbench.render.markdown import to_markdown
from initbench.render.terminal import to_text
from initbench.render.text import points
from initbench.report.document import Options, document
from initbench.report.output import report

TOP = Path(__file__).parents[1]
PUBLISHED = TOP / "results" / "published"
sys.path.insert(0, str(TOP / "benchmarks"))
import d4_search  # noqa: E402
import wedge  # noqa: E402

HE = Options(baseline="he")
# Of every published report the folder, filters, number of trials if each of them has a row, and what was asked for.
REPORTS = {
    "mnist": ("d4", {"dataset": ["mnist"]}, 100, HE),
    "digits": ("d4", {"dataset": ["digits"]}, 100, HE),
    "fashion_mnist": ("d4", {"dataset": ["fashion_mnist"]}, 100, HE),
    "mnist_tuned": ("tuned", {"dataset": ["mnist"]}, None, HE),
    "fashion_mnist_tuned": ("tuned", {"dataset": ["fashion_mnist"]}, None, HE),
    "catalogue": ("catalogue", {}, None, HE),
    "d4_closest": ("d4_closest", {}, None, HE),
    "grids": ("grids", {}, None, Options(baseline="torch_default", views=("depth", "activation", "across"))),
}


@pytest.mark.parametrize("page", REPORTS)
def test_published_reports_are_rendered_from_the_records(page: str) -> None:
    folder, filters, n_trials, options = REPORTS[page]
    loaded, damaged = index.load([PUBLISHED / folder])
    assert not damaged
    chosen = select(to_trials(loaded), filters)
    assert n_trials is None or len(chosen) == n_trials
    shown = to_markdown(document(chosen, options))
    assert shown == (PUBLISHED / f"{page}.md").read_text(encoding="utf-8")
    if n_trials:
        assert report(chosen, HE, "csv") == (PUBLISHED / f"{page}.csv").read_text(encoding="utf-8")


def test_what_was_found_shows_the_published_mnist_tables() -> None:
    shown_there = (TOP / "docs" / "findings.md").read_text(encoding="utf-8")
    tables = [block for block in (PUBLISHED / "mnist.md").read_text(encoding="utf-8").split("\n\n") if block[0] == "|"]
    for column in ("| run |", "| technique | measured |"):
        (table,) = [table for table in tables if table.startswith(column)]
        assert table in shown_there
    # The README's sentence is the answer's.
    opening = (PUBLISHED / "mnist.md").read_text(encoding="utf-8").split("\n\n")[1]
    readme = " ".join((TOP / "README.md").read_text(encoding="utf-8").split())
    for told in (
        "gaussian, random, orthogonal, uniform and xavier share the first place",
        "between 97.81 and 97.97 %",
        "he (97.66)",
    ):
        assert told in opening
        assert told.replace("he (97.66)", "he is below (97.66)") in readme


def test_what_was_found_says_of_the_tuned_results_and_the_grids_what_their_reports_say() -> None:
    shown_there = " ".join((TOP / "docs" / "findings.md").read_text(encoding="utf-8").split())
    told = {
        "mnist_tuned": [
            *("95.26 ± 0.28", "96.79", "55.78", "93.83", "0.000111", "36.98", "24.46", "1e-4", "0.31", "0.43"),
            *("+0.17", "+0.31", "+0.05", "+0.12"),
        ],
        "fashion_mnist_tuned": ["88.09", "88.23", "88.17", "88.45", "-0.19"],
        "fashion_mnist": ["+0.26", "+0.42"],
        "mnist": ["22.65 ± 19.96", "34.95", "38.15", "97.81", "97.97"],
        "depth_limits": ["84.33", "90.85", "96.57", "92.74", "92.20", "89.53", "36.23"],
        "grids": ["96.62", "96.25", "83.50", "36.25", "0.399"],
    }
    for page, figures in told.items():
        report = (PUBLISHED / f"{page}.md").read_text(encoding="utf-8")
        for figure in figures:
            assert figure in report
            assert figure.replace("0.399", "0.40").lstrip("+-") in shown_there


@pytest.mark.full
def test_the_ledger_is_what_the_published_records_say() -> None:
    _, asked = ask([f"results={PUBLISHED}"], "standard", None, [])
    found = read(asked)
    assert not found.told
    page = claims_document.text(found, "standard", "markdown", detailed=True)
    assert page == (PUBLISHED / "ledger.md").read_text(encoding="utf-8")
    verdicts = [entry.verdict for entry in found.entries]
    assert "unmeasured" not in verdicts
    assert {"supported", "refuted", "mixed", "inconclusive"} <= set(verdicts)
    shown_there = (TOP / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert to_markdown([claims_document.short_table(found)]) in shown_there
    # Each window has what it has room for, and breaks nothing.
    check(lambda columns: to_text(claims_document.document(found, "standard", True), columns))
    for entry in found.entries:
        if entry.verdict != "supported":
            # Explained, and by words that are for this verdict.
            assert entry.verdict in entry.claim.reading, entry.claim.id


def test_the_search_for_the_articles_table_is_what_its_pages_say() -> None:
    lines = d4_search.read(PUBLISHED / "d4_search.jsonl.xz")
    assert d4_search.report(lines) + "\n" == (PUBLISHED / "d4_search.md").read_text(encoding="utf-8")
    searched = [line for line in lines if "complete" in line]
    confirmed = [line for line in lines if line["stage"] == "confirmed"]
    means = {line["of"]: {name: float(np.mean(runs)) for name, runs in line["runs"].items()} for line in confirmed}
    nearest = min(confirmed, key=lambda line: d4_search.distance(means[line["of"]]))
    its, wide = means[nearest["of"]], d4_search.intervals(nearest["runs"])["distance"]
    shown_there = " ".join((TOP / "docs" / "findings.md").read_text(encoding="utf-8").split())
    for told in (
        f"A search over {len(searched):,} protocols",
        f"It is {d4_search.distance(its):.2f} points away",
        f"95 % {wide[0]:.2f} to {wide[1]:.2f}",
        f"a rank correlation of {d4_search.order(its):.2f}",
        f"**he** ends at {its['he']:.2f}",
        f"**orthogonal** at {its['orthogonal']:.2f}",
    ):
        assert told in shown_there
    off = {name: abs(mean - float(np.mean(D4[name]))) for name, mean in its.items()}
    assert {name for name, distance in off.items() if distance > 1.3} == {"he", "orthogonal"}
    three = [line["means"] for line in searched if {"he", "xavier", "orthogonal"} <= set(line["means"])]
    worst = [max(abs(some[name] - np.mean(D4[name])) for name in ("he", "xavier", "orthogonal")) for some in three]
    assert f"Of the {len(three)} protocols in which he, xavier and orthogonal were all trained" in shown_there
    assert min(worst) > 2.4
    # The preset is this protocol, and the records are these runs.
    frame = to_trials(index.load([PUBLISHED / "d4_closest"])[0]).frame()
    runs = sorted(round(100 * run, 6) for run in frame["test_accuracy"])
    assert runs == sorted(round(run, 6) for some in nearest["runs"].values() for run in some)


def test_the_depth_limits_are_what_the_records_say() -> None:
    trials = to_trials(index.load([PUBLISHED / "depth_limits"])[0], target=0.7)
    shown = to_markdown(document(trials, Options(baseline="he", views=("depth",))))
    assert shown == (PUBLISHED / "depth_limits.md").read_text(encoding="utf-8")


def test_the_wedge_is_what_its_page_says() -> None:
    table = wedge.accuracies(PUBLISHED / "wedge")
    assert wedge.page(table) == (PUBLISHED / "wedge.md").read_text(encoding="utf-8")
    assert table.shape == (6, 10)
    widths = [int((row > wedge.TRAINS).sum()) for _, row in table.iterrows()]
    assert widths == sorted(widths, reverse=True)
    # The values of xi that benchmarks of the paper's public re-run have.
    assert wedge.limits([1.0, 2.0]) == pytest.approx([6 * 3.627, 6 * 25.2], rel=0.01)


def test_the_learning_rate_table_is_the_published_records() -> None:
    loaded = to_trials(index.load([PUBLISHED / "lr_window"])[0])
    filters = {"init": ["he", "xavier", "orthogonal", "lecun", "torch_default"], "seeds": [0, 1, 2]}
    means = []
    for dataset in ("digits", "mnist"):
        cells = []
        for lr in (0.003, 0.01, 0.03, 0.1, 0.3):
            chosen = select(loaded, {**filters, "dataset": [dataset], "lr": [lr]}).frame()
            assert len(chosen) == 15
            cells.append(float(chosen.groupby("cell")["val_accuracy"].mean().mean()))
        means.append(cells)
        line = f"| {dataset} | " + " | ".join(f"{100 * cell:.2f}" for cell in cells) + " |"
        assert line in (TOP / "results" / "README.md").read_text(encoding="utf-8")
    both = [sum(pair) / 2 for pair in zip(*means, strict=True)]
    assert max(range(5), key=both.__getitem__) == 3
    shown = [f"**{100 * mean:.2f}**" if i == 3 else f"{100 * mean:.2f}" for i, mean in enumerate(both)]
    assert f"| mean | {' | '.join(shown)} |" in (TOP / "results" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_the_learning_rates_of_other_optimizers_are_those_of_the_published_records(optimizer: str) -> None:
    loaded = to_trials(index.load([PUBLISHED / "optimizers"])[0])
    text, lrs = (TOP / "results" / "README.md").read_text(encoding="utf-8"), (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03)
    means = []
    for dataset in ("digits", "mnist"):
        cells = []
        for lr in lrs:
            chosen = select(loaded, {"optimizer": [optimizer], "dataset": [dataset], "lr": [lr]}).frame()
            assert len(chosen) == 15
            assert chosen["test_accuracy"].notna().all()
            cells.append(float(chosen.groupby("cell")["val_accuracy"].mean().mean()))
        means.append(cells)
        assert f"| {optimizer}, {dataset} | {' | '.join(f'{100 * cell:.2f}' for cell in cells)} |" in text
    both = [sum(pair) / 2 for pair in zip(*means, strict=True)]
    assert lrs[max(range(len(lrs)), key=both.__getitem__)] == OPTIMIZERS[optimizer].lr


def test_the_table_of_halving_is_the_published_records() -> None:
    loaded = to_trials(index.load([PUBLISHED / "halving"])[0])
    text = (TOP / "results" / "README.md").read_text(encoding="utf-8")
    for technique in D4:
        cells = [technique]
        for dataset in ("digits", "mnist"):
            chosen = select(loaded, {"init": [technique], "dataset": [dataset], "stage": ["final"]})
            frame = chosen.frame()
            lr, halved = chosen.cells["lr"][frame["cell"]], chosen.cells["protocol"].str.contains("halving")
            halved = halved[frame["cell"]].to_numpy()
            assert len(frame) == 20
            means = [frame["test_accuracy"][rows].mean() for rows in (~halved, halved)]
            cells += [f"{lr.to_numpy()[rows][0]:g}" for rows in (~halved, halved)]
            cells.append(points(means[1] - means[0]))
        assert f"| {' | '.join(cells)} |" in text
    for dataset in ("digits", "mnist"):
        search = select(loaded, {"dataset": [dataset], "stage": ["search"]})
        about = search.cells.iloc[search.columns.numbers["cell"]]
        spent = about["epochs"].groupby(about["protocol"].str.contains("halving")).sum()
        assert f"{spent[True]:,} of {spent[False]:,}" in text


@pytest.mark.full
def test_all_that_is_published_is_one_frame() -> None:
    """Trials among it were asked for in several ways; what differs in that alone is one row."""
    found = initbench.load(PUBLISHED)
    frame = found.frame()
    assert len(frame) == len(to_table(finals(found.trials))) > 10_000
    assert frame["technique"].notna().all()
    assert (frame["technique"].astype(str) == "he").sum() > 500
