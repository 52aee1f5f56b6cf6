"""Results in Python: the table, the frame, contrasts, selections, reports and figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import make_record, trials_of

import initbench


def small(**more: Any) -> initbench.Results:
    """Of he and xavier at two depths: seven seeds, one of which failed."""
    found = [
        make_record(init, seed, 80 + depth + seed % 3 - 5 * (init == "xavier"), depth=depth, width=[16] * depth, **more)
        for init in ("xavier", "he")
        for depth in (2, 3)
        for seed in range(7)
    ]
    found[-1] = make_record("he", 6, None, depth=3, width=[16] * 3, **more)
    return initbench.Results(trials_of(found))


def test_results_are_a_table() -> None:
    lines = [line.split() for line in repr(small()).splitlines()]
    assert lines[0] == ["Results", "of", "28", "trials"]
    assert ["setting", "technique", "runs", "accuracy", "failed", "at", "chance"] in lines
    accuracies = [82, 83, 84, 82, 83, 84, 82]
    mean, sd = np.mean(accuracies), np.std(accuracies, ddof=1)
    assert ["he", "7", f"{mean:.2f}", "±", f"{sd:.2f}"] in lines
    assert lines[-3][:2] == ["he", "7"]
    assert lines[-3][-1] == "1"
    one = repr(small().select(depth=2))
    assert "setting" not in one
    assert "digits · mlp depth 2, width 16 · relu · lr 0.1" in one
    assert repr(initbench.Results(small().trials.take(np.array([], int)))) == "Results of 0 trials"


def test_a_notebook_shows_the_same_table_without_colours() -> None:
    html = small()._repr_html_()
    assert html.count("<tr>") == 1 + 4
    for word in repr(small()).replace("─", "").split():
        assert word in html
    for mark in ("<b>", "color", "background", "<style", "class="):
        assert mark not in html
    odd = small(activation={"name": "<relu>"})._repr_html_()
    assert "&lt;relu&gt;" in odd
    assert "<relu>" not in odd


def test_many_techniques_are_cut_and_said_to_be() -> None:
    records = [make_record(f"law{number}", 0) for number in range(50)]
    results = initbench.Results(trials_of(records))
    assert results._repr_html_().count("<tr>") == 1 + 40
    assert "10 more rows: choose fewer with select(), or take frame()" in " ".join(repr(results).split())


def test_the_frame_is_tidy() -> None:
    frame = small().frame()
    assert len(frame) == 28
    assert list(frame["technique"].cat.categories) == small().techniques == ["xavier", "he"]
    kinds = frame.dtypes.astype(str)
    assert set(kinds[["technique", "init", "activation", "outcome", "dataset"]]) == {"category"}
    assert (kinds["diverged_at"], kinds["test_correct"], kinds["test_accuracy"]) == ("Int64", "Int64", "float64")
    failed = frame[frame["outcome"] == "diverged"]
    assert list(failed["test_accuracy"].isna()) == [True]
    assert len(initbench.Results(small().trials.take(np.array([], int))).frame()) == 0


def test_contrasts_are_those_of_the_frame() -> None:
    contrasts = small().contrasts(baseline="xavier")
    assert list(contrasts["a"]) == ["he", "he"]
    frame = small().frame()
    by_seed = frame[frame["depth"] == 2].pivot_table("test_accuracy", "seed", "technique", observed=True)
    assert contrasts["mean"][0] == pytest.approx((by_seed["he"] - by_seed["xavier"]).mean())
    # Seven pairs of one sign: 2 / 2⁷.
    assert (contrasts["p"][0], contrasts["verdict"][0]) == (pytest.approx(2 / 2**7), "higher")
    assert contrasts["failed_a"][1] == 1
    # The better one first: at depth 3 he failed once.
    assert list(small().contrasts()["a"]) == ["he", "xavier"]


@pytest.mark.full
def test_trials_of_a_search_are_told_apart() -> None:
    search = {"name": "tuned", "search": {"lr": [0.01, 0.1]}, "seeds": 1, "extend": 0}
    results = initbench.run(init="he", seeds=2, protocol=search, quiet=True, dataset="synthetic", epochs=2, width=16)
    assert repr(results).startswith("Results of 4 trials, 2 of them in a search")
    assert set(results.frame()["stage"]) == {"final"}
    assert len(results.frame()) == 2
    assert list(results.frame(search=True)["stage"]).count("search") == 2
    results.plot("lr")


def test_select_takes_values_and_texts() -> None:
    results = small()
    assert len(results.select(init=["he", "xavier"], depth=2)) == 14
    assert len(results.select("init=glob(h*)", depth=np.int64(3), seeds=[0, 1])) == 2
    assert len(results.select(init={"name": "he", "std": 0.1})) == 14
    assert len(results.select("optimizer.momentum=0.9")) == 28
    assert len(results.select(init_output=None)) == 28
    assert len(results.select(width=16)) == 28


@pytest.mark.full
@pytest.mark.parametrize(
    ("view", "title"),
    [("strips", "Every run: digits"), ("curves", "Learning curves: digits"), ("depth", "Depth: digits")],
)
def test_plots_are_figures_with_a_title(view: str, title: str) -> None:
    figure = small().plot(view)
    assert figure.get_suptitle().startswith(title)
    assert figure._repr_png_().startswith(b"\x89PNG")
    second = small().plot(view, number=2).get_suptitle()
    assert second != figure.get_suptitle()
    selected = small().select(depth=3)
    if view != "depth":
        assert selected.plot(view).get_suptitle() == second


def test_a_report_is_a_text_that_a_notebook_sets() -> None:
    results = small()
    report = results.report(baseline="xavier", views="pairs", out="report.md")
    assert Path("report.md").read_text(encoding="utf-8") == report
    assert report._repr_mimebundle_() == {"text/plain": str(report), "text/markdown": str(report)}
    assert set(results.report("csv")._repr_mimebundle_()) == {"text/plain"}
    page = results.report("html")._repr_mimebundle_()["text/html"]
    assert page.startswith("<iframe")
    assert page.count("<") == 2
    with pytest.raises(initbench.StorageError, match="cannot write none/report.md"):
        results.report(out="none/report.md")


ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: small().select("foo=1"), "unknown setting 'foo'"),
    (lambda: small().select(init="foo"), "no records with init=foo; there are records with init: he, xavier"),
    (lambda: small().select(["init=he"]), "a filter must be a text"),  # type: ignore[arg-type]
    (lambda: small().select(init=[{"name": "he"}, "xavier"]), "a list of mappings filters nothing"),
    (lambda: small().contrasts("no"), "unknown baseline 'no'. Choose from: he, xavier"),
    (lambda: small().contrasts(by="no"), "unknown setting 'no'"),
    (lambda: small().report("pdf"), "unknown format 'pdf'"),
    (lambda: small().report(views="no"), "unknown view 'no'"),
    (lambda: small().plot("no"), "unknown plot 'no'"),
    (lambda: small().plot("pairs"), "unknown plot 'pairs'"),
    (lambda: small().plot("lr"), "plot 'lr' shows trials of several learning rates, all else equal, and"),
    (lambda: small().plot(number=3), "number must be from 1 to 2, the figures of plot 'strips'; got 3"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_errors_are_one_line(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(initbench.InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
