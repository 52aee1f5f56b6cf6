"""``initbench doctor``: whether initbench works here as it should, and whether results folders are whole."""

from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import Debug
from initbench.commands.console import stdout
from initbench.errors import InputError
from initbench.printable import printable


def doctor(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]", help="Results folders; by default results, where there is one."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Look at the installation, and read every record again, whatever is cached.

    Exits with 3 where something is not as it should be.
    """
    from initbench.experiment.examine import installation, results
    from initbench.records.store import is_pack

    for folder in folders or []:
        if not folder.is_dir() and not is_pack(folder):
            raise InputError(f"there is no folder {folder}")
    wanted = folders or [folder for folder in [Path("results")] if folder.is_dir()]
    n_wrong = 0
    with stdout():
        for part in (installation(), results(wanted) if wanted else ()):
            for found in part:
                n_wrong += found.wrong
                print(f"{'WRONG' if found.wrong else 'ok':<6} {found.what:<13} {printable(found.said)}", flush=True)
    if n_wrong:
        raise typer.Exit(3)
