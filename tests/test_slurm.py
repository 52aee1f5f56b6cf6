"""A real Slurm of one node: the table of one machine, whatever is killed, queued again or asked for twice."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Answer, stored
from handmade import csv_of

import initbench as api
from initbench import records
from initbench.analysis.trials import to_trials
from initbench.experiment.executors import slurm
from initbench.records import index

Initbench = Callable[..., Answer]

FOLDER = Path(__file__).parent / "slurm"
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("slurmctld") is None or shutil.which("munged") is None, reason="needs Slurm"),
]
pytest.importorskip("submitit")

SMALL = ("init=he,xavier", "depth=1,2,3", "seeds=4", "width=16", "epochs=2", "dataset=digits")
# Twelve chunks of some seconds.
LONG = ("init=he,xavier", "depth=2,3,4,5,6,7", "seeds=3", "width=192", "epochs=60", "dataset=digits")
ON_SLURM = ("executor=slurm", "executor.workers=2", "executor.cpus=1", "executor.memory=0.5", "executor.minutes=5")
# What only keeps a test that fails from hanging.
DEADLINE = 240


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([FOLDER / "start.sh", folder, "4"], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        # Jobs find what we find.
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        try:
            yield folder
        finally:
            subprocess.run([FOLDER / "stop.sh", folder], check=True)


def table(results: str) -> str:
    return csv_of(to_trials(index.load([Path(results)])[0]))


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.2)


def job(results: str) -> str:
    (folder,) = (Path(results) / ".slurm").iterdir()
    return slurm.job_of(folder)


def in_table() -> int:
    """How many records there are, those of a trial that was trained twice as often."""
    return sum(len(records.read(file)[1]) for file in records.files([Path("slurm")]))


def test_the_table_is_that_of_one_machine_and_a_detached_command_is_collected(initbench: Initbench) -> None:
    api.run(*SMALL, results="local", quiet=True)
    answer = initbench("run", *SMALL, *ON_SLURM, "results=slurm", "--detach")
    assert (answer.code, answer.out) == (0, "")
    assert f"submitted job {job('slurm')}" in answer.err
    # Whoever asks again meanwhile submits nothing.
    again = initbench("run", *SMALL, *ON_SLURM, "results=slurm", "--detach")
    assert f"job {job('slurm')} is at it already" in again.err
    told = initbench("status", "slurm").out
    assert told.startswith("run: 24 trials: ")
    assert f"slurm job {job('slurm')}: " in told
    collected = initbench("run", *SMALL, *ON_SLURM, "results=slurm")
    assert collected.code == 0
    assert "Test accuracy" in collected.out
    assert table("local") == table("slurm")
    assert "24 done, 0 running, 0 waiting" in initbench("status", "slurm").out
    assert "nothing to train" in initbench("run", *SMALL, *ON_SLURM, "results=slurm").err


def driver(results: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "initbench", "run", *LONG, *ON_SLURM, f"results={results}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def members() -> list[int]:
    """The processes that run in jobs, and train."""
    found = subprocess.run(["pgrep", "-f", "submitit.core._submit"], capture_output=True, text=True).stdout.split()
    return [pid for pid in map(int, found) if _environment(pid, "SLURM_CONF") == os.environ["SLURM_CONF"]]


def _environment(pid: int, name: str) -> str:
    try:
        around = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((line.decode().partition("=")[2] for line in around if line.startswith(f"{name}=".encode())), "")


def test_kills_of_members_and_of_two_drivers_at_once_cost_a_chunk_each() -> None:
    api.run(*LONG, results="local", quiet=True)
    rng = random.Random(0)
    drivers = [driver("slurm"), driver("slurm")]
    kills = 0
    try:
        while not all(one.poll() == 0 for one in drivers):
            time.sleep(rng.uniform(2, 4))
            if kills < 4 and members():
                with_mercy = rng.choice(members())
                os.kill(with_mercy, signal.SIGKILL)
                kills += 1
            victim = rng.randrange(2)
            if kills < 4 and drivers[victim].poll() is None:
                drivers[victim].kill()
                drivers[victim].wait()
            # Whoever was killed, or had none left who trains, asks again.
            drivers = [driver("slurm") if one.poll() else one for one in drivers]
    finally:
        for one in drivers:
            one.kill()
            one.wait()
    assert kills == 4
    assert table("local") == table("slurm")
    # At most the trials in training are trained again: here as many are recorded as there are.
    assert in_table() <= 1.05 * len(stored("slurm"))


def test_a_job_whose_time_is_up_is_queued_again_and_what_it_had_is_trained(initbench: Initbench) -> None:
    api.run(*LONG, results="local", quiet=True)
    assert initbench("run", *LONG, *ON_SLURM, "results=slurm", "--detach").code == 0
    # Before, it is only being started, and a signal would end it.
    until(lambda: records.files([Path("slurm")]))
    number = job("slurm")
    # What Slurm sends before the end.
    subprocess.run(["scancel", "--signal=USR2", f"{number}_0"], check=True)
    until(lambda: "PENDING" in (slurm.states(number) or {}))
    assert initbench("run", *LONG, *ON_SLURM, "results=slurm").code == 0
    assert table("local") == table("slurm")


def test_what_a_member_cannot_see_is_told_in_one_line(initbench: Initbench, tmp_path: Path) -> None:
    (tmp_path / "law.py").write_text("def mine(shape, rng):\n    return rng.random(shape)\n")
    line = (
        "run",
        "init=mine",
        "--plugin",
        "law.py",
        *SMALL[1:],
        *ON_SLURM,
        "executor.setup=rm law.py",
        "results=slurm",
    )
    answer = initbench(*line)
    assert answer.code == 2
    assert "law.py" in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err


def test_another_installation_is_refused_before_it_trains(
    initbench: Initbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.executors.member.__version__", "0.0.1")
    answer = initbench("run", *SMALL, *ON_SLURM, "results=slurm")
    assert answer.code == 2
    assert f"initbench {api.__version__} here and 0.0.1 there" in answer.err.splitlines()[-1]
    assert not Path("slurm/run/records").exists() or not stored("slurm")


def test_another_kind_of_processor_is_told_before_it_trains_or_refused(
    initbench: Initbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.executors.member.processor", lambda: "A CPU")
    answer = initbench("run", *SMALL[:1], *SMALL[2:], *ON_SLURM, "results=slurm")
    assert answer.code == 0
    assert "the last bits of numbers may differ: processor" in answer.err
    assert "here and A CPU there" in answer.err
    assert "and A CPU there" in initbench("status", "slurm").out
    answer = initbench("run", *SMALL, *ON_SLURM, "executor.refuse=all", "results=other")
    assert answer.code == 2
    assert "and A CPU there" in answer.err.splitlines()[-1]


def test_who_waits_in_a_full_queue_is_waiting(initbench: Initbench) -> None:
    """All processors are somebody else's: nothing is trained, nothing is lost, and the same command collects."""
    told = subprocess.run(
        ["sbatch", "--parsable", "--cpus-per-task=4", "--wrap", "sleep 600"], capture_output=True, text=True, check=True
    ).stdout
    try:
        assert initbench("run", *SMALL[:1], *SMALL[2:], *ON_SLURM, "results=slurm", "--detach").code == 0
        until(lambda: "pending" in initbench("status", "slurm").out)
        assert "0 done, 0 running, 8 waiting" in initbench("status", "slurm").out
    finally:
        subprocess.run(["scancel", told.strip()], check=True)
    assert initbench("run", *SMALL[:1], *SMALL[2:], *ON_SLURM, "results=slurm").code == 0
    # An array of more jobs than there may be.
    answer = initbench("run", *SMALL, *ON_SLURM, "executor.workers=5000", "results=many")
    assert answer.code == 2
    assert "Slurm takes no such jobs" in answer.err.splitlines()[-1]


def test_what_slurm_does_not_take_is_told_in_one_line(initbench: Initbench) -> None:
    answer = initbench("run", *SMALL, *ON_SLURM, "executor.partition=none", "results=slurm")
    assert answer.code == 2
    assert "Slurm takes no such jobs" in answer.err.splitlines()[-1]
    assert "partition" in answer.err.splitlines()[-1]
