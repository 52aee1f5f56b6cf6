"""What the index takes from its cache, and what it never does."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from handmade import csv_of, make_record, publish

from initbench.analysis.trials import to_trials
from initbench.cache import cache_folder
from initbench.records import entries, index

Initbench = Callable[..., Answer]
SMALL = ("run", "init=he", "depth=1", "dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=2")


@pytest.fixture(autouse=True)
def _always_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the record files that are read."""
    names: list[str] = []
    read_bytes = Path.read_bytes

    def reading(path: Path) -> bytes:
        if path.suffix == ".jsonl":
            names.append(path.name)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", reading)
    return names


def flip(path: Path) -> None:
    """One digit is another, and the time of the change what it was."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[content.index(b'"n_correct"') + 30] ^= 1
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def test_a_run_with_nothing_to_do_reads_no_record(initbench: Initbench, read: list[str]) -> None:
    first = initbench(*SMALL)
    read.clear()
    again = initbench(*SMALL)
    assert (again.code, again.out, read) == (0, first.out, [])
    assert "nothing to train" in again.err


@pytest.mark.full
def test_a_run_trains_again_what_was_damaged_since_whatever_its_time_says(initbench: Initbench) -> None:
    first = initbench(*SMALL)
    initbench(*SMALL)
    (chunk,) = Path("results/run/records").iterdir()
    flip(chunk)
    again = initbench(*SMALL)
    assert (again.code, again.out) == (0, first.out)
    assert f"{chunk} is damaged (its checksum is wrong)" in again.err
    assert "0 already done, 2 to train" in again.err
    assert initbench("report").err == ""


def test_a_damaged_file_is_never_in_the_cache(tmp_path: Path, read: list[str]) -> None:
    publish(tmp_path, [make_record("he", 0)])
    file = publish(tmp_path, [make_record("he", 1)])
    flip(file)
    index.load([tmp_path])
    for _ in range(2):
        read.clear()
        columns, told = index.load([tmp_path])
        assert (len(columns), len(told), read) == (1, 1, [file.name])


def test_a_disk_that_forgets_is_found_by_reading_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, [make_record("he", 0)])
    file = publish(tmp_path, [make_record("he", 1)])
    # Nobody wrote to the file: no time of it tells.
    monkeypatch.setattr(entries, "stamp", lambda path: "the same")
    index.load([tmp_path])
    flip(file)
    assert index.load([tmp_path])[1] == []
    (told,) = index.examine([tmp_path])
    assert told.startswith(f"{file} is damaged (")
    # From then on everybody knows.
    assert index.load([tmp_path])[1] == [told]


def test_a_file_that_takes_the_place_of_another_is_read(tmp_path: Path, read: list[str]) -> None:
    file = publish(tmp_path, [make_record("he", 0, 90)])
    index.load([tmp_path])
    status = file.stat()
    other = tmp_path / "other"
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, file)
    read.clear()
    index.load([tmp_path])
    assert read == [file.name]


@pytest.mark.full
def test_whatever_is_flipped_in_the_cache_the_columns_stay_right(tmp_path: Path) -> None:
    publish(tmp_path, [make_record("he", seed) for seed in range(3)])
    right = csv_of(to_trials(index.load([tmp_path])[0]))
    (cache,) = (cache_folder() / "reports").iterdir()
    good, chance = cache.read_bytes(), random.Random(0)
    # Where the zip file says what is in it, and anywhere.
    places = [*range(30), *range(len(good) - 30, len(good)), *chance.sample(range(len(good)), 30)]
    for place in places:
        cache.write_bytes(good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :])
        assert csv_of(to_trials(index.load([tmp_path])[0])) == right, place
