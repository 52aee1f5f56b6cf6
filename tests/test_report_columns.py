"""Reading many records: streamed into columns, each trial once, from a cache that is always allowed to be wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer
from handmade import HEADER, csv_of, failed_record, make_record, odd_records, publish, recorded, trials_of, write_lines

from initbench import records
from initbench.analysis.trials import to_trials
from initbench.cache import cache_folder
from initbench.records import columns, index, schema

Initbench = Callable[..., Answer]


@pytest.fixture
def always_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)


def shown(folder: Path, cached: bool = True) -> str:
    return csv_of(to_trials(index.load([folder], cached)[0]))


def caches() -> list[Path]:
    return list((cache_folder() / "reports").glob("*"))


def test_records_in_files_and_in_memory_are_the_same_columns(tmp_path: Path) -> None:
    made = odd_records()
    for start in range(0, len(made), 7):
        publish(tmp_path / "r" / "records", made[start : start + 7])
    assert shown(tmp_path / "r") == csv_of(trials_of(made))


@pytest.mark.usefixtures("always_cached")
def test_the_cache_says_what_the_files_say_whatever_happens_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    first = publish(folder, [make_record("he", seed, 90) for seed in range(3)])
    one = shown(folder)
    (cache,) = caches()
    stamp = cache.stat().st_mtime_ns
    assert shown(folder) == one
    assert cache.stat().st_mtime_ns == stamp
    second = publish(
        folder, [make_record("xavier", seed, 80, 200, depth=seed) for seed in range(4)] + odd_records()[-1:]
    )
    two = shown(folder)
    assert two == shown(folder, cached=False) == shown(folder)
    assert len(two.splitlines()) == 9
    first.unlink()
    assert shown(folder) == shown(folder, cached=False)
    publish(folder, [make_record("he", seed, 90) for seed in range(3)])
    assert shown(folder) == two
    second.write_bytes(second.read_bytes().replace(b'"test": 80', b'"test": 81'))
    assert len(index.load([folder])[1]) == 1
    assert shown(folder) == one


@pytest.mark.usefixtures("always_cached")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"x" * 1000])
def test_a_damaged_cache_is_built_anew(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "r"
    publish(folder, odd_records())
    before = shown(folder)
    (cache,) = caches()
    cache.write_bytes(content)
    assert shown(folder) == before
    assert shown(folder) == before


@pytest.mark.usefixtures("always_cached")
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    publish(tmp_path / "r", odd_records())
    assert shown(tmp_path / "r") == csv_of(trials_of(odd_records()))


# A whole file, with the right checksum, that initbench did not write.
NOT_OURS: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "header without format": lambda header, record: header.pop("format"),
    "format of text": lambda header, record: header.update(format="2"),
    "no key": lambda header, record: record.pop("key"),
    "no trial": lambda header, record: record.pop("trial"),
    "no counts": lambda header, record: record.pop("n_total"),
    "more correct than there are": lambda header, record: record["n_correct"].update(test=101),
    "no learning rate": lambda header, record: record["trial"].pop("lr"),
    "unknown outcome": lambda header, record: record.update(outcome="good"),
    "seed below 0": lambda header, record: record["trial"].update(seed=-1),
    "curve of texts": lambda header, record: record["history"].update(val_correct=[1, "a"]),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_file_that_is_not_ours_counts_as_damaged_and_leaves_no_trace(tmp_path: Path, what: str) -> None:
    publish(tmp_path / "records", [make_record("xavier", 5)])
    alone = shown(tmp_path)
    made = [schema.plain(line) for line in recorded([make_record("he", 0, lr=0.2), make_record("zero", 1, lr=0.3)])]
    header = HEADER | {"format": schema.FORMAT}
    NOT_OURS[what](header, made[1])
    write_lines(tmp_path / "0.jsonl", header, *made)
    (told,) = index.load([tmp_path])[1]
    assert f"{tmp_path / '0.jsonl'} is damaged (" in told
    assert shown(tmp_path) == alone


def test_without_a_home_nothing_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)
    publish(tmp_path, odd_records())
    assert shown(tmp_path) == csv_of(trials_of(odd_records()))


def test_of_several_records_of_a_trial_the_first_finished_counts(tmp_path: Path) -> None:
    publish(tmp_path, [make_record("he", 0, 70), make_record("he", 1, 71)], "2026-01-02T00:00:00+00:00")
    publish(tmp_path, [make_record("he", 1, 50), make_record("he", 2, 51)], "2026-01-01T00:00:00+00:00")
    frame = to_trials(index.load([tmp_path])[0]).frame()
    assert frame["test_correct"].tolist() == [70, 50, 51]
    assert [record.n_correct.test for record in records.load([tmp_path]).records.values()] == [70, 50, 51]


def test_curves_of_all_lengths_keep_their_places() -> None:
    made = [make_record("he", seed) | {"history": {"val_correct": list(range(seed))}} for seed in range(6)]
    trials = trials_of(made[::-1])
    assert [trials.curve(row).tolist() for row in range(6)] == [list(range(n)) for n in range(6)]
    assert [trials.take([4, 1]).curve(row).tolist() for row in (0, 1)] == [[0, 1, 2, 3], [0]]


def test_what_is_done_is_told_with_its_validation_accuracy(tmp_path: Path) -> None:
    made = [make_record("he", 0), make_record("he", 1, None), failed_record("he", 2)]
    publish(tmp_path, made)
    done = columns.done(index.load([tmp_path])[0])
    # 150 of 200 validation samples; a trial that diverged or could not start has none of them.
    assert done == dict(zip([record.key for record in recorded(made)], [0.75, 0.0, 0.0], strict=True))
    assert columns.done(index.load([tmp_path / "nothing"])[0]) == {}


@pytest.mark.full
def test_the_command_line_shows_all_that_it_can(initbench: Initbench) -> None:
    means = {"he": 80, "xavier": 70, "zero": 10}
    made = [make_record(init, seed, n + seed, lr=lr, std=n / 100) for init, n in means.items()
            for seed in range(6) for lr in (0.01, 0.1)]  # fmt: skip
    publish(Path("results/a/records"), made)
    publish(Path("other/records"), made[:-1])
    plain = initbench("report")
    assert (plain.code, plain.err) == (0, "")

    def width(out: str) -> int:
        """Of the widest line but for commands, which are to be copied."""
        return max(len(line) for line in out.splitlines() if not line.startswith("initbench "))

    assert width(plain.out) <= 80
    wide = initbench("report", "--view", "all", "--baseline", "he", "lr=0.1")
    assert width(wide.out) <= 80
    for title in ("Against he", "All pairs"):
        assert title in wide.out
    assert "Learning rates" in initbench("report", "--view", "lr").out
    assert initbench("report", "--by", "lr", "init=he").out.count("digits · mlp") == 1
    assert "Target on the validation split: 42 %" in " ".join(initbench("report", "--target", "0.42").out.split())
    assert initbench("report", "--format", "html", "--out", "r.html", "--figures", "figures").code == 0
    page = Path("r.html").read_text()
    assert (
        page.count("<figure>") == len(list(Path("figures").glob("*.svg"))) == len(list(Path("figures").glob("*.png")))
    )
    assert "\\begin{table}" in initbench("report", "--format", "latex").out
    compared = initbench("report", "results", "other")
    assert "only in results" in compared.out
    assert "No drift." in compared.out
    merged = initbench("report", "results=results,other")
    assert merged.out == plain.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report --baseline hee", "unknown baseline 'hee', did you mean 'he'?"),
        ("report --by lrr", "unknown setting 'lrr', did you mean 'lr'?"),
        ("report --view everything", "'everything' is not one of 'curves', 'strips', 'pairs', 'lr', 'depth'"),
        ("report --target 90", "Input should be less than or equal to 1"),
        ("report results results results", "two folders are compared, got 3; results=A,B,C reports on all as one"),
        ("report results results --format csv", "two sets have no CSV of one row per trial; results=A,B merges them"),
        ("report --by dataset", "accuracies on different data sets are not comparable"),
        ("report results none", "there is no results folder none"),
        ("report results=1", "results must be a text; got 1"),
        ("report results=null", "results must be a text; got null"),
        ("report results=glob(*)", "results must be folders, with commas between them: results=A,B"),
        ("report results={a:1}", 'results must be a text; got {"a": 1}'),
        ("report results results=other", "results= is for a report without a folder, and here is results"),
        ("report results results --baseline he", "without --baseline, --view and --figures"),
        ("report results results --view curves", "without --baseline, --view and --figures"),
        ("report results results --figures figures", "without --baseline, --view and --figures"),
    ],
)
def test_what_cannot_be_reported_is_one_line(initbench: Initbench, line: str, message: str) -> None:
    publish(Path("results/a/records"), [make_record()])
    answer = initbench(*line.split())
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert message in answer.err


def test_figures_that_cannot_be_written_are_an_error_of_storage(initbench: Initbench) -> None:
    publish(Path("results/a/records"), [make_record()])
    Path("taken").mkdir()
    Path("taken/x").write_text("")
    answer = initbench("report", "--figures", "taken/x/y")
    assert (answer.code, len(answer.err.splitlines())) == (4, 1)
