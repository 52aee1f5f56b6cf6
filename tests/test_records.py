"""The store: whole files or none, every damage found, nothing ever replaced."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from handmade import make_record, recorded

from initbench import records
from initbench.errors import StorageError
from initbench.records import FORMAT, TrialRecord


def some(*names: str, value: int = 1) -> list[TrialRecord]:
    """Trials that go by a name, which is hidden in their seed."""
    made = recorded([make_record(seed=int.from_bytes(name.encode())) for name in names])
    return [msgspec.structs.replace(record, n_majority=value) for record in made]


def name_of(record: TrialRecord) -> str:
    seed: int = record.trial["seed"]
    return seed.to_bytes(8).lstrip(b"\0").decode()


def counts(loaded: records.Loaded) -> dict[str, int | None]:
    return {name_of(record): record.n_majority for record in loaded.records.values()}


def publish(folder: Path, made: list[TrialRecord], minute: int = 0) -> Path:
    return records.publish(folder, made, finished=f"2026-01-01T00:{minute:02d}:00+00:00")


def test_what_is_published_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "records"
    file = publish(folder, some("a", "b"))
    assert [path.name for path in folder.iterdir()] == [file.name]
    for root in (tmp_path, tmp_path / "run", folder):
        loaded = records.load([root])
        assert not loaded.damaged
        assert counts(loaded) == {"a": 1, "b": 1}
        assert {header.format for header in loaded.headers.values()} == {records.FORMAT}


def test_a_finished_chunk_is_never_replaced(tmp_path: Path) -> None:
    file = publish(tmp_path, some("a"))
    before = file.read_bytes()
    assert publish(tmp_path, some("a", value=2), 1) == file
    assert file.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_of_two_records_of_a_trial_the_first_finished_counts(tmp_path: Path) -> None:
    publish(tmp_path, some("a", "b", value=2), 2)
    publish(tmp_path, some("a", value=1), 1)
    assert counts(records.load([tmp_path])) == {"a": 1, "b": 2}


def test_every_truncation_and_every_flipped_bit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = publish(tmp_path, some("a", "b"))
    good = file.read_bytes()
    damages = [good[:length] for length in range(len(good))]
    damages += [
        good[:i] + bytes([good[i] ^ (1 << bit)]) + good[i + 1 :] for i in range(len(good) - 1) for bit in range(8)
    ]
    damages += [good + b"\n", good + good, b"\0" * len(good)]
    for content in damages:
        # As if it were written, which takes ten thousand times a disk's time.
        monkeypatch.setattr(Path, "read_bytes", lambda path, content=content: content)
        loaded = records.load([tmp_path])
        # A flip in the footer may leave its meaning, e.g. in the name of a field that is not read.
        if loaded.records:
            assert counts(loaded) == {"a": 1, "b": 1}
        else:
            assert len(loaded.damaged) == 1
            assert str(file) in loaded.damaged[0]


def test_one_damaged_file_hides_no_other(tmp_path: Path) -> None:
    publish(tmp_path, some("a"))
    publish(tmp_path, some("b")).write_bytes(b"x")
    loaded = records.load([tmp_path])
    assert set(counts(loaded)) == {"a"}
    assert len(loaded.damaged) == 1


def test_a_damaged_file_makes_room_and_is_kept(tmp_path: Path) -> None:
    file = publish(tmp_path, some("a"))
    file.write_bytes(b"damaged")
    publish(tmp_path, some("a"))
    assert set(counts(records.load([tmp_path]))) == {"a"}
    assert file.with_name(f"{file.name}.damaged").read_bytes() == b"damaged"


def test_each_damaged_file_is_kept(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        file = publish(tmp_path, some("a"))
        file.write_bytes(content)
    publish(tmp_path, some("a"))
    assert {path.read_bytes() for path in tmp_path.glob("*.damaged")} == {b"one", b"two"}


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    assert records.files([tmp_path / "none"]) == []
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StorageError, match=f"cannot read {tmp_path}: Permission denied"):
        records.files([tmp_path])


def test_a_newer_format_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, some("a"))
    monkeypatch.setattr("initbench.records.store.FORMAT", FORMAT + 1)
    publish(tmp_path, some("b"))
    monkeypatch.undo()
    loaded = records.load([tmp_path])
    assert set(counts(loaded)) == {"a"}
    (told,) = loaded.damaged
    assert f"of format {FORMAT + 1}, written by a newer initbench; upgrade to read it" in told


def test_numbers_that_json_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish(tmp_path, [msgspec.structs.replace(*some("a"), certificate={"layers.0.weight": (1.0, float("inf"))})])
    assert not list(tmp_path.iterdir())


def test_half_a_character_in_the_words_of_an_exception_costs_no_chunk(tmp_path: Path) -> None:
    (one,) = some("a")
    failed = msgspec.structs.replace(one, outcome="failed", error="no file 'caf\udce9 ²'")
    publish(tmp_path, [failed, *some("b")])
    loaded = records.load([tmp_path])
    assert not loaded.damaged
    assert [record.error for record in loaded.records.values()] == ["no file 'caf? ²'", None]


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_failing_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="cannot write .*: No space left on device"):
        publish(tmp_path, some("a"))
    assert not list(tmp_path.iterdir())


def test_a_disk_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    publish(tmp_path, some("a"))
    assert set(counts(records.load([tmp_path]))) == {"a"}
    assert len(list(tmp_path.iterdir())) == 1


def test_many_writers_of_the_same_chunks_lose_and_double_nothing(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(20):
            publish(tmp_path, some(f"a{number}", f"b{number}"))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 20
    loaded = records.load([tmp_path])
    assert len(loaded.records) == 40
    assert not loaded.damaged


WRITER = """
import itertools, sys
from pathlib import Path
from test_records import publish, some
for number in itertools.count():
    publish(Path(sys.argv[1]), some(*(f"{number}-{i}" for i in range(50))))
    print(number, flush=True)
"""


@pytest.mark.full
def test_kill_9_loses_nothing_that_was_published(tmp_path: Path) -> None:
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * attempt)
        process.send_signal(signal.SIGKILL)
        said = [0, *map(int, process.stdout.read().split())]
        process.wait()
        process.stdout.close()
        loaded = records.load([folder])
        assert not loaded.damaged
        assert {f"{number}-{i}" for number in said for i in range(50)} <= set(counts(loaded))
        assert len(loaded.records) % 50 == 0


def test_files_are_plain_text(tmp_path: Path) -> None:
    lines = publish(tmp_path, some("a", "b")).read_text().splitlines()
    first, *trials, footer = map(json.loads, lines)
    assert first["chunk"]
    assert [trial["key"] for trial in trials] == [record.key for record in some("a", "b")]
    assert set(footer) == {"sha256"}
