"""Whatever lies among the records: each named in one line, passed over, never waited for; all else is reported."""

import copy
import hashlib
import json
import os
import random
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Answer
from handmade import ENVIRONMENT, HEADER, csv_of, make_record, publish, recorded, write_lines

from initbench import records
from initbench.analysis.trials import to_trials
from initbench.errors import StorageError
from initbench.records import entries, index, schema, store
from initbench.records.schema import Environment
from initbench.report import output
from initbench.report.document import VIEWS, Options
from initbench.trial import trial_key

Initbench = Callable[..., Answer]
TODAY = HEADER | {"format": schema.FORMAT}
SMALL = ("init=he", "depth=1", "dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=2")


def lines_of(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [schema.plain(line) for line in recorded(made)]


def rotated() -> list[dict[str, Any]]:
    lines = lines_of([make_record("he", seed, 90, std=0.7) for seed in range(3)])
    keys = [line["key"] for line in lines]
    return [line | {"key": key} for line, key in zip(lines, keys[1:] + keys[:1], strict=True)]


def changed(**fields: Any) -> list[dict[str, Any]]:
    return [line | fields for line in lines_of([make_record("he", 0, 90, std=0.7)])]


def without(*path: str) -> list[dict[str, Any]]:
    """A record without something, whose key is that of what it has."""
    (line,) = lines_of([make_record("he", 0, 90, std=0.7)])
    node = line
    for name in path[:-1]:
        node = node[name]
    del node[path[-1]]
    return [line | {"key": trial_key(line["trial"])}] if len(path) > 1 else [line]


def without_rate() -> list[dict[str, Any]]:
    """Its place on a logarithmic axis would be nowhere."""
    (line,) = lines_of([make_record("he", 0, 90, std=0.7)])
    return [line | {"trial": line["trial"] | {"lr": 0.0}}]


def nested(path: Path) -> None:
    """With a right checksum."""
    deep = b'{"key":"a","outcome":"ok","trial":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n"
    body = json.dumps(TODAY).encode() + b"\n" + deep
    path.write_bytes(body + b'{"sha256":"%b"}\n' % hashlib.sha256(body).hexdigest().encode())


def bound(path: Path) -> None:
    # The path may be too long for an address.
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.fchdir(here)
    os.close(here)


def cut(path: Path) -> None:
    write_lines(path, TODAY, *lines_of([make_record("he", 0, 90, std=0.7)]))
    path.write_bytes(path.read_bytes()[:-50])


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(entries.LARGEST + 1)


def whole(*lines: Any, header: dict[str, Any] = TODAY) -> Callable[[Path], object]:
    return lambda path: write_lines(path, header, *lines)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "folder": (Path.mkdir, "it is a folder"),
    "pipe": (os.mkfifo, "it is a pipe"),
    "socket": (bound, "it is a socket"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "it is a link to nothing"),
    "link to itself": (lambda path: path.symlink_to(path), "it is a link to itself"),
    "empty": (Path.touch, "it does not end in a line end"),
    "cut": (cut, "it does not end in a line end"),
    "huge": (huge, "it has more than 512 MiB"),
    "other text": (lambda path: path.write_text("hello\n"), "JSON is malformed"),
    "other JSON": (lambda path: path.write_text("[1, 2]\n"), "Expected `object`, got `array`"),
    "nested": (nested, "it is nested too deeply"),
    "nothing but a checksum": (
        lambda path: path.write_text(json.dumps({"sha256": hashlib.sha256().hexdigest()}) + "\n"),
        "it has no header",
    ),
    "newer format": (
        whole({"what": "ever"}, header=TODAY | {"format": schema.FORMAT + 1}),
        f"it is of format {schema.FORMAT + 1}, written by a newer initbench; upgrade to read it",
    ),
    "another's name": (
        whole(*lines_of([make_record("he", 0, 90, std=0.7)]), header=TODAY | {"chunk": "0" * 32}),
        "it is chunk 00000000000000000000000000000000 by its header, and another by its name",
    ),
    "rotated keys": (whole(*rotated()), "the key of trial 1 is not the hash of its identity"),
    "huge key": (whole(*changed(key="0" * 5_000_000)), "Expected `str` of length <= 64 - at `$.key`"),
    "huge hash": (whole(*changed(weights={"final": "0" * 100})), "Expected `str` of length <= 64 - at `$.weights"),
    "huge line": (whole(*changed(formula="x" * (store.LONGEST + 1))), "a line has more than 16 MiB"),
    "more correct than there are": (
        whole(*changed(n_correct={"test": 278_551}, n_total={"test": 100})),
        "278551 of 100 test samples are correct",
    ),
    "more correct on the way": (
        whole(*changed(history={"val_correct": [1, 201]})),
        "201 of 200 val samples are correct",
    ),
    "no step": (whole(*without_rate()), "Expected `float` > 0.0 - at `$.lr`"),
    "less than none": (whole(*changed(n_majority=-1)), "Expected `int` >= 0 - at `$.n_majority`"),
    "number too large": (whole(*changed(diverged_at=2**31)), "Expected `int` <= 2147483647 - at `$.diverged_at`"),
    "unknown outcome": (whole(*changed(outcome="great")), "Invalid enum value 'great'"),
    "protocol without a name": (whole(*changed(asked={"protocol": {}})), "missing required field `name`"),
    **{
        f"no {'.'.join(path)}": (whole(*without(*path)), f"missing required field `{path[-1]}`")
        for path in [
            *(("trial", name) for name in ("init", "width", "lr", "dataset", "model", "activation", "bias", "seed")),
            ("trial", "dataset", "sha256"),
            ("trial",),
            ("key",),
            ("outcome",),
        ]
    },
}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A results folder with two files of records."""
    for init, std in (("he", 0.1), ("xavier", 0.2)):
        publish(tmp_path / "r" / "run" / "records", [make_record(init, seed, 90, std=std) for seed in range(2)])
    return tmp_path / "r"


@pytest.mark.full
@pytest.mark.parametrize("what", ODD)
def test_it_is_named_in_one_line_and_everything_else_is_there(good: Path, what: str) -> None:
    before = csv_of(to_trials(index.load([good])[0]))
    odd = good / "run" / "records" / "odd.jsonl"
    make, why = ODD[what]
    make(odd)
    columns, (told,) = index.load([good])
    assert csv_of(to_trials(columns)) == before
    assert told.startswith(f"{odd} is ")
    assert why in told
    assert told.isprintable()
    assert records.load([good]).damaged == [told]
    assert index.examine([good]) == [told]


@pytest.mark.full
def test_a_report_names_all_of_it_and_shows_the_rest(initbench: Initbench, good: Path) -> None:
    before = initbench("report", str(good))
    assert before.err == ""
    for number, (make, _) in enumerate(ODD.values()):
        make(good / "run" / "records" / f"odd{number}.jsonl")
    (good / "run" / "records" / "\x1b[31m\n\u202e.jsonl").write_text("x")
    # Neither is a records folder, whatever it is.
    (good / "looped").symlink_to("looped")
    (good / "pipe").mkdir()
    os.mkfifo(good / "pipe" / "records")
    after = initbench("report", str(good))
    assert (after.code, after.out) == (0, before.out)
    assert len(after.err.splitlines()) == len(ODD) + 1
    assert "/\\x1b[31m\\n\\u202e.jsonl is damaged (" in after.err


@pytest.mark.full
@pytest.mark.parametrize("what", ["another's records", "newer format", "pipe", "folder"])
def test_a_run_is_never_stuck_on_what_has_the_name_of_its_chunk(initbench: Initbench, what: str) -> None:
    first = initbench("run", *SMALL)
    assert first.code == 0
    (chunk,) = Path("results/run/records").iterdir()
    mine = chunk.read_bytes()
    initbench("run", *SMALL, "init=xavier", "results=other")
    (others,) = Path("other/run/records").iterdir()
    chunk.unlink()
    if what == "another's records":
        chunk.write_bytes(others.read_bytes())
    else:
        ODD[what][0](chunk)
    again = initbench("run", *SMALL)
    assert (again.code, again.out) == (0, first.out)
    assert len([line for line in again.err.splitlines() if str(chunk) in line]) == 1
    timeless = [re.sub(rb'"(started|finished|sha256)": "[0-9T:+-]*"', b"", text) for text in (mine, chunk.read_bytes())]
    assert timeless[0].splitlines()[:-1] == timeless[1].splitlines()[:-1]
    # It is somebody's, and kept.
    assert os.path.lexists(f"{chunk}.damaged")
    last = initbench("run", *SMALL)
    assert (last.code, "nothing to train" in last.err, str(chunk) in last.err) == (0, True, False)


def test_trials_that_others_have_published_under_the_name_stay_theirs(tmp_path: Path) -> None:
    (line,) = recorded([make_record("he", 0, 90)])
    file = records.publish(tmp_path, [line])
    before = file.read_bytes()
    assert records.publish(tmp_path, [msgspec.structs.replace(line, n_majority=1)]) == file
    assert file.read_bytes() == before


def test_two_results_of_one_trial_are_shown_with_what_differs(initbench: Initbench, tmp_path: Path) -> None:
    folder = tmp_path / "r" / "run" / "records"
    made = [make_record("he", seed, 90) for seed in range(8)]
    others = [make_record("he", seed, 91) | {"weights": {"final": "2" * 16}} for seed in range(7)]
    publish(folder, made, "2026-01-02T00:00:00+00:00")
    publish(folder, made[:3], "2026-01-03T00:00:00+00:00")
    assert index.load([tmp_path / "r"])[1] == []
    environment = Environment(**ENVIRONMENT | {"torch": "2.14.0", "blas": "SciPy's OpenBLAS"})
    records.publish(folder, recorded(others), finished="2026-01-01T00:00:00+00:00", environment=environment)
    columns, told = index.load([tmp_path / "r"])
    assert len(told) == 6
    assert "(he, seed " in told[0]
    for said in ("500/150/91 correct (train/val/test), weights 2222222222222222", "torch ", "2.14.0",
                 "blas ", "SciPy's OpenBLAS", "500/150/90 correct (train/val/test), weights 1111111111111111",
                 "the one finished first is used (2026-01-01T00:00:00+00:00)"):  # fmt: skip
        assert said in told[0]
    assert "numpy" not in told[0]
    assert told[-1] == "and 2 more trials have records that disagree"
    assert to_trials(columns).frame()["test_correct"].tolist() == [91] * 7 + [90]
    shown = initbench("report", str(tmp_path / "r"))
    assert (shown.code, len(shown.err.splitlines())) == (0, 6)


def test_a_record_that_knows_no_hash_disagrees_with_none(tmp_path: Path) -> None:
    publish(tmp_path, [make_record("he", 0, 90)])
    publish(tmp_path, [make_record("he", 0, 90) | {"weights": {}}, make_record("he", 1, 90)])
    assert index.load([tmp_path])[1] == []


@pytest.mark.full
def test_names_that_nobody_knows_here_are_reported_as_they_are(tmp_path: Path) -> None:
    names = {"activation": {"name": "swoosh"}, "model": {"name": "transformer"}, "schedule": "sawtooth",
             "optimizer": {"name": "lion", "beta": [0.9, None]}, "init": {"law": "levy", "scheme": "odd"},
             "bias": {"law": "levy"}, "init_output": {"law": "cauchy"}}  # fmt: skip
    for name, value in names.items():
        made = lines_of([make_record("he", seed, 80 + seed) for seed in range(3)])
        for line in made:
            line["trial"][name] = value
            line["key"] = trial_key(line["trial"])
        write_lines(tmp_path / "r" / f"{name}.jsonl", TODAY, *made)
    columns, told = index.load([tmp_path / "r"])
    assert (len(columns), told) == (3 * len(names), [])
    for form in ("csv", "markdown", "latex", "html", "rich"):
        text = output.report(to_trials(columns), Options(views=VIEWS if form != "csv" else ()), form)
        for name in ("swoosh", "transformer", "sawtooth", "lion"):
            assert name in text, form


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    if at:
        yield at
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*at, key))


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 3, -2.5, 1e-300, 1e308, -0.0, 0.5, 2**31, 2**53, 2**63, 2**64, 10**30),
    *("", "he", "nope", "<b>|$\\x{", "a" * 50, [], [0], [1, "a"], [[1]], {}),
    *({"name": "x"}, {"law": "x"}, {"name": "x", "y": None}, {"name": "", "law": ""}, {"test": 5}, {"search.lr": [1]}),
    {"name": "tuned", "search.lr": "x"},
]


def mutated(chance: random.Random) -> list[Any]:
    """A header and records of which something is missing, added or another, with keys that are right."""
    lines: list[Any] = [copy.deepcopy(TODAY), *lines_of([make_record("he", seed, 80 + seed) for seed in range(3)])]
    one = chance.choice([0, 1, 1, 1, 2])
    for _ in range(chance.choice([1, 1, 2])):
        *way, last = chance.choice([at for at in places(lines[one]) if at != ("key",)])
        node = lines[one]
        for key in way:
            node = node[key]
        what = chance.random()
        if what < 0.25 and isinstance(node, dict):
            del node[last]
        elif what < 0.35 and isinstance(node, dict):
            node[chance.choice(["x", "name", "law", "path", "std", "value", "lr", "seed"])] = chance.choice(VALUES)
        else:
            node[last] = copy.deepcopy(chance.choice(VALUES))
    if one and isinstance(lines[one].get("trial"), dict):
        lines[one]["key"] = trial_key(lines[one]["trial"])
    return lines


def check_mutations(folder: Path, seeds: range) -> int:
    """Each is passed over with a line, or is in every report; returns how many were reported."""
    reported = 0
    publish(folder / "r", [make_record("zero", seed, 10, std=0.3) for seed in range(3)])
    for seed in seeds:
        write_lines(folder / "r" / "0.jsonl", *mutated(random.Random(seed)))
        columns, told = index.load([folder / "r"], cached=False)
        passed_over = [line for line in told if "disagree" not in line]
        assert len(told) < 2, seed
        # One may have become another record of the same trial.
        assert len(columns) in ({3} if passed_over else {5, 6}), seed
        if not passed_over:
            reported += 1
            for form in ("csv", "html", "rich") if seed % 10 == 0 else ("csv",):
                output.report(to_trials(columns), Options(views=VIEWS if form != "csv" else ()), form)
    return reported


@pytest.mark.full
def test_any_record_is_passed_over_or_reported(tmp_path: Path) -> None:
    assert 15 < check_mutations(tmp_path, range(100)) < 85


@pytest.mark.slow
def test_any_of_many_records_is_passed_over_or_reported(tmp_path: Path) -> None:
    assert check_mutations(tmp_path, range(1000, 6000)) > 1000


def test_a_folder_that_may_not_be_read_is_no_empty_one(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        index.load([good])
