"""The published reports are what the published records say, and the README shows what they say."""

from pathlib import Path

import pytest

from initbench import records
from initbench.report.document import document
from initbench.report.frame import select, to_csv
from initbench.report.render import to_markdown

TOP = Path(__file__).parents[1]
PUBLISHED = TOP / "results" / "published"


@pytest.mark.parametrize("dataset", ["mnist", "digits"])
def test_published_reports_are_rendered_from_the_records(dataset: str) -> None:
    loaded = records.load([PUBLISHED / "d4"])
    assert not loaded.damaged
    chosen = select(loaded.records.values(), {"dataset": [dataset]})
    assert len(chosen) == 100
    assert to_markdown(document(chosen)) == (PUBLISHED / f"{dataset}.md").read_text(encoding="utf-8")
    assert to_csv(chosen) == (PUBLISHED / f"{dataset}.csv").read_text(encoding="utf-8")


def test_the_readme_shows_the_published_mnist_tables() -> None:
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    tables = [block for block in (PUBLISHED / "mnist.md").read_text(encoding="utf-8").split("\n\n") if block[0] == "|"]
    assert tables[0] in readme
    assert tables[2] in readme


def test_the_learning_rate_table_is_the_published_records() -> None:
    loaded = records.load([PUBLISHED]).records.values()
    filters = {"init": ["he", "xavier", "orthogonal", "lecun", "torch_default"], "seeds": [0, 1, 2]}
    means = []
    for dataset in ("digits", "mnist"):
        cells = []
        for lr in (0.003, 0.01, 0.03, 0.1, 0.3):
            chosen = select(loaded, {**filters, "dataset": [dataset], "lr": [lr]})
            assert len(chosen) == 15
            by_init: dict[str, list[float]] = {}
            for record in chosen:
                if record["outcome"] == "ok":
                    accuracy = record["n_correct"]["val"] / record["n_total"]["val"]
                    by_init.setdefault(record["trial"]["init"]["name"], []).append(accuracy)
            cells.append(sum(sum(accuracies) / len(accuracies) for accuracies in by_init.values()) / len(by_init))
        means.append(cells)
        line = f"| {dataset} | " + " | ".join(f"{100 * cell:.2f}" for cell in cells) + " |"
        assert line in (TOP / "results" / "README.md").read_text(encoding="utf-8")
    both = [sum(pair) / 2 for pair in zip(*means, strict=True)]
    assert max(range(5), key=both.__getitem__) == 3
    shown = [f"**{100 * mean:.2f}**" if i == 3 else f"{100 * mean:.2f}" for i, mean in enumerate(both)]
    assert f"| mean | {' | '.join(shown)} |" in (TOP / "results" / "README.md").read_text(encoding="utf-8")
