"""The command line as a fixture, and a folder of its own for every test."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Where tests share the cores, the threads of a library would wait for those of its neighbour.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from initbench import records
from initbench.commands.app import main
from initbench.records import index, schema
from initbench.trial import Asked


def stored(folder: Path | str = "results") -> dict[str, dict[str, Any]]:
    """Every record below a folder by its key, as JSON has it."""
    loaded = records.load([Path(folder)])
    assert not loaded.damaged
    return {key: schema.plain(record) for key, record in loaded.records.items()}


def asked(folder: Path | str = "results") -> list[Asked]:
    """How the trials below a folder were asked for, each as often as it was."""
    columns, damaged = index.load([Path(folder)], cached=False)
    assert not damaged
    return [columns.cells[code].asked for code in columns.numbers["cell"]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``pytest -m fast`` runs every test but those that say they take long."""
    for item in items:
        if not any(item.iter_markers("full")) and not any(item.iter_markers("slow")):
            item.add_marker("fast")


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees another's results, or a user's data, or the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def initbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run ``initbench`` with a command line, in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Answer(stop.value.code, captured.out, captured.err)

    return run
