"""The command line as a fixture, and a folder of its own for every test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from initbench.cli import main
from initbench.initializers import LAWS


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees another's results, or a user's data, or the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(autouse=True)
def _own_catalogue() -> Iterator[None]:
    """No test leaves its plugins to another."""
    laws = dict(LAWS)
    yield
    LAWS.clear()
    LAWS.update(laws)


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
