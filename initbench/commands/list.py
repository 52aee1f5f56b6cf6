"""``initbench list``: what can be chosen."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initbench.commands.arguments import ConfigDir, Debug, Plugins
from initbench.commands.console import stdout
from initbench.errors import InputError
from initbench.render.blocks import Table

if TYPE_CHECKING:
    from initbench.render.blocks import Block


Format = StrEnum("Format", ["rich", "markdown", "json"])


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[GROUP | NAME]",
            help="initializers, frameworks (their names' laws), biases, activations, datasets, models, optimizers, "
            "protocols, executors, experiments, schemes or settings; or one name of these, to see it in full.",
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="JSON has every column, whatever the window.")] = Format.rich,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Draw every initializer, or with --plugin those of the file, and print the certificates: what was "
            "asked for and what came out.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """What can be chosen: names with formula, source and defaults."""
    from initbench.commands.entry import as_plain, entries, entry
    from initbench.commands.listing import GROUPS, certificates, listing
    from initbench.settings.catalogue import Catalogue

    names = {folder: name for name, (folder, *_) in GROUPS.items()} | {name: name for name in GROUPS}
    catalogue = Catalogue.of(plugin or [], config_dir)
    if check:
        if what is not None and names.get(what) != "initializers":
            raise InputError("only initializers have certificates; use 'initbench list initializers --check'")
        # Of packages' laws none is of a file.
        own = {law for source in catalogue.plugins if plugin and not source.is_package for law in source.laws}
        blocks, faults = certificates(own, catalogue)
        _print(blocks, {"certificates": [_rows(block) for block in blocks if isinstance(block, Table)]}, form)
        if faults:
            count = f"{len(faults)} certificate{'s' if len(faults) > 1 else ''}"
            raise InputError(f"{count} failed; the first: {faults[0]}")
        return
    if what is not None and what not in names:
        found = entries(what, catalogue)
        shown = [block for one in found for block in entry(*one, catalogue)]
        _print(shown, [as_plain(*one, catalogue) for one in found], form)
        return
    tables = {name: listing(name, catalogue) for name in ([names[what]] if what else GROUPS)}
    _print(list(tables.values()), {name: _rows(table) for name, table in tables.items()}, form)


def _rows(table: "Table") -> list[dict[str, str]]:
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def _print(blocks: "Sequence[Block]", plain: Any, form: str) -> None:
    from initbench.render.markdown import to_markdown
    from initbench.render.terminal import Terminal, to_terminal

    with stdout():
        if form == "json":
            print(json.dumps(plain, ensure_ascii=False, indent=1))
        elif form == "markdown":
            print(to_markdown(blocks), end="")
        else:
            to_terminal(blocks, Terminal())
