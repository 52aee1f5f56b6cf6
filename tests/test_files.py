"""Files that are whole or not there, what kills leave behind, and file systems that refuse this or that."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from handmade import make_record, recorded

from initbench import files, records
from initbench.records import index

Initbench = Callable[..., Answer]
LEFT = f".{'a' * 32}.{'b' * 32}.tmp"


def never(path: Path) -> bool:
    return False


def always(path: Path) -> bool:
    return True


def test_a_file_is_replaced_or_kept_or_set_aside(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "x.jsonl"
    files.write(target, b"one")
    files.write(target, lambda file: file.write(b"two") and None)
    assert target.read_bytes() == b"two"
    files.write(target, b"three", keep=always)
    assert target.read_bytes() == b"two"
    files.write(target, b"three", keep=never)
    files.write(target, b"four", keep=never)
    assert target.read_bytes() == b"four"
    assert sorted(path.read_bytes() for path in target.parent.iterdir()) == [b"four", b"three", b"two"]


@pytest.mark.parametrize("name", ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EXDEV", "EINVAL", "EACCES"])
def test_a_disk_that_refuses_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(os, "link", refuse)
    (record,) = recorded([make_record()])
    file = records.publish(tmp_path, [record])
    assert set(records.load([tmp_path]).records) == {record.key}
    before = file.read_bytes()
    records.publish(tmp_path, [record], finished="2026-01-01")
    assert (list(tmp_path.iterdir()), file.read_bytes()) == ([file], before)
    # Nor is what is damaged lost there.
    file.write_bytes(b"damaged")
    records.publish(tmp_path, [record])
    assert set(records.load([tmp_path]).records) == {record.key}
    assert file.with_name(f"{file.name}.damaged").read_bytes() == b"damaged"


def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x").write_bytes(b"old")
    for call in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(OSError, match="No space left"):
                files.write(tmp_path / "x", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}


def test_the_file_and_its_new_folders_reach_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("reads what a descriptor is from /proc")
    monkeypatch.setattr(os, "fsync", noting)
    files.write(tmp_path / "a" / "b" / "x", b"content")
    assert [Path(name).name.startswith(".x.") for name in synced] == [False, False, True, False]
    assert {synced[0], synced[1], synced[3]} == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}
    synced.clear()
    files.write(tmp_path / "a" / "b" / "y", b"content")
    assert len(synced) == 2
    files.write(tmp_path / "a" / "b" / "z", b"content", durable=False)
    assert len(synced) == 2


WRITER = """
import sys, time
from pathlib import Path
from initbench import files
def slowly(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
files.write(Path(sys.argv[1]), slowly)
"""


@pytest.mark.full
def test_what_a_live_process_writes_is_no_leftover_and_what_a_killed_one_wrote_is(tmp_path: Path) -> None:
    target = tmp_path / "x.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
    assert len(list(tmp_path.iterdir())) == 2
    assert list(files.leftovers([tmp_path])) == []
    assert files.sweep([tmp_path]) == 0
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate()
    assert len(list(files.leftovers([tmp_path]))) == 1
    assert files.sweep([tmp_path]) == 1
    writers[1].communicate(b"")
    assert writers[1].returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.jsonl": b"half"}


def test_only_temporary_files_of_ours_are_swept(tmp_path: Path) -> None:
    others = ["x.jsonl", ".x.tmp", "mine.tmp", f"{'a' * 32}.jsonl.damaged", f"{LEFT}.txt"]
    for name in [*others, LEFT, f".{'c' * 32}.tmp", f"report.{'d' * 32}.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / f".folder.{'e' * 32}.tmp").mkdir()
    os.mkfifo(tmp_path / f".pipe.{'e' * 32}.tmp")
    (tmp_path / f".link.{'e' * 32}.tmp").symlink_to("x.jsonl")
    assert files.sweep([tmp_path, tmp_path / "nowhere"]) == 3
    assert len(list(tmp_path.iterdir())) == len(others) + 3
    assert set(others) <= {path.name for path in tmp_path.iterdir()}


def test_who_finds_its_temporary_file_swept_writes_it_again(tmp_path: Path) -> None:
    """As on a network file system that grants locks to everybody."""
    tries = []

    def content(file: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            for path in tmp_path.glob(".*.tmp"):
                path.unlink()

    files.write(tmp_path / "x", content)
    files.write(tmp_path / "y", content, keep=always)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]
    assert len(tries) == 4


def test_writers_and_sweepers_at_once_lose_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            files.sweep([tmp_path])

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for number in range(50):
            files.write(tmp_path / str(number), b"x", durable=False)
    finally:
        stop.set()
        for sweeper in sweepers:
            sweeper.join()
    assert len(list(tmp_path.iterdir())) == 50


@pytest.mark.full
def test_the_next_run_sweeps_what_a_killed_one_left(initbench: Initbench) -> None:
    words = ("run", "init=he", "depth=1", "dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=1")
    first = initbench(*words)
    folders = [Path("results/run/records"), Path("results/run/requests"), Path("results/other/records")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LEFT).write_bytes(b"half")
    told = index.examine([Path("results")])
    killed = "was left by a process that was killed; the next run removes it"
    assert sorted(told) == sorted(f"{folder / LEFT} {killed}" for folder in folders)
    again = initbench(*words)
    assert (again.code, again.out) == (0, first.out)
    assert not list(Path("results").rglob("*.tmp"))
    assert index.examine([Path("results")]) == []
