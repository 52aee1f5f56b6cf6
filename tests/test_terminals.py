"""Windows of any width, streams that are closed, poor or full: what is printed is whole and can be read."""

import fcntl
import io
import os
import pty
import re
import resource
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import Answer, stored
from handmade import make_record, odd_records, publish, trials_of
from rich.cells import cell_len
from rich.console import Console
from test_cli_outside import SMALL, full_disk, shell

from initbench.render.blocks import Figure, Table
from initbench.render.files import replace_file
from initbench.render.terminal import to_lines, to_terminal
from initbench.report.document import Options, document

Initbench = Callable[..., Answer]
BLOCKS = document(trials_of(odd_records()), Options(baseline="he", views=("pairs",)))
TABLES = [block.table if isinstance(block, Figure) else block for block in BLOCKS if isinstance(block, Table | Figure)]


@pytest.mark.full
@pytest.mark.parametrize("width", [10, 13, 20, 27, 34, 40, 41, 55, 72, 80, 120, 300])
def test_no_name_and_no_number_is_cut_in_a_window_of_any_width(width: int) -> None:
    """Every word of every cell stands in the output as it is, unless it is longer than a line."""
    for table in TABLES:
        page = io.StringIO()
        to_terminal([table], Console(file=page, width=width))
        text = page.getvalue()
        assert max(map(cell_len, text.splitlines())) <= width
        there = re.split(r"[\s─]+", text.replace(":", " "))
        # In a list the rows' names are headings, which say themselves what they name.
        for row in (table.header[1:], *table.rows):
            for word in (word for cell in row for word in cell.replace(":", " ").split()):
                # In a list a line is indented, and a name is followed by a colon.
                assert word in there or len(word) > width - 2, (word, width)


def test_a_number_stands_beside_its_name_in_the_narrowest_window() -> None:
    page = io.StringIO()
    to_terminal([Table(("run", "orthogonal", "he"), (("1", "97.49", "98.05"),))], Console(file=page, width=16))
    assert [line.rstrip() for line in page.getvalue().splitlines()] == ["1", " orthogonal:", " 97.49", " he: 98.05", ""]


def test_a_text_is_plain_whatever_surrounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, whose kernel sets this."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in to_lines([Table(("run", "he"), (("1", "98.05"),), title="Runs")], 40)


def test_wide_letters_take_two_columns() -> None:
    page = io.StringIO()
    table = Table(("technique", "accuracy"), (("初始化初始化", "97.49"), ("he", "98.05")))
    to_terminal([table], Console(file=page, width=28))
    assert max(map(cell_len, page.getvalue().splitlines())) <= 28
    assert "初始化初始化" in page.getvalue()


@pytest.mark.parametrize("columns", ["0", "1", "9", "00", "1000000"])
def test_a_width_that_is_none_is_not_believed(
    initbench: Initbench, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    publish(Path("results/run/records"), [make_record("he", seed) for seed in range(2)])
    monkeypatch.setenv("COLUMNS", columns)
    answer = initbench("report")
    assert answer.code == 0
    assert answer.out.count("90.00") > 2
    if not int(columns):
        monkeypatch.setenv("COLUMNS", "80")
        assert initbench("report").out == answer.out


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """What a full disk is to whoever writes a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "html", "rich"])
def test_a_report_that_cannot_be_written_leaves_the_old_one(initbench: Initbench, form: str) -> None:
    publish(Path("results/run/records"), [make_record("he", seed) for seed in range(2)])
    Path("r").write_text("the old one")
    with files_of_at_most(100):
        answer = initbench("report", "--format", form, "--out", "r", "--no-cache")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err == "initbench: error: cannot write r: File too large\n"
    assert Path("r").read_text() == "the old one"
    assert sorted(path.name for path in Path().iterdir()) == ["r", "results"]
    assert initbench("report", "--format", form, "--out", "r").code == 0
    assert "90.00" in Path("r").read_text() or "0.9" in Path("r").read_text()


@pytest.mark.full
def test_figures_that_cannot_be_written_leave_the_old_ones(initbench: Initbench) -> None:
    publish(Path("results/run/records"), [make_record(init, 0, 90) for init in ("he", "xavier")])
    assert initbench("report", "--figures", "f").code == 0
    before = {path.name: path.read_bytes() for path in Path("f").iterdir()}
    assert before
    with files_of_at_most(5000):
        answer = initbench("report", "--figures", "f", "--no-cache")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err == "initbench: error: cannot write figures to f: File too large\n"
    assert {path.name: path.read_bytes() for path in Path("f").iterdir()} == before


def test_what_is_replaced_keeps_its_place_and_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "r").write_text("old")
    (tmp_path / "there" / "r").chmod(0o600)
    (tmp_path / "link").symlink_to("there/r")
    replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "r").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "there" / "r").stat().st_mode) == 0o600
    mask = os.umask(0o022)
    os.umask(mask)
    replace_file(tmp_path / "fresh", b"new")
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o666 & ~mask
    # What is no file is not replaced by one.
    replace_file(Path(os.devnull), b"new")
    assert not Path(os.devnull).is_file()


@full_disk
def test_a_device_that_is_full_is_said_to_be(initbench: Initbench) -> None:
    publish(Path("results/run/records"), [make_record()])
    answer = initbench("report", "--format", "csv", "--out", "/dev/full")
    assert (answer.code, answer.err) == (4, "initbench: error: cannot write /dev/full: No space left on device\n")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.full
def test_a_run_without_streams_leaves_whole_records() -> None:
    """The numbers of closed streams are not given to files, into which a library might then print."""
    loud = "    os.write(1, b'x')\n    os.write(2, b'x')\n    return rng.normal(size=shape)\n"
    Path("loud.py").write_text(f"import os\n\n\ndef loud(shape, rng):\n{loud}")
    answer = shell(f"initbench run {' '.join(SMALL)} init=loud --plugin loud.py <&- >&- 2>&-")
    assert answer.returncode == 0, answer.stderr
    assert len(stored()) == 1


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.full
@pytest.mark.parametrize("environment", [ASCII, {"PYTHONIOENCODING": "ascii:strict"}])
def test_ascii_streams_get_a_report_that_can_be_read(environment: dict[str, str]) -> None:
    dataset = make_record()["trial"]["dataset"] | {"name": "é初"}
    publish(Path("results/run/records"), [make_record("he", seed, 90 + seed, dataset=dataset) for seed in range(3)])
    answer = shell("initbench report && initbench report init=é初", **environment)
    assert answer.stdout.isascii()
    assert "N(0, std^2)" in answer.stdout
    assert r"e\u521d * mlp depth 2" in answer.stdout
    assert "?" not in answer.stdout
    assert answer.stderr.isascii()
    assert answer.stderr.startswith("initbench: error:")
    assert answer.stderr.count("\n") == 1


def in_a_window(columns: int, rows: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """A command in a real terminal: its exit code, and all that it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "TERM")}
    kept |= {"PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    command, text = [sys.executable, "-m", "initbench", *arguments], b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=kept) as process:
        os.close(theirs)
        # A terminal whose last writer is gone has an error, not an end.
        with open(ours, "rb", buffering=0) as screen, suppress(OSError):
            while part := screen.read(4096):
                text += part
    return process.returncode, text.decode()


@pytest.mark.full
def test_a_run_in_a_window_of_ten_columns_and_three_lines() -> None:
    """With its progress, then its report; only a word that is longer than a line is one."""
    code, text = in_a_window(10, 3, "run", *SMALL, TERM="xterm", NO_COLOR="1")
    assert code == 0, text
    assert not re.search(r"\x1b\[[0-9;]*3\dm", text)
    report = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[text.index("The") :])
    # A command is one line, however long, to be copied as one.
    long = [line for line in report.splitlines() if len(line) > 10 and len(line.split()) > 2]
    assert [line for line in long if not line.startswith("initbench ")] == []
    assert "answer" in report


@pytest.mark.full
def test_a_dumb_terminal_gets_plain_text() -> None:
    publish(Path("results/run/records"), [make_record("he", seed, 90 + seed) for seed in range(2)])
    code, text = in_a_window(40, 3, "report", TERM="dumb")
    assert code == 0
    assert "\x1b" not in text
    assert "90.50" in text
