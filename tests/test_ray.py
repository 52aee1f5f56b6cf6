"""A real Ray cluster of two nodes on loopback: the table of one machine, whatever is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer, stored
from handmade import csv_of

import initbench as api
from initbench import records
from initbench.analysis.trials import to_trials
from initbench.records import index

Initbench = Callable[..., Answer]

pytestmark = [pytest.mark.ray, pytest.mark.full, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("ray")

SMALL = ("init=he,xavier", "depth=1,2,3", "seeds=4", "width=16", "epochs=2", "dataset=digits")
# Six chunks of some seconds.
LONG = ("init=he,xavier", "depth=2,3,4,5,6,7", "seeds=3", "width=192", "epochs=60", "dataset=digits")
# In the environment of all that this cluster starts: nothing else is ever killed.
MARK = uuid.uuid4().hex
# What only keeps a test that fails from hanging.
DEADLINE = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("INITBENCH_TESTED_BY", MARK)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.add_node(num_cpus=1)
        yield found
        found.shutdown()


def table(results: str) -> str:
    return csv_of(to_trials(index.load([Path(results)])[0]))


def on(cluster: Any, *more: str) -> tuple[str, ...]:
    return ("executor=ray", f"executor.address='{cluster.address}'", *more)


def driver(cluster: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "initbench", "run", *LONG, *on(cluster), "results=ray"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.1)


def trainers() -> list[int]:
    """The processes that train, forked from those that the actors have started."""
    found = subprocess.run(["pgrep", "-f", "initbench.experiment.worker"], capture_output=True, text=True).stdout
    return [pid for pid in map(int, found.split()) if _ours(pid) and _host(pid)]


def _ours(pid: int) -> bool:
    """Whether this test's cluster has started it."""
    try:
        return f"INITBENCH_TESTED_BY={MARK}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _host(pid: int) -> bool:
    """Whether its ancestor is an actor of ours."""
    try:
        while pid > 1:
            if b"ray::Host" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except (OSError, ValueError):
        pass
    return False


def in_table() -> int:
    """How many records there are, those of a trial that was trained twice as often."""
    return sum(len(records.read(file)[1]) for file in records.files([Path("ray")]))


def test_the_table_is_that_of_one_machine(initbench: Initbench, cluster: Any) -> None:
    api.run(*SMALL, results="local", quiet=True)
    answer = initbench("run", *SMALL, *on(cluster), "results=ray")
    assert answer.code == 0, answer.err
    assert "Traceback" not in answer.err
    assert table("local") == table("ray")
    assert sorted(path.name for path in Path("ray").iterdir()) == ["run"]
    assert "nothing to train" in initbench("run", *SMALL, *on(cluster), "results=ray").err


def test_lost_workers_and_nodes_and_a_driver_that_dies_cost_a_chunk_each(cluster: Any) -> None:
    api.run(*LONG, results="local", quiet=True)
    first = driver(cluster)
    until(lambda: records.files([Path("ray")]))
    first.kill()
    first.communicate()
    # Nobody trains for who is dead.
    until(lambda: not trainers())
    second = driver(cluster)
    until(trainers)
    for pid in trainers()[:1]:
        os.kill(pid, signal.SIGKILL)
    n_files = len(records.files([Path("ray")]))
    until(lambda: len(records.files([Path("ray")])) > n_files or second.poll() is not None)
    # Killed as a machine that goes off: the other one does the rest.
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    _, told = second.communicate(timeout=DEADLINE)
    assert second.returncode == 0, told
    assert table("local") == table("ray")
    assert in_table() == len(stored("ray"))
    cluster.add_node(num_cpus=1)


def test_who_finds_no_place_leaves_the_work_to_others(
    initbench: Initbench, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.executors.ray._PLACE_SECONDS", 1.0)
    api.run(*SMALL, results="local", quiet=True)
    answer = initbench("run", *SMALL, *on(cluster, "executor.workers=5"), "results=ray")
    assert answer.code == 0, answer.err
    assert table("local") == table("ray")


def test_who_is_stopped_leaves_nothing_at_work(cluster: Any) -> None:
    def interrupt() -> None:
        until(trainers)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            api.run(*LONG, *on(cluster), results="ray", quiet=True)
    finally:
        signal.signal(signal.SIGINT, before)
    until(lambda: not trainers())
    assert not Path("ray/.taken").exists()


def test_another_installation_is_refused_before_it_trains(
    initbench: Initbench, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.executors.member.__version__", "0.0.1")
    answer = initbench("run", *SMALL, *on(cluster), "results=ray")
    assert answer.code == 2
    assert f"initbench {api.__version__} here and 0.0.1 there" in answer.err.splitlines()[-1]


def test_a_cluster_that_is_not_there_is_told_in_one_line(initbench: Initbench) -> None:
    answer = initbench("run", *SMALL, "executor=ray", "executor.address='127.0.0.1:9'")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("initbench: error: cannot join Ray: ")
