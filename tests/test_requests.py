"""What a run asked for can be addressed: by its name, and by the overrides themselves."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, stored

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=2")


def trials(answer: Answer) -> list[tuple[str, str, str]]:
    """Initializer, biases and depth of each row of a CSV."""
    assert answer.code == 0, answer.err
    return [(row["init"], row["bias"], row["depth"]) for row in csv.DictReader(answer.out.splitlines())]


@pytest.mark.full
def test_the_overrides_of_a_run_address_its_trials_and_no_others(initbench: Initbench) -> None:
    initbench("run", "init=he,xavier", "depth=1,2", *SMALL)
    initbench("run", "init=he", "bias=normal", *SMALL)
    assert len(trials(initbench("report", "init=he", "--format", "csv"))) == 6
    exact = trials(initbench("report", "--exact", "init=he", *SMALL, "--format", "csv"))
    assert exact == [("he", "zeros", "2")] * 2
    refused = initbench("report", "--exact", "init=gaussian", *SMALL)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "nothing of this is trained yet" in refused.err


def test_a_run_has_a_name_and_its_results_are_addressed_by_it(initbench: Initbench) -> None:
    initbench("run", "init=he", *SMALL)
    named = initbench("run", "name=pilot", "init=he,zero", *SMALL)
    # Half of it is there already, in another run's folder.
    assert "4 trials: 2 already done, 2 to train" in named.err
    assert len(list(Path("results/pilot/records").glob("*.jsonl"))) == 1
    assert [init for init, *_ in trials(initbench("report", "name=pilot", "--format", "csv"))] == [
        "he",
        "he",
        "zero",
        "zero",
    ]
    assert [init for init, *_ in trials(initbench("report", "name=run", "--format", "csv"))] == ["he", "he"]
    assert len(trials(initbench("report", "--format", "csv"))) == 4
    unknown = initbench("report", "name=pilto")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "there are: pilot, run" in unknown.err


def test_a_request_is_kept_once(initbench: Initbench) -> None:
    for _ in range(2):
        initbench("run", "init=he", *SMALL)
    (kept,) = Path("results/run/requests").glob("*.json")
    assert json.loads(kept.read_text())["name"] == "run"


@pytest.mark.parametrize("name", ["a/b", "..", "''"])
def test_a_name_is_that_of_a_folder(initbench: Initbench, name: str) -> None:
    answer = initbench("run", f"name={name}", *SMALL)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "name must be" in answer.err


def test_a_name_is_found_when_its_data_have_changed(initbench: Initbench) -> None:
    def write(first: int) -> None:
        lines = ["a,b,y", *(f"{number % 7},{first + number % 5},{number % 2}" for number in range(80))]
        Path("table.csv").write_text("\n".join(lines), encoding="utf-8")

    words = ("dataset=csv", "dataset.path=table.csv", "epochs=1", "width=8", "seeds=2", "name=pilot")
    write(0)
    assert initbench("run", *words).code == 0
    first = stored().keys()
    write(1)
    there = initbench("report", "name=pilot", "--format", "csv")
    assert there.code == 0, there.err
    assert {line.rpartition(",")[2] for line in there.out.splitlines()[1:]} == first
    Path("table.csv").unlink()
    assert initbench("report", "name=pilot").code == 0


def test_a_damaged_request_is_named(initbench: Initbench) -> None:
    initbench("run", "init=he", "name=pilot", *SMALL)
    (file,) = Path("results/pilot/requests").iterdir()
    file.write_text("{", encoding="utf-8")
    refused = initbench("report", "name=pilot")
    assert refused.code == 2
    assert refused.err.startswith(f"initbench: error: {file}: this is no request of initbench")


def test_what_is_no_request_is_named_and_not_waited_for(initbench: Initbench) -> None:
    initbench("run", "init=he", "name=pilot", *SMALL)
    odd = Path("results/pilot/requests/0.json")
    for make, why in [
        (os.mkfifo, "it is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
        (lambda path: path.write_text('{"x":' + "[" * 100_000), "it is nested too deeply"),
    ]:
        make(odd)
        refused = initbench("report", "name=pilot")
        assert (refused.code, refused.err) == (
            2,
            f"initbench: error: {odd}: this is no request of initbench: {why}\n",
        )
        odd.unlink()
