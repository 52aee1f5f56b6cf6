"""What the world does to a command: outputs that are full or closed, paths and folders that cannot be, no memory."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from initbench import records

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=1", "width=8", "seeds=1")


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line as a shell runs it, ``initbench`` being this one."""
    return subprocess.run(
        ["bash", "-c", command.replace("initbench", f"'{sys.executable}' -m initbench")],
        env={**os.environ, "PYTHONPATH": str(Path(records.__file__).parents[2]), **environment},
        capture_output=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip


full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no disk that is always full")


@pytest.mark.full
@full_disk
@pytest.mark.parametrize("command", ["run --dry-run", "run --config", "report --format csv", "--help"])
def test_a_full_stdout_is_an_error_of_storage(initbench: Initbench, command: str) -> None:
    initbench("run", *SMALL)
    answer = shell(f"initbench {command} >/dev/full")
    assert (answer.returncode, answer.stderr) == (
        4,
        "initbench: error: cannot write to stdout: No space left on device\n",
    )


@pytest.mark.full
@full_disk
def test_a_full_stderr_changes_nothing(initbench: Initbench) -> None:
    initbench("run", *SMALL)
    answer = shell(f"initbench run {' '.join(SMALL)} 2>/dev/full")
    assert answer.returncode == 0
    assert "synthetic" in answer.stdout


@pytest.mark.full
def test_a_closed_output_changes_nothing(initbench: Initbench) -> None:
    initbench("run", *SMALL)
    answer = shell("initbench report >&-")
    assert (answer.returncode, answer.stderr) == (0, "")
    # Nothing that is for stderr may come out with the results instead.
    answer = shell("initbench run lr=0 2>&-")
    assert (answer.returncode, answer.stdout) == (2, "")


@pytest.mark.full
def test_a_long_plan_may_be_cut_and_a_poor_terminal_reads_the_report(initbench: Initbench) -> None:
    cut = shell("initbench run 'lr=range(1,2001)' --dry-run | head -1; exit ${PIPESTATUS[0]}")
    assert (cut.returncode, cut.stderr) == (0, "")
    initbench("run", *SMALL)
    assert shell("initbench report", PYTHONIOENCODING="latin-1").returncode == 0


LONG = "a" * 300


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (f"run results={LONG}", 4, "File name too long"),
        (f"run dataset=csv dataset.path={LONG}", 2, "cannot be read: File name too long"),
        (f"run --plugin {LONG}", 2, "cannot be read: File name too long"),
        (f"report {LONG}", 4, "File name too long"),
        ("run device=cuda:99999999999999999999", 2, "device=cuda:99999999999999999999: torch finds"),
        ("run device=cuda:255", 2, "device=cuda:255: torch finds"),
    ],
)
def test_what_cannot_be_is_one_line(initbench: Initbench, line: str, code: int, message: str) -> None:
    answer = initbench(*line.split())
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (code, "", 1)
    assert message in answer.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run results=shut/r", 4),
        ("report shut/r", 4),
        ("run dataset=csv dataset.path=shut/x.csv", 2),
        ("run dataset=image_folder dataset.path=shut/x", 2),
        ("run --plugin shut/x.py", 2),
        ("run init=mine --config-dir cfg", 2),
        ("list init --config-dir cfg", 2),
    ],
)
def test_what_may_not_be_read_is_one_line(initbench: Initbench, line: str, code: int) -> None:
    Path("cfg/init").mkdir(parents=True)
    Path("cfg/init/mine.yaml").write_text("name: mine\nlaw: normal\n")
    Path("cfg/init/mine.yaml").chmod(0)
    Path("shut").mkdir(mode=0)
    if os.access("shut", os.R_OK):
        pytest.skip("root may read everything")
    answer = initbench(*line.split())
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (code, "", 1)


def test_records_that_cannot_be_read_back_stop_the_run(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("initbench.records.store.files", lambda folders: [])
    answer = initbench("run", *SMALL)
    assert answer.code == 4
    assert answer.err.splitlines()[-1] == ("initbench: error: records just written cannot be read back from results")


def test_too_little_memory_is_one_line(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 3.64 TiB")

    monkeypatch.setattr("initbench.experiment.execute.plan", fail)
    answer = initbench("run", *SMALL)
    assert (answer.code, answer.err) == (2, "initbench: error: not enough memory: Unable to allocate 3.64 TiB\n")
