"""The doctor: a healthy machine and folder are fine; whatever is not as it should be is named, and told by the exit."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, stored

from initbench.engine.compiled import blas
from initbench.experiment import examine

Initbench = Callable[..., Answer]
SMALL = ("dataset=synthetic", "epochs=1", "width=8", "seeds=2")


@pytest.fixture
def timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of another machine: how fast this one is must decide nothing here."""
    names = [route.name for route in blas.routes()]
    monkeypatch.setattr(blas, "gflops", lambda among: dict.fromkeys(names, 100.0))


@pytest.mark.usefixtures("timed_once")
def test_what_is_whole_is_fine(initbench: Initbench) -> None:
    initbench("run", "init=he", *SMALL)
    answer = initbench("doctor")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    assert {line.split()[1] for line in lines} >= {"versions", "devices", "processor", "product", "cache", "records"}
    assert "1 files in results" in lines[-1]


@pytest.mark.usefixtures("timed_once")
def test_bit_rot_under_an_unchanged_stamp_is_found_and_so_are_leftovers(initbench: Initbench) -> None:
    initbench("run", "init=he", *SMALL)
    assert initbench("report").code == 0
    (file,) = Path("results/run/records").iterdir()
    about, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    with open(file, "r+b") as opened:
        opened.write(content)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    left = file.with_name(f".x.{'0' * 32}.tmp")
    left.touch()
    answer = initbench("doctor", "results")
    assert answer.code == 3
    wrong = [line for line in answer.out.splitlines() if line.startswith("WRONG ")]
    assert len(wrong) == 2
    assert f"{file} is damaged" in wrong[0]
    assert f"{left} was left by a process that was killed" in wrong[1]
    initbench("run", "init=he", *SMALL)
    assert not left.exists()
    assert len(stored()) == 2


def test_where_the_rule_is_poor_the_setting_is_named(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = {key: route for key, found in blas.ROUTES.items() if (route := found()) is not None}
    if len(routes) < 2:
        pytest.skip("there is one product here")
    other = next(key for key, route in routes.items() if route.name != blas.chosen().name)
    rates = {route.name: 130.0 if key == other else 100.0 for key, route in routes.items()}
    monkeypatch.setattr(blas, "gflops", lambda among: rates)
    answer = initbench("doctor")
    assert answer.code == 3
    assert f"{routes[other].name} is 1.3 times as fast here: blas={other} takes it" in answer.out


def test_a_broken_installation_is_a_line_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    whole = builtins.__import__

    def broken(name: str, *arguments: object) -> object:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return whole(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", broken)
    wrong = [found for found in examine.installation() if found.wrong]
    assert [found.said for found in wrong] == [
        "cannot be imported: RuntimeError: operator torchvision::nms does not exist"
    ]


def test_a_folder_that_is_not_there_is_bad_input(initbench: Initbench) -> None:
    answer = initbench("doctor", "none")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no folder none" in answer.err
