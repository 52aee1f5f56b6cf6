"""A folder to send with an initializer of one's own, and what is said of one that was sent."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

Initbench = Callable[..., Answer]
SMALL = ("protocol=fixed", "dataset=synthetic", "depth=1", "width=8", "epochs=1", "batch_size=32", "seeds=2")
MINE = """
import numpy as np


def halved(shape, rng, *, scale=1.0):
    std = scale * (0.5 / np.prod(shape[1:])) ** 0.5
    return rng.normal(0, std, shape).astype(np.float32)
"""


@pytest.fixture
def mine() -> Path:
    file = Path("mine.py")
    file.write_text(MINE, encoding="utf-8")
    return file


@pytest.mark.full
def test_what_is_sent_can_be_checked(initbench: Initbench, mine: Path) -> None:
    made = initbench("submit", mine, *SMALL)
    assert made.code == 0, made.err
    there = {path.relative_to("submission").as_posix() for path in Path("submission").rglob("*") if path.is_file()}
    (packed,) = {path for path in there if path.endswith(".records.tar.xz")}
    assert there == {"mine.py", "certificates.md", "report.md", packed}
    assert "| halved 128x784 | passed |" in Path("submission/certificates.md").read_text(encoding="utf-8")
    assert "halved" in Path("submission/report.md").read_text(encoding="utf-8").split("\n\n")[1]
    looked = initbench("submit", "--check", "submission", "--sample", "3")
    assert looked.code == 0, looked.out
    assert [line.split()[0] for line in looked.out.splitlines()] == ["ok"] * 3
    assert "3 of 3 trials are the same" in looked.out
    # Another law under the name is not what was trained.
    sent = Path("submission/mine.py")
    sent.write_text(MINE.replace("0.5 /", "0.6 /"), encoding="utf-8")
    looked = initbench("submit", "--check", "submission")
    assert looked.code == 3
    assert "WRONG" in looked.out


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("x = 1", (), "mine.py has no initializer: "),
        (MINE, ("init=he",), "init is set by submit"),
        ("def zeros_at_times(shape, rng): return [0]", (), "certificates of mine.py failed"),
    ],
    ids=["none", "init", "not an array"],
)
def test_what_cannot_be_sent_is_one_line(
    initbench: Initbench, mine: Path, content: str, more: tuple[str, ...], said: str
) -> None:
    mine.write_text(content, encoding="utf-8")
    answer = initbench("submit", mine, *more, *SMALL)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert said in answer.err
    assert "with one FILE.py in it" in initbench("submit", "--check", "nowhere").err
