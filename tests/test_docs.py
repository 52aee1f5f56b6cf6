"""The documents say what is there: code is that of the files, links lead somewhere, every package has its line."""

import re
from pathlib import Path

import pytest

import initbench

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/glossary.md", "docs/executors.md",
    "results/README.md", "benchmarks/README.md",
]  # fmt: skip
PACKAGES = sorted(folder.parent.name for folder in (ROOT / "initbench").glob("*/__init__.py"))


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def part(document: str, name: str) -> str:
    """What stands between ``<!-- name -->`` and ``<!-- end -->``."""
    return read(document).split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]


def test_code_that_is_shown_is_that_of_the_files() -> None:
    shown = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", read("CONTRIBUTING.md"), re.DOTALL)
    assert len(shown) == read("CONTRIBUTING.md").count("<!-- file: ") >= 4
    for file, code in shown:
        assert code in read(file), file


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", read(document)):
        if not link.startswith("http"):
            assert ((ROOT / document).parent / link).exists(), link


def test_files_that_are_named_are_there() -> None:
    for file in re.findall(r"`((?:initbench|tests|configs|docs|benchmarks|results)/[\w./]+)`", read("CONTRIBUTING.md")):
        assert (ROOT / file).exists(), file


def test_every_package_has_its_line() -> None:
    assert len(PACKAGES) >= 12
    in_picture = re.findall(r"^\| `(\w+)` \|", part("docs/architecture.md", "packages"), re.MULTILINE)
    assert sorted(in_picture) == PACKAGES
    layout = read("README.md").split("## Layout")[1]
    for package in PACKAGES:
        assert re.search(rf"`(initbench/)?{package}`", layout), package


def test_imports_run_downward_as_the_picture_says() -> None:
    """Those inside functions too; only single files of the last group may import each other."""
    (said,) = re.findall(
        r"Imports run downward, from a group to those after it: (.*?)\.", read("docs/architecture.md"), re.DOTALL
    )
    groups = [re.split(r",\s+", group) for group in re.split(r";\s+", said)]
    level = {name: number for number, group in enumerate(groups) for name in group}
    last = level["the other single files"]
    assert {*PACKAGES} <= {*level}
    imported = re.compile(r"^\s*(?:(?:from|import) initbench\.|from initbench import )(\w+)", re.MULTILINE)
    for file in (ROOT / "initbench").rglob("*.py"):
        own = file.relative_to(ROOT / "initbench").with_suffix("").parts[0]
        if own.startswith("__"):
            continue
        for name in set(imported.findall(file.read_text(encoding="utf-8"))):
            up, down = level.get(own, last), level.get(name, last)
            assert name == own or up < down or up == down == last, f"{file}: imports initbench.{name}"


def test_the_glossary_has_each_word_once_in_order() -> None:
    words = re.findall(r"^\| ([a-z][^|]*) \|", read("docs/glossary.md"), re.MULTILINE)[1:]
    assert len(words) > 50
    assert words == sorted(set(words))


def test_the_versions_are_one() -> None:
    import tomllib

    project = tomllib.loads(read("pyproject.toml"))
    assert "version" in project["project"]["dynamic"]
    assert f'__version__ = "{initbench.__version__}"' in read(project["tool"]["hatch"]["version"]["path"])
    newest = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert newest[0] == "Unreleased"
    assert newest[1].startswith(initbench.__version__)
