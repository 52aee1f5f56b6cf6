"""The documents say what is there: code is that of the files, links lead somewhere, every package has its line."""

import re
from pathlib import Path

import pytest

import initbench

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "benchmarks/README.md",
    *(page.relative_to(ROOT).as_posix() for page in sorted((ROOT / "docs").rglob("*.md"))),
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
        # The reference is made when the site is: tests/test_site.py.
        if not link.startswith(("http", "reference/")):
            assert ((ROOT / document).parent / link).exists(), link


def test_files_that_are_named_are_there() -> None:
    for file in re.findall(r"`((?:initbench|tests|configs|docs|benchmarks|results)/[\w./]+)`", read("CONTRIBUTING.md")):
        assert (ROOT / file).exists(), file


def test_every_package_has_its_line() -> None:
    assert len(PACKAGES) >= 12
    in_picture = re.findall(r"^\| `(\w+)` \|", part("docs/architecture.md", "packages"), re.MULTILINE)
    assert sorted(in_picture) == PACKAGES


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
    assert f"\nversion: {initbench.__version__}\n" in read("CITATION.cff")
    newest = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert newest[0] == "Unreleased"
    assert newest[1].startswith(initbench.__version__)


def test_the_licence_of_every_dependency_is_listed() -> None:
    import tomllib

    needed = tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    names = [re.match(r"[\w-]+", one)[0] for one in needed]  # type: ignore[index]
    assert re.findall(r"^\| ([\w-]+) \| \S", read("docs/licences.md"), re.MULTILINE)[2:] == names


def test_the_package_says_that_it_is_typed() -> None:
    from importlib.resources import files

    assert (files("initbench") / "py.typed").is_file()


def test_the_recipe_for_conda_needs_what_the_package_needs() -> None:
    import tomllib

    project = tomllib.loads(read("pyproject.toml"))["project"]
    recipe = read("conda/meta.yaml")
    assert f'version = "{initbench.__version__}"' in recipe
    needed = recipe.split("  run:\n")[1].split("\n\n")[0]
    names = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    split = [re.match(r"([\w-]+)(.*)", one).groups() for one in project["dependencies"]]  # type: ignore[union-attr]
    wanted = [f"python {project['requires-python']}", *(f"{names.get(name, name)} {what}" for name, what in split)]
    written = [line.strip().removeprefix("- ").replace("<3.14,>=3.11", ">=3.11,<3.14") for line in needed.splitlines()]
    assert written == wanted


def test_the_paper_cites_what_is_in_its_bibliography_and_tells_figures_of_the_pages() -> None:
    paper = " ".join(read("paper.md").split())
    assert set(re.findall(r"@([a-z]+\d{4})", paper)) == set(
        re.findall(r"^@\w+\{(\w+),", read("paper.bib"), re.MULTILINE)
    )
    ledger = " ".join(read("results/published/ledger.md").split())
    assert "52 claims: 19 supported, 7 refuted, 24 mixed and 2 inconclusive" in ledger
    assert "19 are supported, 7 refuted, 24 hold in some settings and not in others, and 2 are undecided" in paper
    for figure, page in (("1,928 tests", "results/published/ledger.md"), ("2.4 to 9.7 times", "benchmarks/README.md")):
        assert figure in paper
        assert figure in " ".join(read(page).split())
    told = "gaussian, random, orthogonal, uniform and xavier share the first place, between 97.81 and 97.97 %"
    assert told in paper
    assert told in " ".join(read("README.md").split())
