"""What ``--dry-run`` says of trials that are new: in what they differ from the nearest that have records."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

Initbench = Callable[..., Answer]
SMALL = ("dataset=synthetic", "epochs=1", "width=8", "depth=1", "seeds=2", "batch_size=256")


@pytest.fixture
def planned(initbench: Initbench) -> Callable[..., str]:
    """The lines of a plan, after ``he`` was trained."""
    assert initbench("run", "init=he", *SMALL).code == 0

    def run(*overrides: str) -> str:
        answer = initbench("run", "init=he", *SMALL, *overrides, "--dry-run")
        assert answer.code == 0, answer.err
        return answer.out

    return run


@pytest.mark.full
def test_what_is_new_is_said(planned: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    for given, said in (
        (["lr=0.2"], "0 done, 2 to do (lr 0.1 -> 0.2)\n"),
        (["depth=2"], "0 done, 2 to do (depth 1 -> 2)\n"),
        (["width=16"], "0 done, 2 to do (width [8] -> [16])\n"),
        (["init=xavier"], "0 done, 2 to do (init he_normal -> glorot_normal)\n"),
        (["init.gain=1"], "0 done, 2 to do (init.gain 1.41421 -> 1)\n"),
        (["optimizer=adam"], "0 done, 2 to do (optimizer sgd -> adam, lr 0.1 -> 0.01)\n"),
        (["init_output=zero"], "0 done, 2 to do (init_output none -> "),
        (["dataset=digits"], "(dataset synthetic -> digits"),
        (["lr=0.2", "epochs=2", "batch_size=64", "schedule=linear"], "(nothing like it is recorded)\n"),
    ):
        assert said in planned(*given), (given, planned(*given))
    # The same, or more seeds of the same: the numbers say it.
    assert ": 2 done, 0 to do\n" in planned()
    assert ": 2 done, 1 to do\n" in planned("seeds=3")
    # One line a cell, of the nearest.
    assert planned("lr=0.1,0.2").splitlines()[1].endswith("0 done, 2 to do (lr 0.1 -> 0.2)")
    monkeypatch.setattr("initbench.trial.RECIPE", 3)
    assert "0 done, 2 to do (recipe 2 -> 3)\n" in planned()


@pytest.mark.full
def test_data_that_have_changed_are_said(initbench: Initbench) -> None:
    def write(more: str) -> None:
        rows = "".join(f"{3 * i},{i % 7},{i % 2}\n" for i in range(40))
        Path("a.csv").write_text("x,z,label\n" + rows + more, encoding="utf-8")

    given = ("run", "dataset=csv", "dataset.path=a.csv", "epochs=1", "width=8", "depth=1", "seeds=1")
    write("")
    assert initbench(*given).code == 0
    write("41,0,1\n")
    assert "0 done, 1 to do (the data of a have changed)\n" in initbench(*given, "--dry-run").out
    write("")
    assert "1 done, 0 to do\n" in initbench(*given, "--dry-run").out


def test_nothing_is_said_where_nothing_is_recorded(initbench: Initbench) -> None:
    assert "0 done, 2 to do\n" in initbench("run", "init=he", *SMALL, "--dry-run").out


def test_a_plan_tells_cells_apart(initbench: Initbench) -> None:
    shown = initbench("run", "--dry-run", "optimizer.momentum=0.5,0.9", "init.gain=1,2", "epochs=3,4", "seeds=1")
    lines = shown.out.splitlines()[:-2]
    assert len(set(lines)) == len(lines) == 8
    assert "init.gain=1 optimizer.momentum=0.5 epochs=3:" in lines[0]
    assert "epochs" not in initbench("run", "--dry-run", "epochs=3", "init=he,xavier", "seeds=1").out
