"""Who trains makes no difference: the same table, byte for byte, and the same outcomes."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import hostile
import pytest
from conftest import Answer, stored
from handmade import csv_of
from hostile import DEEDS

import initbench as api
from initbench.analysis.trials import to_trials
from initbench.errors import InputError
from initbench.experiment import process
from initbench.processors import processors
from initbench.records import index
from initbench.settings.executors import EXECUTORS, offered

Initbench = Callable[..., Answer]

# Four chunks, one after the other on a CPU with one thread.
SMALL = ("init=he,xavier", "depth=1,2,3,4", "seeds=2", "width=16", "epochs=1", "dataset=digits")
NET = ("model=module", "model.path=net.py:net", "dataset=synthetic", "batch_size=64", "epochs=2")


def table(results: str) -> str:
    """The CSV of all that is in a folder."""
    return csv_of(to_trials(index.load([Path(results)])[0]))


@pytest.mark.full
def test_processes_side_by_side_give_the_table_of_one(capfd: pytest.CaptureFixture[str]) -> None:
    api.run(*SMALL, results="one", quiet=True)
    api.run(*SMALL, results="two", executor={"name": "local", "processes": 3})
    assert table("one") == table("two")
    assert "waiting" not in capfd.readouterr().err
    assert sorted(path.name for path in Path("two/run").iterdir()) == ["records", "requests"]
    assert not Path("two/.taken").exists()
    assert "nothing to train" in _told(capfd, *SMALL, "executor.processes=2", "results=one")


def _told(capfd: pytest.CaptureFixture[str], *overrides: str) -> str:
    api.run(*overrides)
    return capfd.readouterr().err


@pytest.mark.full
def test_what_a_module_does_is_the_outcome_of_its_trial_in_each_process() -> None:
    hostile.write()
    api.run(*NET, seeds=8, quiet=True)
    whole = stored()
    hostile.write(2, 5, 6)
    api.run(*NET, seeds=8, quiet=True, executor={"name": "local", "processes": 2}, results="two")
    found = stored("two")
    failed = {record["trial"]["seed"]: record for record in found.values() if record["outcome"] == "failed"}
    assert {*failed} == {2, 5, 6} & DEEDS.keys()
    for seed, record in failed.items():
        assert record["error"].startswith(DEEDS[seed][1])
    assert {key: record for key, record in found.items() if record["outcome"] != "failed"}.items() <= whole.items()


DRAWS = """
from torch import nn
def net(sample_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_classes))
"""


@pytest.mark.full
def test_networks_that_take_turns_have_a_process_for_each_processor_unless_users_choose(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.executors.local.processors", lambda: 2)
    monkeypatch.setattr("initbench.experiment.executors.local._STEPS", 100)
    Path("draws.py").write_text(DRAWS)
    asked = ("init=he", "model=module", "model.path=draws.py:net", "dataset=digits", "batch_size=64", "epochs=2")
    api.run(*asked, seeds=4, results="one", executor={"name": "local", "processes": 1})
    assert "processes" not in capfd.readouterr().err
    api.run(*asked, seeds=4, results="two")
    assert "2 processes, as these networks take turns in one" in capfd.readouterr().err
    assert table("one") == table("two")
    assert len(list(Path("two/run/records").iterdir())) == 2
    # To start another process would take longer than to train these.
    api.run(*asked, seeds=2, results="few")
    assert "processes" not in capfd.readouterr().err


@pytest.mark.full
def test_who_is_stopped_stops_all_its_processes(tmp_path: Path) -> None:
    hostile.write(hostile.STUCK)
    (tmp_path / "pid").unlink(missing_ok=True)

    def interrupt() -> None:
        while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
            stopped.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    stopped = threading.Event()
    threading.Thread(target=interrupt, daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            api.run(*NET, f"seeds=[0,1,{hostile.STUCK}]", quiet=True, executor={"name": "local", "processes": 2})
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not Path("results/.taken").exists()
    hostile.write()
    assert len(api.run(*NET, f"seeds=[0,1,{hostile.STUCK}]", quiet=True)) == 3


@pytest.mark.full
def test_an_error_of_no_trial_ends_all_processes() -> None:
    with pytest.raises(InputError, match="device=cuda"):
        api.run(*SMALL, device="cuda:7", executor={"name": "local", "processes": 2})
    assert not Path("results").exists()


def test_a_process_has_its_part_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    there = processors()
    monkeypatch.setenv("INITBENCH_THREADS", "1")
    assert processors() == 1
    for text in (str(there + 1), "", "many", "0"):
        monkeypatch.setenv("INITBENCH_THREADS", text)
        assert processors() == there


def test_executors_are_listed_and_named(initbench: Initbench) -> None:
    listed = initbench("list", "executor").out
    assert all(f"  {name} " in listed for name in EXECUTORS)
    for line, told in (
        ("executor=slrum", "unknown executor 'slrum'"),
        ("executor.processes=0", "executor.processes must be a whole number >= 1; got 0"),
        ("executor.processes=1,2", "'executor.processes' takes one value, got 2"),
        ("executor.threads=2", "unknown setting 'executor.threads'"),
    ):
        answer = initbench("run", line)
        assert answer.code == 2
        assert told in answer.err


def test_an_executor_of_a_users_folder_is_made_of_another(initbench: Initbench, tmp_path: Path) -> None:
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor" / "gpu.yaml").write_text("defaults: [slurm, _self_]\npartition: long\n")
    answer = initbench("list", "executors", "--config-dir", tmp_path)
    assert "made of slurm" in " ".join(answer.out.split())
    shown = initbench("run", "--config-dir", tmp_path, "executor=gpu", "seeds=1", "--config").out
    assert "  name: slurm\n  workers: 8\n" in shown
    assert "  partition: long\n" in shown


@pytest.mark.full
def test_an_installed_package_offers_an_executor_by_an_entry_point(
    initbench: Initbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "my_executor-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-executor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[initbench.executors]\nmine = own_executor:train\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    offered.cache_clear()
    try:
        assert "Processes of one thread each." in initbench("list", "mine", "--config-dir", tmp_path).out
        api.run(*SMALL, results="one", quiet=True)
        answer = initbench("run", *SMALL, "executor=mine", "executor.processes=3", "results=two")
        assert answer.code == 0, answer.err
        assert table("one") == table("two")
        (info / "entry_points.txt").write_text("[initbench.executors]\nbad = own_executor:gone\n")
        offered.cache_clear()
        answer = initbench("run", *SMALL, "executor=bad")
        assert answer.code == 2
        assert "executor 'bad' of package own_executor" in answer.err
        assert "choose" in initbench("run", "executor=nine").err.lower()
    finally:
        offered.cache_clear()


@pytest.mark.full
def test_more_processes_than_are_needed_are_not_kept() -> None:
    process.start(2)
    two = [process.take(), process.take()]
    for worker in two:
        process.give_back(worker)
    assert [worker.usable for worker in two] == [True, False]
