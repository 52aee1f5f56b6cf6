"""A signal stops a command whatever it is doing, in one line, and the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hostile
import pytest
from conftest import Answer, stored

import initbench as api

Initbench = Callable[..., Answer]

# A trial of seed 12 never ends, and lets nothing else of Python run.
STUCK = ("model=module", "model.path=net.py:net", "dataset=synthetic", "batch_size=64", "epochs=2")
STOPPED = "initbench: stopped; finished chunks are kept, the same command resumes"
# What only keeps a test that fails from hanging.
DEADLINE = 60

posix = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Where tests run in the background a shell has them ignore interruptions, and nohup has them ignore its end."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    for _ in range(DEADLINE * 20):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not become true")


@contextmanager
def running(*arguments: str, before: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A command in a process of its own, after some lines of Python."""
    code = f"{before}\nimport sys\nfrom initbench.__main__ import main\nsys.argv[1:] = {list(arguments)!r}\nmain()"
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=hostile.around(), process_group=0
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def worker() -> int:
    """The process in which the module hangs."""
    until(lambda: Path("pid").exists() and Path("pid").read_text())
    return int(Path("pid").read_text())


def state(pid: int) -> str:
    """The letter that the system has for what a process is doing; nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(pid: int) -> bool:
    return state(pid) in ("", "Z")


def stuck(*more: str) -> tuple[str, ...]:
    """A command that never comes to its end."""
    hostile.write(hostile.STUCK)
    return ("run", *STUCK, f"seeds=[0,1,{hostile.STUCK}]", *more)


@posix
@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_module_that_hangs_is_stopped_and_the_same_command_resumes(initbench: Initbench, number: int) -> None:
    hostile.write()
    api.run(*STUCK, seeds=2, quiet=True)
    Path("pid").unlink()
    line = stuck()
    with running(*line) as process:
        pid = worker()
        assert not gone(pid)
        # Once, and then with the impatience of a user.
        for _ in range(10 if number == signal.SIGINT else 1):
            process.send_signal(number)
            time.sleep(0.02)
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (128 + number, "")
    assert [line for line in err.splitlines() if "stopped" in line or "Traceback" in line] == [STOPPED]
    assert err.splitlines()[-1] == STOPPED
    assert gone(pid)
    before = stored()
    assert len(before) == 2
    hostile.write()
    resumed = initbench(*line)
    assert (resumed.code, "3 trials: 2 already done, 1 to train" in resumed.err) == (0, True)
    assert {key: record for key, record in stored().items() if key in before} == before


# What is being imported when the signal comes tells what the command is doing.
AT = """
import os, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.full
@pytest.mark.parametrize(
    ("number", "name", "line"),
    [
        (signal.SIGINT, "initbench.commands.app", "stopped"),
        (signal.SIGHUP, "typer", "stopped"),
        (signal.SIGTERM, "hydra", STOPPED[11:]),
        (signal.SIGHUP, "initbench.data.bundled", STOPPED[11:]),
        (signal.SIGUSR1, "sklearn", STOPPED[11:]),
        (signal.SIGTERM, "initbench.experiment.process", STOPPED[11:]),
        (signal.SIGINT, "initbench.report.output", STOPPED[11:]),
    ],
)
def test_every_phase_is_stopped(number: int, name: str, line: str) -> None:
    settings = ("init=he", "dataset=digits", "dataset.sha256=null", "epochs=1", "width=8", "seeds=1")
    with running("run", *settings, before=AT.format(name=name, number=int(number))) as process:
        out, err = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (128 + number, "")
    assert err.splitlines()[-1] == f"initbench: {line}"
    assert "Traceback" not in err


@pytest.mark.full
def test_a_command_whose_output_nobody_reads_is_stopped() -> None:
    with running("run", "lr=range(1,2001)", "--dry-run") as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        # Not read before it has ended.
        assert process.wait(DEADLINE) == 143
        assert process.stderr is not None
        assert process.stderr.read() == f"{STOPPED}\n"


@posix
@pytest.mark.full
def test_a_hangup_is_not_heeded_under_nohup_and_no_worker_outlives_its_coordinator() -> None:
    with running(*stuck(), before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        pid = worker()
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
        assert not gone(pid)
        process.kill()
        until(lambda: gone(pid))


@posix
@pytest.mark.full
def test_a_terminal_halts_both_and_lets_both_go_on() -> None:
    with running(*stuck("timeout=3")) as process:
        pid = worker()
        os.killpg(process.pid, signal.SIGTSTP)
        until(lambda: state(pid) == state(process.pid) == "T")
        time.sleep(4)
        os.killpg(process.pid, signal.SIGCONT)
        # The time in which nothing could be done is not held against the trial.
        time.sleep(1)
        assert not gone(pid)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(DEADLINE) == 130


@posix
@pytest.mark.full
def test_an_interruption_in_python_is_pythons_own(initbench: Initbench) -> None:
    line = stuck()

    def interrupt() -> None:
        worker()
        os.kill(os.getpid(), signal.SIGINT)

    waiting = threading.Thread(target=interrupt)
    waiting.start()
    with pytest.raises(KeyboardInterrupt):
        api.run(*line[1:], quiet=True)
    waiting.join()
    until(lambda: gone(worker()))
    hostile.write()
    assert len(api.run(*line[1:], quiet=True)) == len(stored()) == 3


@posix
@pytest.mark.full
def test_a_worker_that_is_killed_by_others_costs_no_trial(initbench: Initbench) -> None:
    line = stuck()

    def kill() -> None:
        pid = worker()
        hostile.write()
        os.kill(pid, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    answer = initbench(*line)
    killing.join()
    assert answer.code == 0, answer.err
    assert {record["outcome"] for record in stored().values()} == {"ok"}
