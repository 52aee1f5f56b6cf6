"""What commands cost, counted: modules imported, files read, compositions, calls and memory, and never seconds.

The seconds are measured by ``benchmarks/commands.py``: a slow machine is no fault of the code.
"""

import builtins
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
from handmade import finished, many

from initbench.analysis.trials import to_trials
from initbench.experiment.plan import plan
from initbench.records import index
from initbench.report import output
from initbench.report.document import Options
from initbench.settings.compose import compose
from initbench.settings.request import request

SWEEP = ("init=he,xavier,zero,random,gaussian", "dataset=synthetic", "epochs=2")
SMALL = ("dataset=synthetic", "epochs=2", "width=16", "batch_size=32", "seeds=1")

# What takes a tenth of a second or more to import, and who may: everybody may what stands before him.
NUMPY, HYDRA, PANDAS, PLOTS, TORCH = (
    {"numpy"},
    {"hydra", "omegaconf"},
    {"pandas", "scipy", "statsmodels", "scikit_posthocs", "sklearn"},
    {"matplotlib", "PIL"},
    {"torch", "torchvision", "numba"},
)
HEAVY = NUMPY | HYDRA | PANDAS | PLOTS | TORCH
MAY_IMPORT: list[tuple[Sequence[str], set[str]]] = [
    (["--help"], set()),
    (["list"], NUMPY),
    (["run", "--dry-run", "init=glob(*)", "dataset=mnist"], NUMPY | HYDRA | PANDAS),
    # Another process trains.
    (["run", "init=he", *SMALL], NUMPY | HYDRA | PANDAS),
    (["report"], NUMPY | PANDAS),
    (["report", "init=he", "--format", "csv"], NUMPY | HYDRA | PANDAS),
    (["report", "--format", "html", "--out", "r.html"], NUMPY | PANDAS | PLOTS),
    # Everything is done.
    (["run", "init=he", *SMALL], NUMPY | HYDRA | PANDAS),
    (["probe", "--help"], set()),
    (["probe", "--dry-run", "init=he", *SMALL], NUMPY | HYDRA | PANDAS),
    (["probe", "init=he", *SMALL], HEAVY - PLOTS),
    # Everything is measured.
    (["probe", "init=he", *SMALL], NUMPY | HYDRA | PANDAS),
]

IMPORTED = (
    "import sys\nfrom initbench.commands.app import main\n"
    "try: main(sys.argv[1:])\nexcept SystemExit as stop: assert stop.code == 0\n"
    "print(*sys.modules, file=sys.stderr)"
)


def imported(*arguments: str) -> set[str]:
    """The heavy modules that a process has imported when the command is done."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    answer = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return HEAVY & set(answer.stderr.splitlines()[-1].split())


@pytest.mark.full
def test_a_command_imports_what_it_needs_and_no_more() -> None:
    for arguments, allowed in MAY_IMPORT:
        assert imported(*arguments) <= allowed, arguments


def n_calls(function: Callable[[], object]) -> int:
    """How many calls of functions, Python's and C's, a second run of it makes: the first fills the caches."""
    function()
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


# Twice the work takes at most twice the calls, but for what is rounded up; ten of the old faults took four times.
TWICE = 2.1


@pytest.mark.full
@pytest.mark.parametrize("form", ["markdown", "csv"])
@pytest.mark.parametrize(
    ("half", "whole"), [({"settings": 60, "seeds": 1}, {"settings": 120, "seeds": 1}),
                        ({"settings": 2, "seeds": 100}, {"settings": 2, "seeds": 200})],
    ids=["settings", "seeds"],
)  # fmt: skip
def test_a_report_makes_as_many_calls_as_there_is_work(
    tmp_path: Path, form: str, half: dict[str, int], whole: dict[str, int]
) -> None:
    def report(folder: str) -> str:
        loaded, _ = index.load([tmp_path / folder], cached=False)
        return output.report(to_trials(loaded), Options(), form)

    assert 2 * many(tmp_path / "half", **half) == many(tmp_path / "whole", **whole)
    assert n_calls(lambda: report("whole")) < TWICE * n_calls(lambda: report("half"))


def test_a_report_reads_every_file_once_and_a_second_one_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)
    many(tmp_path, settings=2, seeds=60)
    files = sorted(tmp_path.rglob("*.jsonl"))
    assert len(files) == 4
    read: list[Path] = []
    read_bytes, open_ = Path.read_bytes, builtins.open

    def reading(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    def opening(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).endswith(".jsonl"):
            read.append(Path(path))
        return open_(path, *rest, **more)

    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(builtins, "open", opening)
    first, _ = index.load([tmp_path])
    assert sorted(path for path in read if path.suffix == ".jsonl") == files
    read.clear()
    second, _ = index.load([tmp_path])
    assert not [path for path in read if path.suffix == ".jsonl"]
    assert len(first) == len(second) == 1200


def test_hydra_composes_once_whatever_the_size_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[Sequence[str]] = []
    hydra_compose = hydra.compose

    def counted(config: str, overrides: Sequence[str], **more: Any) -> Any:
        composed.append(overrides)
        return hydra_compose(config, overrides, **more)

    monkeypatch.setattr(hydra, "compose", counted)
    assert len(compose(["init=he,xavier", "activation=relu,tanh", "depth=range(1,100)", "lr=0.1,0.2,0.3"])) == 1188
    assert len(composed) == 1
    # A preset is composed first, to see which axes it has.
    compose(["experiment=d4", "depth=1,2,3"])
    assert len(composed) == 3


@pytest.mark.full
def test_planning_makes_as_many_calls_as_there_are_cells() -> None:
    def planned(depths: int) -> int:
        asked = request(compose(["init=glob(*)", "activation=relu,tanh", f"depth=range(1,{depths + 1})", "seeds=1"]))
        return len(plan(asked, {}).trials)

    assert planned(12) == 2 * planned(6) > 600
    assert n_calls(lambda: planned(12)) < TWICE * n_calls(lambda: planned(6))


def test_a_trial_more_is_planned_and_found_done_in_a_few_calls() -> None:
    def finished(seeds: int) -> int:
        asked = request(compose(["init=he", f"seeds={seeds}"]))
        done = dict.fromkeys((trial.key for trial in plan(asked, {}).trials), 1.0)
        now = plan(asked, done)
        return len(now.trials) - len(now.todo)

    assert finished(3000) == 3000
    # Twice three for its key, one for itself and one for its name; nothing that is written as JSON.
    assert n_calls(lambda: finished(3000)) - n_calls(lambda: finished(1000)) <= 2000 * 20


MEASURED = (
    "import sys, initbench.commands.app\n"
    "try: initbench.commands.app.main(sys.argv[1:])\nexcept SystemExit: pass\n"
    "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
    "print(int(status['VmHWM'].split()[0]) / 1e6, file=sys.stderr)"
)


def gigabytes(*arguments: object) -> float:
    """The peak of the memory of a command in a process of its own."""
    command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    answer = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return float(answer.stderr.split()[-1])


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")


@linux
@pytest.mark.full
@pytest.mark.parametrize(("settings", "seeds"), [(20, 50), (1, 1000)])
def test_a_report_over_10000_trials_fits_in_a_gigabyte(tmp_path: Path, settings: int, seeds: int) -> None:
    assert many(tmp_path, settings, seeds) == 10_000
    assert gigabytes("report", tmp_path, "--baseline", "init0") < 1


@linux
@pytest.mark.full
def test_nothing_to_do_among_10000_trials_fits_in_a_third_of_a_gigabyte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert finished(tmp_path, *SWEEP, "lr=range(1,11)", "seeds=200") == 10_000
    assert gigabytes("run", *SWEEP, "lr=range(1,11)", "seeds=200", f"results={tmp_path}") < 0.33


@linux
@pytest.mark.slow
def test_nothing_to_do_among_a_million_trials_fits_in_two_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for lr in range(1, 201):
        assert finished(tmp_path, *SWEEP, f"lr={lr}", "seeds=1000") == 5_000
    for _ in ("from the files", "from the cache"):
        assert gigabytes("run", *SWEEP, "lr=range(1,201)", "seeds=1000", f"results={tmp_path}") < 2


@linux
@pytest.mark.slow
def test_a_report_over_a_million_trials_fits_in_three_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    assert many(tmp_path, settings=100, seeds=1000) == 1_000_000
    for _ in ("from the files", "from the cache"):
        assert gigabytes("report", tmp_path) < 3
