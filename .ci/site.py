"""What mkdocs adds to the pages in ``docs/``: a reference from the program's own tables, and pages from elsewhere.

Links are those of the repository. Published results and their figures are among the pages.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from initbench.commands.app import app
from initbench.commands.entry import entry
from initbench.commands.listing import GROUPS, listing
from initbench.initializers.names import VIEWS
from initbench.render.blocks import Block, Heading, Table
from initbench.render.markdown import to_markdown
from initbench.settings.catalogue import Catalogue

sys.path.insert(0, str(Path(__file__).parent))
import pictures  # noqa: E402

TOP = Path(__file__).parents[1]
# Pages that are not in docs/, by their place in the repository, which is their place on the site.
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "benchmarks/README.md")
# Named in pages, and to be read in the repository alone.
ELSEWHERE = (
    "LICENSE",
    "benchmarks/throughput",
    "examples/",
    "configs/",
    "initbench/",
    "tests/",
    ".ci/",
    "pyproject.toml",
)

_TITLES = {
    "settings": "Settings",
    "initializers": "Initializers",
    "activations": "Activations",
    "optimizers": "Optimizers",
    "models": "Models",
    "datasets": "Data sets",
    "executors": "Executors",
    "experiments": "Presets",
    "frameworks": "What frameworks draw",
    "schemes": "Schemes",
    "biases": "Biases",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Everything that is generated, and everything from elsewhere."""
    catalogue = Catalogue()
    added = {f"reference/{group}.md": _group(group, title, catalogue) for group, title in _TITLES.items()}
    added["reference/commands.md"] = _commands()
    names = [*catalogue.options("init"), *VIEWS]
    drawn, trained = pictures.pictures(names), pictures.trained()
    for name in names:
        page = _initializer(name, catalogue)
        if name in drawn:
            picture = f"{_file(name)[:-3]}.svg"
            page += f"\n\n![What {name} draws]({picture})\n\n{pictures.CAPTION}"
            files.append(File.generated(config, f"reference/initializers/{picture}", content=drawn[name]))
        if name in trained:
            page += f"\n\n## Where it trained\n\n{trained[name]}\n"
        added[f"reference/initializers/{_file(name)}"] = page
    for page in PAGES:
        added[page] = (TOP / page).read_text(encoding="utf-8")
    published = sorted((TOP / "results" / "published").glob("*.md"))
    for page in published:
        text = page.read_text(encoding="utf-8")
        title = "" if text.startswith("# ") else f"# {page.stem.replace('_', ' ')}\n\n"
        added[f"results/published/{page.name}"] = title + text
    added["gallery.md"] = _gallery(published)
    for source, text in added.items():
        files.append(File.generated(config, source, content=text))
    for figure in sorted((TOP / "results" / "published" / "figures").glob("*.png")):
        place = figure.relative_to(TOP).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Links of the repository as those of the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(here if here in PAGES or here.startswith("results/") else f"docs/{here}")

    def led(link: re.Match[str]) -> str:
        target, hash_, anchor = link[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        place = posixpath.normpath(posixpath.join(folder, target))
        if place.startswith(ELSEWHERE):
            return f"[`{place}`]" if link[1] == "](" else link[0]
        place = place.removeprefix("docs/")
        return f"{link[1]}{posixpath.relpath(place, posixpath.dirname(here) or '.')}{hash_}{anchor}{link[3]}"

    # Of a link that leads nowhere on the site its words stay.
    markdown = re.sub(r"\[([^\]]*)\]\(([^)#]+)[^)]*\)", lambda m: m[1] if _outside(folder, m[2]) else m[0], markdown)
    return re.sub(r'(\]\(|src=")([^)"]+)(\)|")', led, markdown)


def _outside(folder: str, target: str) -> bool:
    return posixpath.normpath(posixpath.join(folder, target)).startswith(ELSEWHERE)


def _group(group: str, title: str, catalogue: Catalogue) -> str:
    table = listing(group, catalogue)
    text = to_markdown([table])
    if group == "initializers" or group == "frameworks":
        names = {row[0] for row in table.rows}
        text = re.sub(
            r"^\| ([^|]+?) \|",
            lambda m: f"| [{m[1]}](initializers/{_file(m[1])}) |" if m[1] in names else m[0],
            text,
            flags=re.MULTILINE,
        )
    word = next((folder for name, (folder, *_) in GROUPS.items() if name == group), group)
    how = f"`initbench list {group}` prints this table, `initbench list NAME` one of its rows in full."
    return f"# {title}\n\n{how} What `{word}=` may be:\n\n{text}"


def _initializer(name: str, catalogue: Catalogue) -> str:
    blocks: list[Block] = []
    for block in entry("init", name, catalogue):
        if isinstance(block, Heading):
            continue
        if isinstance(block, Table) and not any(block.header):
            rows = [f"| {what} | {_linked(cell)} |" for what, cell in block.rows]
            head = "\n".join(["| | |", "| --- | --- |", *rows])
        else:
            blocks.append(block)
    return f"# {name}\n\n{head}\n\n{to_markdown(blocks)}"


def _linked(cell: str) -> str:
    return f"<{cell}>" if cell.startswith("https://") else cell.replace("|", "\\|")


def _commands() -> str:
    group: Any = typer.main.get_command(app)
    context = group.make_context("initbench", ["doctor"], resilient_parsing=True)
    parts = ["# Commands", f"```\n{group.get_help(context)}\n```"]
    for name, command in group.commands.items():
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        parts.append(f"## {name}\n\n```\n{command.get_help(inner)}\n```")
    return "\n\n".join(parts)


def _gallery(published: list[Path]) -> str:
    """Every published report, with what its answer is."""
    parts = ["# Gallery", "Published reports, each rendered from records that are published too; the commands are in"]
    parts[-1] += " [results](../results/README.md)."
    for page in published:
        text = page.read_text(encoding="utf-8")
        answer = text.split("## The answer\n\n")[1].split("\n\n")[0] if "## The answer" in text else ""
        parts.append(f"## {page.stem.replace('_', ' ')}\n\n{answer}\n\n[All of it](../results/published/{page.name})")
    figures = sorted((TOP / "results" / "published" / "figures").glob("*.png"))
    parts.append("## Figures")
    parts += [f"![{one.stem.replace('_', ' ')}](../results/published/figures/{one.name})" for one in figures]
    return "\n\n".join(parts)


def _file(name: str) -> str:
    return f"{name.replace('@', '-in-')}.md"
