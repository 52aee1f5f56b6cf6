"""A name is a label: what is trained under two names is trained once, and shown under both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Answer, asked, stored
from handmade import make_record, recorded, write_lines

from initbench import records
from initbench.analysis.compare import compare
from initbench.analysis.drift import same_trials
from initbench.analysis.trials import to_trials
from initbench.records import index
from initbench.records.columns import from_records
from initbench.trial import Asked

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=3")


def heads(answer: Answer) -> list[str]:
    """The columns of the table of runs."""
    (line,) = [line for line in answer.out.splitlines() if line.split()[:1] == ["run"]]
    return line.split()[1:]


def test_two_names_of_one_law_are_one_trial_and_two_columns(initbench: Initbench) -> None:
    both = initbench("run", "init=he,he_normal", *SMALL)
    assert "3 trials: 0 already done, 3 to train" in both.err
    assert heads(both) == ["he", "he_normal"]
    assert len(stored()) == 3
    assert heads(initbench("report")) == ["he", "he_normal"]


def test_a_name_that_is_asked_for_later_is_a_column_and_no_training(initbench: Initbench) -> None:
    initbench("run", "init=he", *SMALL)
    before = stored()
    later = initbench("run", "init=he_normal", *SMALL)
    assert "nothing to train" in later.err
    assert heads(later) == ["he_normal"]
    assert stored() == before
    assert heads(initbench("report")) == ["he", "he_normal"]
    files = sorted(Path("results").rglob("*.jsonl"))
    assert heads(initbench("run", "init=he_normal", *SMALL)) == ["he_normal"]
    assert sorted(Path("results").rglob("*.jsonl")) == files


def test_what_a_search_has_trained_serves_a_fixed_protocol(initbench: Initbench) -> None:
    tuned = initbench("run", "init=he", "protocol=tuned", "protocol.search.lr=[0.1]", "protocol.seeds=1", *SMALL)
    assert "4 trials: 3 already done" not in tuned.err
    fixed = initbench("run", "init=he", "lr=0.1", *SMALL)
    assert "nothing to train" in fixed.err
    shown = initbench("report", "--format", "csv").out
    assert [shown.count(f",{kind},") for kind in ("search", "final")] == [1, 6]


@pytest.mark.parametrize("labels", ["init=he_normal", "dataset.name=mine"])
def test_records_that_are_copied_without_their_labels_are_still_reported(initbench: Initbench, labels: str) -> None:
    initbench("run", "init=he", *SMALL)
    (trained,) = Path("results").rglob("*.jsonl")
    initbench("run", "init=he", labels, *SMALL)
    (other,) = {*Path("results").rglob("*.jsonl")} - {trained}
    trained.unlink()
    assert initbench("report").code == 2
    again = initbench("run", "init=he", labels, *SMALL)
    assert "3 trials: 0 already done, 3 to train" in again.err
    assert other.exists()


def test_what_is_asked_for_in_one_way_is_one_text_whoever_wrote_it() -> None:
    one = Asked(dataset="digits", init="he")
    explicit = {"dataset": "digits", "init": "he", "bias": "zeros", "stage": "final", "protocol": {"name": "fixed"}}
    assert msgspec.convert(json.loads(json.dumps(explicit)), Asked).text() == one.text()


def test_a_label_is_what_was_asked_for_whatever_else_is_there(initbench: Initbench) -> None:
    initbench("run", "init=he,orthogonal", *SMALL)
    initbench("run", "init=he", "bias=normal", *SMALL)
    initbench("run", "init=gaussian", "init.std=0.05,0.01", *SMALL)
    initbench("run", "init=orthogonal", "init.gain=auto,torch,1", *SMALL)
    initbench("run", "init=he", "init_output=null,zero", *SMALL)
    labels = {one.label for one in asked()}
    assert labels == {
        *("he", "he bias=normal", "he init_output=zero", "gaussian", "gaussian std=0.05"),
        *("orthogonal", "orthogonal gain=auto", "orthogonal gain=torch"),
    }
    assert initbench("report", "--baseline", "he").code == 0


def test_a_record_of_the_first_format_is_one_with_what_is_asked_for_today(initbench: Initbench) -> None:
    initbench("run", "init=he", *SMALL)
    (file,) = Path("results").rglob("*.jsonl")
    _, *lines = [json.loads(line) for line in file.read_text().splitlines()[:-1]]
    old = [line | {"trial": schema_1(line)} for line in lines]
    file.unlink()
    write_lines(file, {"format": 1, "finished": ""}, *old)
    assert [one.settings for one in asked()] == [{}, {}, {}]
    again = initbench("run", "init=he", *SMALL)
    assert "nothing to train" in again.err
    assert len(asked()) == 3
    assert all(one.settings["init"] == "he" for one in asked())


def test_a_record_that_is_silent_stands_back_behind_one_of_its_own_trial_only() -> None:
    silent = recorded([make_record("he", seed) for seed in range(3)])
    told = msgspec.structs.replace(silent[0], asked=msgspec.structs.replace(silent[0].asked, settings={"init": "he"}))
    found = from_records([*silent, told])
    asked = [found.cells[code].asked.settings for code in found.numbers["cell"]]
    assert dict(zip(found.keys.tolist(), asked, strict=True)) == {
        silent[0].key.encode(): {"init": "he"}, silent[1].key.encode(): {}, silent[2].key.encode(): {},
    }  # fmt: skip


def schema_1(line: dict[str, Any]) -> dict[str, Any]:
    """The identity as it was: with names, protocol and stage."""
    trial = line["trial"]
    named = {"dataset": {"name": "synthetic"} | trial["dataset"], "init": {"name": "he"} | trial["init"]}
    return trial | named | {"bias": {"name": "zeros"}, "protocol": "fixed", "stage": "final"}


def test_trials_that_are_trained_again_under_another_name_are_a_file_of_their_own(tmp_path: Path) -> None:
    (one,) = recorded([make_record()])
    other = msgspec.structs.replace(one, asked=msgspec.structs.replace(one.asked, init="other"))
    assert records.publish(tmp_path, [one]) == records.publish(tmp_path, [one])
    assert records.publish(tmp_path, [one]) != records.publish(tmp_path, [other])
    assert {way.init for way in asked(tmp_path)} == {"he", "other"}


def test_one_file_by_two_paths_is_one_row_per_run(initbench: Initbench, tmp_path: Path) -> None:
    lines = ["a,b,y", *(f"{number % 7},{number % 5},{number % 2}" for number in range(80))]
    Path("table.csv").write_text("\n".join(lines), encoding="utf-8")
    for path in ("table.csv", tmp_path / "table.csv", "./table.csv"):
        initbench("run", "dataset=csv", f"dataset.path='{path}'", *SMALL[1:])
    assert len(stored()) == 3
    assert len(initbench("report", "--format", "csv").out.splitlines()) == 1 + 3
    assert ": 3 trials." in " ".join(initbench("report").out.split())


def test_a_trial_in_two_ways_is_one_run_of_a_technique_and_one_trial_in_every_count(initbench: Initbench) -> None:
    words = ("init=he", "bias=null,zeros", "depth=1,2", *SMALL)
    planned = initbench("run", *words, "--dry-run").out.splitlines()[-2]
    assert planned == "4 cells, 6 trials: 0 done, 6 to do"
    initbench("run", *words)
    assert heads(initbench("report", "depth=2")) == ["he", "he", "bias=zeros"]
    assert "all 6 trials have" in initbench("run", *words).err
    by_depth = " ".join(initbench("report", "--by", "depth").out.split())
    assert "0/3" in by_depth
    assert ": 6 trials." in by_depth
    assert len(initbench("report", "--format", "csv").out.splitlines()) == 1 + 6
    frame = compare(to_trials(index.load([Path("results")])[0]), "depth").frame
    assert len(frame) == 6


def test_two_folders_share_trials_and_not_the_ways_in_which_they_were_asked_for(initbench: Initbench) -> None:
    for folder in ("one", "two"):
        initbench("run", "init=he,he_normal", f"results={folder}", *SMALL)
    first, second = (to_trials(index.load([Path(folder)])[0]) for folder in ("one", "two"))
    same = same_trials(first, second)
    assert (same.both, same.first_only, same.second_only) == (3, 0, 0)


def test_a_label_does_not_depend_on_records_that_do_not_say_how_they_were_asked_for(initbench: Initbench) -> None:
    initbench("run", "init=he", "init.gain=1", *SMALL)
    initbench("run", "init=he", *SMALL)
    for file in Path("results").rglob("*.jsonl"):
        header, *lines, _ = map(json.loads, file.read_text().splitlines())
        spoken = [line["asked"].pop("settings") for line in lines]
        if "init.gain" in spoken[0]:
            write_lines(file, header, *lines)
    assert heads(initbench("report")) == ["he", "he", "gain=1"]
    assert initbench("report", "--baseline", "he").code == 0
