"""The commands of the tutorial and of every how-to run as they stand, in order, with the files that a page shows."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

Initbench = Callable[..., Answer]

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [page for page in (DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))) if "$ " in page.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_works(initbench: Initbench, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name, content in re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', text, re.DOTALL | re.MULTILINE):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    commands = re.findall(r"^ *\$ (.+)\n((?:(?! *\$ | *```).*\n)*)", text, re.MULTILINE)
    assert commands
    for command, shown in commands:
        program, *arguments = shlex.split(command)
        if program == "initbench":
            answer = initbench(*arguments)
            # A diagnosis that finds something says so by its code.
            assert answer.code in ((0, 3) if arguments[0] == "diagnose" else (0,)), (command, answer.err)
            found = re.findall(r"^(?:wrong|doubtful|note): .+ \(\w+\)$", shown, re.MULTILINE)
            assert not set(found) - set(answer.out.splitlines()), command
        else:
            assert program == "python", command
            subprocess.run([sys.executable, *arguments], check=True)


def test_every_page_has_commands() -> None:
    # Those of clusters are run by test_slurm.py and test_ray.py.
    every = {page.stem for page in (DOCS / "how-to").glob("*.md")} - {"executors", "slurm", "ray"}
    assert {page.stem for page in PAGES} == {"tutorial", *every}
