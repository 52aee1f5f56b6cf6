"""What is kept to be used again: damaged it is made again, another's is not believed, and old code is never run."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import make_record, publish

import initbench
from initbench.cache import cache_folder, is_private, opened, write
from initbench.engine.compiled import machine_code
from initbench.records import index

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "junk": lambda content: b"junk" * 1000,
    "half": lambda content: content[: len(content) // 2],
    "one bit flipped": lambda content: content[:-99] + bytes([content[-99] ^ 1]) + content[-98:],
    "another's pickle": lambda content: pickle.dumps((1, 2)),
}


def half(x):
    """What is compiled here."""
    return x / 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where machine code is kept in this test."""
    place = tmp_path / "code"
    assert is_private(place)
    monkeypatch.setattr(machine_code, "place", lambda: place)
    return place


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def compiled_and_run(function: Callable[[Any], Any] = half, x: Any = 3.0) -> tuple[Any, int, int]:
    """What the function answers, how much of its code was found, and how much was not."""
    dispatcher = machine_code.compiled(function)
    answer, stats = dispatcher(x), dispatcher.stats
    return answer, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


@pytest.mark.full
def test_damaged_machine_code_is_compiled_anew(folder: Path) -> None:
    """Numba's own cache raises an ``UnpicklingError``, in every command, until somebody deletes the file."""
    assert compiled_and_run() == (1.5, 0, 1)
    assert compiled_and_run() == (1.5, 1, 0)
    (file,) = kept(folder)
    whole = file.read_bytes()
    for what, damaged in DAMAGE.items():
        file.write_bytes(damaged(whole))
        assert compiled_and_run() == (1.5, 0, 1), what
        assert compiled_and_run() == (1.5, 1, 0), what
    assert kept(folder) == [file]


@pytest.mark.full
def test_code_under_another_signature_is_not_run(folder: Path) -> None:
    """As two processes that compile one function at once leave it in numba's own cache."""
    assert compiled_and_run(x=3.0)[0] == 1.5
    (of_float,) = kept(folder)
    assert compiled_and_run(x=np.float32(3)) == (1.5, 0, 1)
    (of_float32,) = set(kept(folder)) - {of_float}
    shutil.copyfile(of_float, of_float32)
    assert compiled_and_run(x=np.float32(3)) == (1.5, 0, 1)


class Poison:
    """A pickle that runs something."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.full
def test_machine_code_that_others_could_have_written_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    assert compiled_and_run() == (1.5, 0, 1)
    (file,) = kept(folder)
    content = pickle.dumps((Poison(tmp_path / "poisoned"), None))
    file.write_bytes(hashlib.sha256(content).digest() + content)
    file.chmod(0o666)
    assert compiled_and_run() == (1.5, 0, 1)
    assert not (tmp_path / "poisoned").exists()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.full
def test_a_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine_code, "write", full)
    assert compiled_and_run() == (1.5, 0, 1)
    assert kept(folder) == []


def test_a_folder_that_others_can_write_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine_code._settings, "CACHE_DIR", str(tmp_path / "numba"))
    monkeypatch.setattr(machine_code, "_made_from", lambda *packages: "0123")
    find = machine_code.place.__wrapped__
    first = find()
    assert first.parent == tmp_path / "numba"
    assert first.stat().st_mode & 0o777 == 0o700
    assert find() == first
    first.chmod(0o777)
    second = find()
    assert second.parent == cache_folder()
    second.chmod(0o770)
    assert find() is None


@pytest.mark.parametrize("what", ["another's", "a link", "a file", "a link to nothing"])
def test_what_is_no_private_folder(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, other = tmp_path / "place", tmp_path / "other"
    if what == "another's":
        assert is_private(place)
        owner = place.stat().st_uid
        monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    elif what == "a file":
        place.write_text("")
    else:
        if what == "a link":
            assert is_private(other)
        place.symlink_to(other)
    assert not is_private(place)


def test_a_file_of_the_cache_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "file", b"first")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        write(tmp_path / "file", lambda file: file.writelines([b"second", None]))  # type: ignore[list-item]
    with opened(tmp_path / "file") as file:
        assert file.read() == b"first"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["file"]


TANH = """
import numpy as np
from initbench.engine.compiled.activations import KERNELS, activate
z = np.zeros(1)
activate(KERNELS.index("tanh"), 0.0, z, np.zeros(1))
print(z[0])
"""


@pytest.fixture
def of_a_copy(tmp_path: Path) -> Callable[[str], str]:
    """Runs code with a copy of the package, which a test may change, in a process of its own; gives what it prints."""
    package = Path(initbench.__file__).parent
    shutil.copytree(package, tmp_path / "initbench", ignore=shutil.ignore_patterns("__pycache__"))

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, env=env).stdout.strip()

    return run


@pytest.mark.full
def test_code_that_was_compiled_with_an_older_function_is_not_used(
    tmp_path: Path, of_a_copy: Callable[[str], str]
) -> None:
    """Numba by itself keeps a function as long as its own file is the same, whatever becomes of those it calls."""
    folder = tmp_path / "initbench" / "engine" / "compiled"
    assert of_a_copy(TANH) == "0.0"
    (first,) = folder.glob("__pycache__/numba-*")
    other = (folder / "elementary.py").read_text().replace("math.tanh(x)", "math.tanh(x) + 1.0")
    (folder / "elementary.py").write_text(other)
    assert of_a_copy(TANH) == "1.0"
    (second,) = folder.glob("__pycache__/numba-*")
    assert first != second


FOLDER = "from initbench.engine.compiled import machine_code; print(machine_code.place())"


@pytest.mark.full
def test_a_changed_rule_is_compiled_anew(tmp_path: Path, of_a_copy: Callable[[str], str]) -> None:
    before = of_a_copy(FOLDER)
    assert before.startswith(str(tmp_path))
    assert of_a_copy(FOLDER) == before
    file = tmp_path / "initbench" / "engine" / "optimizers" / "sgd.py"
    file.write_text(file.read_text().replace("velocity[i] += grad[i]", "velocity[i] += 2 * grad[i]"))
    assert of_a_copy(FOLDER) != before


@pytest.mark.full
def test_an_edit_within_the_same_second_never_leaves_old_machine_code(
    tmp_path: Path, of_a_copy: Callable[[str], str]
) -> None:
    """Python then takes the byte code of the older source; machine code made of that must not count as the newer's."""
    file = tmp_path / "initbench" / "engine" / "compiled" / "elementary.py"
    old = file.read_text()
    os.utime(file, (1.7e9, 1.7e9))
    assert of_a_copy(TANH) == "0.0"
    # cosh(0) is 1, and the name is as long.
    file.write_text(old.replace("math.tanh(x)", "math.cosh(x)"))
    os.utime(file, (1.7e9, 1.7e9))
    assert of_a_copy(TANH) == "0.0"
    for code in file.parent.glob("__pycache__/*.pyc"):
        code.unlink()
    assert of_a_copy(TANH) == "1.0"


def test_other_settings_of_numba_are_other_machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(machine_code.__file__).parent
    before = machine_code._made_from(here)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert machine_code._made_from(here) == before
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert machine_code._made_from(here) != before


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Records, and the report's cache of them."""
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)
    publish(tmp_path / "records", [make_record("he", seed, 90) for seed in range(3)])
    index.load([tmp_path])
    (file,) = (cache_folder() / "reports").iterdir()
    return tmp_path, file


def changed(file: Path, **arrays: Any) -> None:
    """Another cache in its place, whole and with the right checksums."""
    with np.load(file) as stored:
        content = {name: stored[name] for name in stored.files} | arrays
    with open(file, "wb") as out:
        np.savez(out, **content)


def test_a_report_believes_no_cache_that_others_could_have_written(
    reported: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = reported
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700

    def correct() -> list[int]:
        numbers: list[int] = index.load([folder])[0].numbers["test_correct"].tolist()
        return numbers

    assert correct() == [90] * 3
    changed(file, test_correct=np.array([100] * 3))
    assert correct() == [100] * 3
    file.chmod(0o666)
    assert correct() == [90] * 3
    # It was built anew, for this user alone.
    assert file.stat().st_mode & 0o777 == 0o600
    changed(file, test_correct=np.array([100] * 3))
    owner = file.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    assert correct() == [90] * 3


ODD: dict[str, dict[str, Any]] = {
    "no JSON": {"about": np.frombuffer(b"[", np.uint8)},
    "other JSON": {"about": np.frombuffer(b'{"version": "x"}', np.uint8)},
    "deep JSON": {"about": np.frombuffer(b"[" * 100_000, np.uint8)},
    "about of numbers": {"about": np.array(1.5)},
    "a pickle": {"keys": np.array([{}], dtype=object)},
    "fewer keys": {"keys": np.array([b"a"])},
    "cells that are not there": {"cell": np.array([9, 9, 9], np.int32)},
    "errors that are not there": {"error": np.array([9, 9, 9], np.int32)},
    "outcomes that are not there": {"outcome": np.array([99, 99, 99], np.int8)},
    "chunks below zero": {"chunk": np.array([-1, -1, -1], np.int32)},
    "curves that do not end": {"ends": np.array([10**9, 10**9, 10**9])},
    "a table": {"seed": np.zeros((3, 2), np.uint64)},
    "texts": {"test_correct": np.array(["a", "b", "c"])},
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_cache_of_a_report_is_built_anew(reported: tuple[Path, Path], what: str) -> None:
    folder, file = reported
    changed(file, **ODD[what])
    loaded, told = index.load([folder])
    assert not told
    assert loaded.numbers["test_correct"].tolist() == [90] * 3
    assert len(loaded.curve) == loaded.ends[-1]
    with np.load(file) as stored:
        assert stored["about"].dtype == np.uint8
        assert stored["test_correct"].tolist() == [90] * 3
