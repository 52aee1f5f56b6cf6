"""Packs: what is in them is what was put in, byte for byte; they are read as files are; damage is found and named."""

import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Answer
from handmade import csv_of, make_record, publish, write_lines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import initbench as library
from initbench import InputError, StorageError, pack, records, unpack
from initbench.analysis.trials import to_trials
from initbench.records import index, packed, store
from initbench.records.packed import PACKED
from initbench.records.schema import FORMAT, Labels
from initbench.trial import Asked

Initbench = Callable[..., Answer]
SMALL = ("run", "init=he", "depth=1", "dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=2")


def filled(folder: Path, n_files: int = 3, n_trials: int = 2) -> dict[str, bytes]:
    """A folder of records; names and bytes of its files."""
    for number in range(n_files):
        publish(folder, [make_record("he", seed + n_trials * number, 60 + number) for seed in range(n_trials)])
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def the_pack(folder: Path) -> Path:
    (found,) = folder.glob(f"*{PACKED}")
    return found


def reported(*folders: Path) -> str:
    columns, told = index.load(folders)
    assert not told
    return csv_of(to_trials(columns))


def told(path: Path) -> tuple[int, list[str]]:
    """How many trials a folder has, and what is said of it."""
    loaded = records.load([path])
    assert [*loaded.damaged] == index.load([path], cached=False)[1]
    return len(loaded), loaded.damaged


@pytest.mark.full
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(
        st.tuples(
            st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
            st.text(max_size=40),
            st.dates().map(str),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda file: tuple(file[0]),
    ),
    part=st.integers(0, 20_000),
    labelled=st.booleans(),
)
def test_what_is_packed_comes_out_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, files: list[Any], part: int, labelled: bool
) -> None:
    folder = tmp_path_factory.mktemp("packed") / "records"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(packed, "PART", part)
        for seeds, words, finished in files:
            publish(folder, [make_record("he", seed) | {"formula": words} for seed in seeds], finished)
        if labelled:
            keys = sorted(records.load([folder]).records)
            store.publish(folder, [Labels(Asked(init="other", bias="zeros", dataset="digits"), keys)])
        before = contents(folder)
        shown = index.load([folder])
        (done,) = pack(folder)
        assert (done.names, done.stay) == (tuple(sorted(before)), ())
        assert contents(folder) == {done.path.name: done.path.read_bytes()}
        for cached in (True, False):
            now = index.load([folder], cached)
            assert now[1] == shown[1]
            assert csv_of(to_trials(now[0])) == csv_of(to_trials(shown[0]))
        unpack(folder)
        assert contents(folder) == before


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """In whatever order they came, and whenever, in one go or in two."""
    made = filled(tmp_path / "a")
    (tmp_path / "b").mkdir()
    for name in sorted(made, reverse=True):
        (tmp_path / "b" / name).write_bytes(made[name])
        os.utime(tmp_path / "b" / name, (1, 1))
        pack(tmp_path / "b")
    pack(tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    # Once more is nothing to do.
    pack(tmp_path / "a")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_tar_reads_it_too(tmp_path: Path) -> None:
    made = filled(tmp_path)
    pack(tmp_path)
    with tarfile.open(the_pack(tmp_path)) as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    about = json.loads(found.pop("contents.json"))
    assert found == made
    assert [file["name"] for part in about["parts"] for file in part["files"]] == sorted(made)


def test_packed_and_plain_files_are_one_folder_and_duplicates_count_once(tmp_path: Path) -> None:
    made = filled(tmp_path / "records")
    shown = reported(tmp_path)
    pack(tmp_path / "records")
    assert reported(tmp_path) == reported(the_pack(tmp_path / "records")) == shown
    for name in sorted(made)[:2]:
        (tmp_path / "records" / name).write_bytes(made[name])
    publish(tmp_path / "records", [make_record("xavier", 0, 70, std=0.7)])
    with_more = reported(tmp_path)
    assert with_more.startswith(shown.splitlines()[0])
    assert len(with_more.splitlines()) == len(shown.splitlines()) + 1
    (done,) = pack(tmp_path)
    assert len(done.names) == 4
    assert len(contents(tmp_path / "records")) == 1
    assert reported(tmp_path) == with_more


@pytest.mark.full
def test_commands_find_trials_in_a_pack(initbench: Initbench) -> None:
    first = initbench(*SMALL)
    assert initbench("pack", "results").code == 0
    assert [path.suffix for path in Path("results/run/records").iterdir()] == [".xz"]
    again = initbench(*SMALL)
    assert (again.code, again.out) == (0, first.out)
    assert "nothing to train" in again.err
    more = initbench(*SMALL[:-1], "seeds=3")
    assert "2 already done, 1 to train" in more.err
    assert initbench("pack", "results").code == 0
    assert initbench("report", "--format", "csv").out.count("\n") == 4
    assert initbench("report", the_pack(Path("results/run/records")), "--format", "csv").out.count("\n") == 4
    assert "3 of 3 trials" in initbench("verify", "results").out
    assert re.search(r"ok +records +1 file", initbench("doctor", the_pack(Path("results/run/records"))).out)
    assert initbench("unpack", "results").code == 0
    assert sorted(path.suffix for path in Path("results/run/records").iterdir()) == [".jsonl", ".jsonl"]


def test_what_is_in_the_cache_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_WORTH_CACHING", 1)
    filled(tmp_path)
    keys = sorted(records.load([tmp_path]).records)
    store.publish(tmp_path, [Labels(Asked(init="other", bias="zeros", dataset="digits"), keys)])
    pack(tmp_path)
    shown = reported(tmp_path)
    assert "other" in shown
    monkeypatch.setattr(store, "read_pack", None)
    assert reported(tmp_path) == shown


def test_out_leaves_everything_where_it_is(tmp_path: Path) -> None:
    made = filled(tmp_path / "a" / "records")
    out = tmp_path / f"all{PACKED}"
    pack(tmp_path / "a", out)
    assert contents(tmp_path / "a" / "records") == made
    assert reported(out) == reported(tmp_path / "a")
    # Once more it is the same.
    pack(tmp_path / "a", out)
    unpack(out, tmp_path / "b")
    assert contents(tmp_path / "b") == made
    assert out.exists()
    publish(tmp_path / "a" / "records", [make_record("xavier", 0, 70, std=0.7)])
    with pytest.raises(InputError, match=r"all.records.tar.xz is there already, and holds something else"):
        pack(tmp_path / "a", out)
    publish(tmp_path / "a" / "other" / "records", [make_record("xavier", 1, 70, std=0.7)])
    with pytest.raises(InputError, match="several folders of records"):
        pack(tmp_path / "a", tmp_path / f"b{PACKED}")
    with pytest.raises(InputError, match=r"a pack is called NAME\.records\.tar\.xz, and this is .*b\.zip"):
        pack(tmp_path / "a", tmp_path / "b.zip")


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        pack(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no records in"):
        pack(tmp_path)
    filled(tmp_path)
    with pytest.raises(InputError, match="there is no pack in"):
        unpack(tmp_path)


def test_what_is_damaged_is_not_packed(tmp_path: Path) -> None:
    made = filled(tmp_path)
    first, second, third = sorted(made)
    (tmp_path / first).write_bytes(made[first][:-9])
    (done,) = pack(tmp_path)
    assert done.names == (second, third)
    assert done.stay == (
        f"{tmp_path / first} is damaged (it does not end in a line end); its trials count as not done",
    )
    assert sorted(contents(tmp_path)) == sorted([first, done.path.name])
    # Neither is a pack; nor is it in the way.
    cut = done.path.read_bytes()[:-200]
    done.path.write_bytes(cut)
    (tmp_path / second).write_bytes(made[second])
    (again,) = pack(tmp_path)
    assert again.names == (second,)
    assert len(again.stay) == 2
    assert done.path.read_bytes() == cut


def test_another_file_of_the_same_name_is_never_touched(tmp_path: Path) -> None:
    """The same chunk, finished by two machines."""
    folder = tmp_path / "records"
    made = filled(folder)
    pack(folder)
    other = publish(tmp_path / "other", [make_record("he", seed, 60) for seed in range(2)], "2027-01-01T00:00:00+00:00")
    name, content = other.name, other.read_bytes()
    assert content != made[name]
    other.rename(folder / name)
    with pytest.raises(InputError, match=f"another {name} is in"):
        unpack(folder)
    before = contents(folder)
    (done,) = pack(folder)
    assert done.stay == (f"{folder / name} stays: another {name} is in a pack",)
    assert contents(folder) == before


def test_a_file_that_came_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    (one, *_) = sorted(tmp_path.iterdir())
    write = library.records.packing.write

    def written(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        one.unlink()
        one.write_bytes(b"of somebody else")

    monkeypatch.setattr("initbench.records.packing.write", written)
    pack(tmp_path)
    assert one.read_bytes() == b"of somebody else"


def test_what_cannot_be_read_back_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    inner = library.records.packing.write

    def flipping(target: Path, *arguments: Any, **named: Any) -> None:
        inner(target, *arguments, **named)
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(content)

    monkeypatch.setattr("initbench.records.packing.write", flipping)
    with pytest.raises(StorageError, match="was not read back as it was written"):
        pack(tmp_path)
    assert made.items() <= contents(tmp_path).items()
    monkeypatch.undo()
    (done,) = pack(tmp_path)
    assert done.names == tuple(sorted(made))
    bad = [name for name in contents(tmp_path) if name != done.path.name]
    assert bad == [f"{done.path.name}.damaged"]


@pytest.mark.full
def test_killed_at_any_file_operation_nothing_is_lost(tmp_path: Path) -> None:
    script = Path(__file__).parent / "killing_packs.py"
    answer = subprocess.run([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, check=True, text=True)
    sums = json.loads(answer.stdout)
    assert sums.pop("kills") > 60
    assert sums == {"lost": 0, "wrong_files": 0}


@pytest.mark.full
def test_damage_costs_the_files_of_its_part_and_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flip and every cut, of a pack of three parts."""
    monkeypatch.setattr(packed, "PART", 0)
    made = filled(tmp_path, n_files=3, n_trials=1)
    pack(tmp_path)
    path = the_pack(tmp_path)
    whole = path.read_bytes()
    n_seen = set()
    for place in range(0, len(whole), 7):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]):
            path.write_bytes(content)
            loaded = records.load([tmp_path])
            (line,) = loaded.damaged
            assert line.startswith(f"{path} is damaged (")
            n_seen.add(len(loaded))
            if "all its files" in line:
                assert len(loaded) == 0
            elif "none of its files" in line:
                assert len(loaded) == 3
            else:
                lost = re.findall(r"(\w+\.jsonl)", line)
                assert len(loaded) == 3 - len(lost)
                assert {*lost} <= {*made}
                assert f", {len(lost)} trial{'s' * (len(lost) > 1)})" in line
    assert n_seen == {0, 1, 2, 3}
    path.write_bytes(whole + b"\0")
    assert told(tmp_path)[0] == 3
    assert "it does not end as a pack does" in told(tmp_path)[1][0]


def test_of_a_damaged_pack_the_rest_is_unpacked_and_it_stays(tmp_path: Path, initbench: Initbench) -> None:
    made = filled(tmp_path)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(packed, "PART", 0)
        pack(tmp_path)
    path = the_pack(tmp_path)
    cut = path.read_bytes()[:-200]
    path.write_bytes(cut)
    answer = initbench("unpack", tmp_path)
    assert answer.code == 3
    assert "it is cut; lost" in " ".join(answer.err.split())
    found = contents(tmp_path)
    assert found.pop(path.name) == cut
    assert found == {name: made[name] for name in sorted(made)[:2]}


def handmade(parts: list[tuple[list[tuple[str, int, int]], bytes]], **about: Any) -> bytes:
    """A pack with any contents: of each part its files as they are said to be, and the archive that it holds."""
    streams = [lzma.compress(plain) for _, plain in parts]
    said = [
        {"packed": len(stream), "files": [dict(zip(("name", "size", "trials"), file, strict=True)) for file in files]}
        for (files, _), stream in zip(parts, streams, strict=True)
    ]
    text = msgspec.json.encode({"format": 1, "parts": said} | about)
    return lzma.compress(packed._member("contents.json", text)) + b"".join(streams) + lzma.compress(packed._END)


def of(name: str, content: bytes = b"x\n", **said: Any) -> bytes:
    """A pack of one file."""
    return handmade([([(name, said.get("size", len(content)), 1)], said.get("plain", packed._member(name, content)))])


def entry(kind: bytes, link: str = "") -> bytes:
    """The head of what is no file in an archive."""
    about = tarfile.TarInfo("a.jsonl")
    about.type, about.linkname, about.mode = kind, link, 0o644
    return about.tobuf(tarfile.USTAR_FORMAT)


A_MILLION = b'{"format":1,"parts":[{"packed":9,"files":[' + b'{"name":"a.jsonl","size":1,"trials":1},' * 1_000_000
ZEROS = lzma.compress(bytes(1 << 26))
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "it is cut"),
    "no xz": (lambda: b"hello\n" * 100, "Input format not supported by decoder"),
    "no archive": (lambda: lzma.compress(b"hello"), "it does not begin as a pack does"),
    "some archive": (lambda: lzma.compress(packed._member("a.jsonl", b"x")), "it does not begin as a pack does"),
    "no JSON": (lambda: lzma.compress(packed._member("contents.json", b"hello")), "JSON is malformed"),
    "nested": (lambda: lzma.compress(packed._member("contents.json", b"[" * 100_000)), "Expected `object`"),
    "nested within": (
        lambda: lzma.compress(packed._member("contents.json", b'{"format":1,"x":' + b"[" * 100_000)),
        "is damaged",
    ),
    "newer": (lambda: handmade([], format=2), "it is a pack of format 2, written by a newer initbench"),
    "up": (lambda: of("../a.jsonl"), "a file is called '../a.jsonl' there"),
    "absolute": (lambda: of("/etc/a.jsonl"), "a file is called '/etc/a.jsonl' there"),
    "backslash": (lambda: of("..\\a.jsonl"), "a file is called"),
    "hidden": (lambda: of(".a.jsonl"), "a file is called"),
    "escape": (lambda: of("\x1b[31m.jsonl"), "a file is called"),
    "no record": (lambda: of("pyvenv.cfg"), "a file is called 'pyvenv.cfg' there"),
    "long": (lambda: handmade([([("a" * 300 + ".jsonl", 1, 1)], b"")]), "a file is called"),
    "twice": (
        lambda: handmade([([("a.jsonl", 2, 1)] * 2, packed._member("a.jsonl", b"x\n") * 2)]),
        "a file is called 'a.jsonl' there",
    ),
    "symbolic link": (lambda: of("a.jsonl", b"", plain=entry(tarfile.SYMTYPE, "/etc/passwd")), "is something else"),
    "hard link": (lambda: of("a.jsonl", b"", plain=entry(tarfile.LNKTYPE, "b.jsonl")), "is something else"),
    "device": (lambda: of("a.jsonl", b"", plain=entry(tarfile.CHRTYPE)), "is something else"),
    "pipe": (lambda: of("a.jsonl", b"", plain=entry(tarfile.FIFOTYPE)), "is something else"),
    "folder": (lambda: of("a.jsonl", b"", plain=entry(tarfile.DIRTYPE)), "is something else"),
    "another name": (lambda: of("a.jsonl", plain=packed._member("b.jsonl", b"x\n")), "holds as a.jsonl is something"),
    "no record file": (lambda: of("a.jsonl"), "a.jsonl is damaged"),
    "negative": (lambda: of("a.jsonl", size=-1), "a number in them is impossible"),
    "endless": (lambda: of("a.jsonl", size=1 << 62), "a part is larger than any that initbench writes"),
    "huge number": (lambda: of("a.jsonl", size=1 << 70), "larger than any|Expected `int`|number"),
    "bomb": (lambda: of("a.jsonl", plain=bytes(1 << 26)), "a part of it is larger than it should be"),
    "bomb at once": (lambda: ZEROS, "a part of it is larger than it should be"),
    "bomb that says so": (lambda: of("a.jsonl", size=1 << 26, plain=bytes(512 + (1 << 26))), "something else"),
    "sum": (
        lambda: handmade([([(f"{n}.jsonl", 500 << 20, 1)], b"") for n in range(100, 140)]),
        "they are more than 16 GiB",
    ),
    "memory": (
        lambda: lzma.compress(
            b"x", format=lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
        ),
        "Memory usage limit exceeded",
    ),
    "a million files": (
        lambda: lzma.compress(packed._member("contents.json", A_MILLION), preset=0),
        "a part of it is larger than it should be",
    ),
    "many files": (
        lambda: handmade([([(f"{n:04}.jsonl", 0, 1) for n in range(5_000)], b"")]),
        "and 4997 more files, 5000 trials",
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_packs_are_inert(name: str, tmp_path: Path) -> None:
    make, said = HOSTILE[name]
    path = tmp_path / "results" / "records" / f"a{PACKED}"
    path.parent.mkdir(parents=True)
    path.write_bytes(make())
    publish(path.parent, [make_record("he", 0)])
    # What lies there is said to be what it is not; nothing is believed, and little is held.
    tracemalloc.start()
    n_trials, lines = told(path.parent)
    assert tracemalloc.get_traced_memory()[1] < 300 << 20
    tracemalloc.stop()
    assert n_trials == 1
    assert all(line.isprintable() and len(line) < 1500 for line in lines)
    assert len(lines) <= 1
    assert re.search(said, "".join(lines))
    for folder in (None, tmp_path / "out"):
        unpack(path, folder)
    assert not [each for each in tmp_path.rglob("*") if each.is_symlink() or each.name.startswith((".", "pyvenv"))]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["results"]
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "dangling link"])
def test_what_is_only_called_a_pack_is_not_opened(what: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{PACKED}"
    make: dict[str, Callable[[], object]] = {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "dangling link": lambda: path.symlink_to("nowhere"),
    }
    make[what]()
    publish(tmp_path, [make_record("he", 0)])
    n_trials, (line,) = told(tmp_path)
    assert n_trials == 1
    assert line.startswith(f"{path} is passed over (it is a ")
    assert pack(tmp_path)[0].stay == (line,)


def test_records_of_a_newer_format_come_out_of_a_pack(tmp_path: Path) -> None:
    """They are told of in it, as outside."""
    file = write_lines(tmp_path / "a.jsonl", {"format": FORMAT + 1}, {"what": "ever"})
    content = file.read_bytes()
    file.unlink()
    path = tmp_path / f"a{PACKED}"
    path.write_bytes(of("a.jsonl", content))
    (line,) = told(tmp_path)[1]
    assert line.startswith(f"{path / 'a.jsonl'} is passed over (it is of format {FORMAT + 1}")
    unpack(path)
    assert contents(tmp_path) == {"a.jsonl": content}


def test_a_larger_file_has_a_part_of_its_own(tmp_path: Path) -> None:
    publish(tmp_path, [make_record("xavier", seed, std=0.7) | {"formula": f"{seed}" * 2_000_000} for seed in range(3)])
    filled(tmp_path)
    assert max(map(len, contents(tmp_path).values())) > packed.PART
    before = contents(tmp_path)
    pack(tmp_path)
    assert told(tmp_path) == (9, [])
    unpack(tmp_path)
    assert contents(tmp_path) == before
