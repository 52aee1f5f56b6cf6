"""Two machines on a network file system that has its usual faults: the table of one, and nothing lost or doubled."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from handmade import csv_of

import initbench as api
from initbench import records
from initbench.analysis.trials import to_trials
from initbench.records import index

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="needs FUSE"),
]
pytest.importorskip("mfusepy", exc_type=(ImportError, OSError))

SWEEP = ("init=he,xavier", "depth=1,2,3,4", "seeds=4", "width=16", "epochs=2", "dataset=digits")
# What others make is seen so late, and their clock is an hour ahead.
LATE, AHEAD = 2.0, 3600.0
DEADLINE = 120


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[list[Path]]:
    """Where two machines see one folder."""
    points = [tmp_path / "one", tmp_path / "two"]
    mounted = []
    for point, ahead in zip(points, (0.0, AHEAD), strict=True):
        point.mkdir()
        (tmp_path / "shared").mkdir(exist_ok=True)
        script = Path(__file__).with_name("faulty.py")
        command = [sys.executable, script, tmp_path / "shared", point, str(LATE), str(ahead)]
        mounted.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    try:
        deadline = time.monotonic() + DEADLINE
        while not all(map(os.path.ismount, points)):
            if any(one.poll() is not None for one in mounted):
                pytest.skip("nothing can be mounted here")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield points
    finally:
        for point, one in zip(points, mounted, strict=True):
            subprocess.run(["fusermount3", "-u", "-z", point], check=False, stderr=subprocess.DEVNULL)
            one.wait()


def start(point: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "initbench", "run", *SWEEP, f"results={point}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def table(results: Path) -> str:
    return csv_of(to_trials(index.load([results])[0]))


def test_the_faults_are_there(machines: list[Path]) -> None:
    one, two = machines
    (one / "file").write_text("x")
    assert (one / "file").exists()
    assert not (two / "file").exists()
    assert list(two.iterdir()) == []
    with pytest.raises(PermissionError):
        os.link(one / "file", one / "other")
    deadline = time.monotonic() + DEADLINE
    while not (two / "file").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (two / "file").stat().st_mtime - (one / "file").stat().st_mtime == pytest.approx(AHEAD)


def test_two_machines_that_see_each_other_late_and_lock_nothing_have_the_table_of_one(
    machines: list[Path], tmp_path: Path
) -> None:
    api.run(*SWEEP, results=tmp_path / "whole", quiet=True)
    runs = [start(point) for point in machines]
    # One is killed with its first records, as its machine might be, and begins again.
    while not records.files([machines[0]]) and runs[0].poll() is None:
        time.sleep(0.05)
    runs[0].kill()
    runs[0].communicate()
    runs[0] = start(machines[0])
    for run in runs:
        _, told = run.communicate(timeout=DEADLINE)
        assert run.returncode == 0, told
    wanted = table(tmp_path / "whole")
    for point in [*machines, tmp_path / "shared"]:
        assert table(point) == wanted
        assert not index.load([point])[1]
    left = {path.suffix for path in (tmp_path / "shared").rglob("*") if path.is_file()}
    assert left <= {".jsonl", ".json"}
