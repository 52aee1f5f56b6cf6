"""kill -9 at any moment: the same command again, and all is as if nothing had happened; many at once share the work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NOTHING_WRONG = {"lost": 0, "doubled": 0, "malformed": 0, "left_behind": 0}
AS_EVER = {"other_tables": 0, "doubled": 0, "malformed": 0, "left_behind": 0}


def sums(script: str, *arguments: object, environment: dict[str, str] | None = None) -> dict[str, int]:
    """What a script counts that kills processes, or has them kill themselves."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    answer = subprocess.run(
        [sys.executable, str(TESTS / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
    )
    found: dict[str, int] = json.loads(answer.stdout)
    print(*(f"{name} {number}" for name, number in found.items()), sep=", ")
    return found


FEW_OR_MANY = [pytest.param(20, marks=pytest.mark.full), pytest.param(500, marks=pytest.mark.slow)]


@pytest.mark.parametrize("kills", FEW_OR_MANY)
def test_kills_of_what_publishes_lose_double_and_damage_nothing(tmp_path: Path, kills: int) -> None:
    found = sums("killing.py", "kill", tmp_path, kills, 1)
    assert found["kills"] >= kills
    assert found.items() >= NOTHING_WRONG.items()


@pytest.mark.parametrize("rounds", [pytest.param(1, marks=pytest.mark.full), pytest.param(20, marks=pytest.mark.slow)])
def test_eight_processes_and_kills_do_no_work_twice(tmp_path: Path, rounds: int) -> None:
    found = sums("killing.py", "kill", tmp_path, 10 * rounds, 1, 8, rounds)
    assert found["sweeps"] >= rounds
    assert found.items() >= NOTHING_WRONG.items()
    assert found["trained_twice"] <= 0.05 * found["trials"]


@pytest.mark.full
def test_a_kill_at_any_file_operation_loses_doubles_and_damages_nothing(tmp_path: Path) -> None:
    found = sums("killing.py", "exits", tmp_path)
    # To publish a chunk takes ten, before and after each.
    assert found["kills"] > 2 * 3 * 10
    assert found.items() >= NOTHING_WRONG.items()


@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.full), pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_begun_again_has_the_same_table(tmp_path: Path, kills: int) -> None:
    found = sums("killing_runs.py", "kill", tmp_path, kills, 1)
    assert found["kills"] >= kills
    assert found.items() >= AS_EVER.items()


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_file_operation_has_the_same_table(tmp_path: Path) -> None:
    found = sums("killing_runs.py", "exits", tmp_path)
    assert found["kills"] > 3 * 10
    assert found.items() >= AS_EVER.items()


@pytest.mark.slow
def test_a_training_of_some_seconds_that_is_killed_has_the_same_table(tmp_path: Path) -> None:
    found = sums("killing_runs.py", "train", tmp_path, 20, 1)
    assert found["kills"] >= 20
    assert found.items() >= AS_EVER.items()


@pytest.mark.slow
def test_eight_runs_at_once_and_kills_train_nothing_twice(tmp_path: Path) -> None:
    found = sums("killing_runs.py", "share", tmp_path, 20, 1)
    assert found["rounds"] == 20
    assert found.items() >= AS_EVER.items()
    assert found["trained_twice"] <= 0.05 * found["trials"]


@pytest.mark.slow
def test_four_runs_that_begin_one_after_the_other_train_nothing_twice(tmp_path: Path) -> None:
    found = sums("killing_runs.py", "stagger", tmp_path, 3, 1)
    assert found.items() >= AS_EVER.items()
    assert found["trained_twice"] == 0
