"""Texts from outside, made fit to be shown: nothing acts, nothing hides, names stay what they are."""

import codecs
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks import ATTACKS, NAMES
from conftest import Answer
from handmade import make_record, publish
from hypothesis import given
from hypothesis import strategies as st

from initbench.api.load import load
from initbench.errors import InputError
from initbench.experiment.progress import say
from initbench.printable import legible, printable, printable_lines

Initbench = Callable[..., Answer]


def acting(text: str) -> list[str]:
    """The characters of a text that a terminal obeys, or that nobody sees."""
    joined = text.replace("👩\u200d💻", "")
    return [char for char in joined if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_spelled(attack: str) -> None:
    text, spelled = ATTACKS[attack]
    assert printable(text) == (text if spelled is None else spelled)


@pytest.mark.parametrize("name", NAMES)
def test_names_stay(name: str) -> None:
    assert printable(name) == name


@pytest.mark.full
def test_every_character_is_seen_or_spelled() -> None:
    """One that is changed is spelled in ASCII, and every one that acts or hides is changed."""
    # The planes in which there is something.
    everything = list(map(chr, [*range(0x20000), *range(0xE0000, 0xE0200), sys.maxunicode]))
    for char, spelled in zip(everything, map(printable, everything), strict=True):
        if spelled == char:
            assert not acting(char)
        else:
            assert spelled.isascii()
            assert spelled.encode().decode("unicode_escape").encode("utf-8", "surrogatepass") == char.encode(
                "utf-8", "surrogatepass"
            )


@given(st.text(st.characters(codec=None)))
def test_what_is_printable_is_left_alone(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert len(once.splitlines()) <= 1
    assert printable_lines(text).count("\n") == text.count("\n")


def test_ascii_terminals_get_what_can_be_read() -> None:
    assert legible("97.12 ± 0.30, σ² ≤ 2·fan_in → ∞ …", "ascii") == "97.12 +/- 0.30, sigma^2 <= 2*fan_in -> inf ..."
    assert legible("Å é ½ 初 😀", "ascii") == r"A e 1/2 \u521d \U0001f600"
    assert legible("é –", "latin-1") == "é -"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "legible")


@pytest.mark.full
@given(st.text(), st.sampled_from(["ascii", "latin-1", "cp1252", "koi8-r", "utf-8", "shift_jis"]))
def test_no_encoding_fails(text: str, encoding: str) -> None:
    shown = legible(printable(text), encoding)
    assert codecs.decode(codecs.encode(shown, encoding), encoding) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize("attack", ATTACKS)
def test_errors_and_lines_for_people_are_one_line_that_does_nothing(
    attack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, spelled = ATTACKS[attack]
    assert str(InputError(f"got {text}")) == f"got {spelled or text}"
    say(text)
    assert capsys.readouterr().err == f"initbench: {spelled or text}\n"


@pytest.mark.full
@pytest.mark.parametrize("attack", ["colour", "run backwards", "a line of its own", "half a pair", "markup of Rich"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "init={}"), ("run", "dataset=csv", "dataset.path={}"), ("run", "{}=1"), ("report", "{}"),
        ("run", "--plugin", "{}.py"), ("list", "{}"), ("run", "--{}"), ("run", "--config-dir", "{}"),
        ("report", "--view", "{}"), ("--debug", "report", "{}"),
    ],
)  # fmt: skip
def test_the_command_line_repeats_what_it_got_and_no_more(
    initbench: Initbench, attack: str, arguments: tuple[str, ...]
) -> None:
    answer = initbench(*(text.replace("{}", ATTACKS[attack][0]) for text in arguments))
    assert answer.code in (1, 2, 4)
    assert not acting(answer.err.replace("\n", "")), answer.err
    assert not acting(answer.out.replace("\n", ""))
    assert len(answer.err.splitlines()) == 1


def test_what_is_printed_of_settings_is_inert_and_still_yaml(initbench: Initbench, tmp_path: Path) -> None:
    import yaml

    table = "a,b,y\n" + "".join(f"{3 * i},{i % 3},{i % 2}\n" for i in range(40))
    refused = initbench("run", "dataset.path='x\x9b31m\u202e初.csv'", "dataset=csv", "--config")
    assert (refused.code, refused.out) == (2, "")
    assert not acting(refused.err.replace("\n", ""))
    # As it is where nothing acts.
    (tmp_path / "初.csv").write_text(table)
    (cell,) = yaml.safe_load_all(initbench("run", "dataset=csv", "dataset.path='初.csv'", "--config").out)
    assert cell["dataset"]["path"] == "初.csv"
    assert "初.csv" in initbench("run", "dataset=csv", "dataset.path='初.csv'", "--config").out


def test_a_warning_names_a_file_and_does_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "a\x1b[2J" / "records"
    folder.mkdir(parents=True)
    (folder / "x.jsonl").write_text("junk\n")
    publish(folder.parents[1] / "run" / "records", [make_record()])
    with pytest.warns(UserWarning, match="is damaged") as told:
        assert len(load(str(tmp_path / "results"))) == 1
    assert not [one for one in told if acting(str(one.message))]


def test_a_whole_traceback_is_inert(initbench: Initbench, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("raise ValueError('a\\x1b[2Jb\\u202e')\n")
    answer = initbench("run", "--debug", "--plugin", "p.py")
    assert r"a\x1b[2Jb\u202e" in answer.err
    assert "Traceback" in answer.err
    assert not acting(answer.err.replace("\n", ""))
