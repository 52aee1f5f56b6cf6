"""``initbench verify``: recorded trials trained again, and held to their records."""

from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, Plugins
from initbench.commands.console import print_lines
from initbench.errors import InputError


def verify(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER] [KEY=VALUE]",
            help="Results folders (default: results); filters as of a report: init=he,xavier depth=10; and where data "
            "and code are here: dataset.root=DIR, dataset.path=FILE, model.path=FILE.py:FUNCTION.",
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(metavar="N", help="How many trials, spread over the settings; the same ones each time.", min=1),
    ] = 20,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Train recorded trials again, and compare the weights with the records.

    Exits with 0 where initial weights, final weights and counts are equal, and with 3 where some differ.
    """
    from initbench.api.verify import divided, verified
    from initbench.experiment.progress import say
    from initbench.experiment.verify import lines_of, skipped_lines
    from initbench.settings.catalogue import Catalogue
    from initbench.settings.overrides import parse_filters
    from initbench.values import path

    texts = what or []
    places, filters = divided(text for text in texts if "=" in text)
    wanted = parse_filters(filters)
    folders = [Path(text) for text in texts if "=" not in text]
    if folders and "results" in wanted:
        raise InputError(f"results= is for a command without a folder, and here is {folders[0]}; give one of them")
    named = wanted.pop("results", ["results"])
    if not isinstance(named, list):
        raise InputError("results must be folders, with commas between them: results=A,B; a pattern finds none")
    folders = folders or [path("results", name) for name in named]
    found = verified(folders, wanted, places, sample, Catalogue.of(plugin or [], config_dir))
    for line in skipped_lines(found):
        say(line)
    if all(one.again is None for one in found):
        raise InputError(f"none of {len(found)} trials can be trained here; the first: {found[0].reason}")
    print_lines(lines_of(found))
    if any(one.differing for one in found):
        raise typer.Exit(3)
