"""Several processes on one results folder: each trial is trained by one of them, and nothing is left behind."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from handmade import make_record, recorded

from initbench import records
from initbench.experiment.sharing import Sharing, held

MADE = {record.key: record for record in recorded(make_record(seed=seed) for seed in range(100))}
ALL = list(MADE)
KEYS, MORE = ALL[:8], ALL[8:12]


def publish(results: Path, keys: list[str], name: str = "run") -> None:
    records.publish(results / name / "records", [MADE[key] for key in keys])


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Sharing]:
    with Sharing(tmp_path) as sharing:
        yield sharing


@pytest.fixture
def two(tmp_path: Path, one: Sharing) -> Iterator[Sharing]:
    with Sharing(tmp_path) as sharing:
        yield sharing


def test_who_is_alone_trains_whole_chunks(one: Sharing) -> None:
    assert list(one.parts([KEYS, MORE])) == [KEYS, MORE]


def test_two_that_start_at_once_share_even_one_chunk(tmp_path: Path, one: Sharing, two: Sharing) -> None:
    ours, theirs = one.parts([KEYS, MORE]), two.parts([KEYS, MORE])
    parts = [next(ours), next(theirs)]
    publish(tmp_path, parts[0])
    parts.append(next(ours))
    publish(tmp_path, [*parts[1], *parts[2]])
    assert parts == [KEYS[:6], KEYS[6:], MORE[:3]]
    publish(tmp_path, next(theirs))
    assert not list(ours)
    assert not list(theirs)


def test_short_chunks_are_taken_some_at_once_and_never_more_than_half_of_a_share(
    one: Sharing, two: Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = one.parts([[key] for key in ALL])
    held = []
    for _ in range(60):
        next(parts)
        held.append(sum(len(taken.keys) for taken in two.others()))
    assert held[0] == 1
    # Of a hundred two have fifty each.
    assert 10 < max(held) <= 25
    monkeypatch.setattr("initbench.experiment.sharing._HAND_SECONDS", 0.0)
    for _ in parts:
        held.append(sum(len(taken.keys) for taken in two.others()))
    assert held[-1] == 1


def test_what_others_have_recorded_meanwhile_is_not_trained(tmp_path: Path) -> None:
    publish(tmp_path, KEYS[:1])
    with Sharing(tmp_path) as late:
        # What was there before is the plan's to know: asked for, it is asked for again.
        publish(tmp_path, KEYS[2:4], "another name")
        elsewhere: list[str] = []
        parts = late.parts([KEYS, MORE], elsewhere=elsewhere.extend)
        assert next(parts) == [*KEYS[:2], *KEYS[4:]]
        publish(tmp_path, MORE)
        assert list(parts) == []
        assert sorted(elsewhere) == sorted([*KEYS[2:4], *MORE])


def test_a_damaged_record_is_none(tmp_path: Path, one: Sharing) -> None:
    publish(tmp_path, MORE)
    (file,) = records.files([tmp_path])
    file.write_bytes(b"cut")
    assert list(one.parts([MORE])) == [MORE]


def test_it_waits_for_what_another_process_trains(
    tmp_path: Path, one: Sharing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "getpid", lambda: 7)
        part = next(one.parts([KEYS]))
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        publish(tmp_path, part)
        one.__exit__(None, None, None)

    with Sharing(tmp_path) as two:
        assert list(two.parts([KEYS], tell)) == []
    assert told == [f"waiting for 8 trials that process 7 on {os.uname().nodename} trains"]


def test_another_thread_does_not_train_what_the_first_has_seen_recorded(tmp_path: Path, one: Sharing) -> None:
    publish(tmp_path, KEYS)
    assert list(one.parts([KEYS])) == []
    with one.beside() as two:
        assert [key for part in two.parts([KEYS, MORE]) for key in part] == MORE


def test_it_waits_in_silence_for_another_thread_of_its_process(tmp_path: Path, one: Sharing) -> None:
    part = next(one.parts([KEYS]))
    looks: list[int] = []

    def elsewhere(keys: Set[str]) -> None:
        looks.append(len(keys))
        if len(looks) == 3:
            publish(tmp_path, part)
            one.__exit__(None, None, None)

    with one.beside() as two:
        assert list(two.parts([KEYS], pytest.fail, elsewhere)) == []
    assert looks == [0, 0, 0, 8]


def test_whoever_waits_can_be_ended(tmp_path: Path, one: Sharing) -> None:
    next(one.parts([KEYS]))

    def stop(keys: Set[str]) -> None:
        if waiting:
            raise KeyboardInterrupt
        waiting.append(True)

    waiting: list[bool] = []
    with pytest.raises(KeyboardInterrupt), one.beside() as two:
        list(two.parts([KEYS], elsewhere=stop))
    assert len(list((tmp_path / ".taken").glob("*.json"))) == 1


HOLDER = """
import sys, time
from pathlib import Path
from initbench.experiment.sharing import Sharing
with Sharing(Path(sys.argv[1])) as sharing:
    for part in sharing.parts([sys.argv[2:]]):
        print("taken", flush=True)
        time.sleep(600)
"""


def holder(results: Path) -> subprocess.Popen[str]:
    """A process that has taken all keys and does not get on."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(results), *KEYS], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    process.stdout.close()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


@pytest.mark.full
def test_what_a_killed_process_had_is_taken_over_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with Sharing(tmp_path) as sharing:
            # Killed while it is waited for.
            assert list(sharing.parts([KEYS], tell=lambda line: end(process))) == [KEYS]
            assert len(list((tmp_path / ".taken").glob("*.json"))) == 1
    finally:
        end(process)
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_what_is_left_by_killed_processes_is_swept(tmp_path: Path) -> None:
    end(holder(tmp_path))
    assert len(list((tmp_path / ".taken").iterdir())) == 2
    Sharing(tmp_path).sweep()
    assert not list(tmp_path.iterdir())


def test_of_what_could_not_be_trained_no_folder_stays(tmp_path: Path) -> None:
    with Sharing(tmp_path / "results"):
        assert (tmp_path / "results").exists()
    assert not (tmp_path / "results").exists()
    with Sharing(tmp_path):
        pass
    assert tmp_path.exists()


@pytest.mark.full
def test_a_process_that_is_stopped_while_it_chooses_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.sharing._PATIENCE_SECONDS", 0.1)
    with Sharing(tmp_path) as sharing, open(tmp_path / ".taken" / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list(sharing.parts([KEYS])) == [KEYS]


@pytest.mark.full
def test_who_cannot_be_alone_still_takes_nothing_that_another_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initbench.experiment.sharing._PATIENCE_SECONDS", 0.1)
    (tmp_path / ".taken").mkdir()
    with open(tmp_path / ".taken" / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with Sharing(tmp_path) as one, Sharing(tmp_path) as two:
            first = next(one.parts([KEYS, MORE]))
            second = next(two.parts([KEYS, MORE]))
    assert first
    assert second
    assert not set(first) & set(second)


@pytest.mark.full
def test_what_is_trained_for_a_killed_process_stays_taken_until_that_is_done(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        (claim,) = (tmp_path / ".taken").glob("*.json")
        with Sharing(tmp_path) as sharing:
            with held(claim):
                end(process)
                assert [taken.keys for taken in sharing.others()] == [frozenset(KEYS)]
            assert sharing.others() == []
            with held(claim):
                pass
    finally:
        end(process)


@pytest.mark.parametrize("call", ["flock", "open", "mkdir"])
def test_where_nothing_can_be_locked_everything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl if call == "flock" else os, call, refuse)
    with Sharing(tmp_path) as one, Sharing(tmp_path) as two:
        assert list(one.parts([KEYS])) == [KEYS]
        assert list(two.parts([KEYS])) == [KEYS]


@pytest.mark.parametrize("odd", ["file", "pipe", "folder", "link"])
def test_an_odd_entry_where_the_locks_are_is_no_obstacle(tmp_path: Path, odd: str) -> None:
    if odd == "file":
        (tmp_path / ".taken").touch()
    else:
        (tmp_path / ".taken").mkdir()
        entry = tmp_path / ".taken" / "odd.json"
        {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda path: path.symlink_to("/dev/zero")}[odd](entry)
    with Sharing(tmp_path) as sharing:
        assert list(sharing.parts([KEYS])) == [KEYS]


def test_all_that_come_and_go_at_once_take_each_key_once_and_leave_nothing(tmp_path: Path) -> None:
    trained: list[str] = []

    # A lock is of an open file, so that these threads are to each other as processes are.
    def work() -> None:
        with Sharing(tmp_path) as sharing:
            todo = [key for key in ALL if key not in records.load([tmp_path]).records]
            for part in sharing.parts([todo[:50], todo[50:]]):
                trained.extend(part)
                publish(tmp_path, part)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(trained) == sorted(ALL)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
