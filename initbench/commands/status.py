"""``initbench status``: how far work is that others do."""

from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import Debug
from initbench.commands.console import print_lines
from initbench.errors import InputError


def status(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]", help="Results folders; by default results.")
    ] = None,
    debug: Debug = False,
) -> None:
    """How far each request is: trials done, failed, running and waiting, how long it takes, and Slurm's jobs."""
    from initbench.experiment.status import status as lines

    for folder in folders or [Path("results")]:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}")
        print_lines(list(lines(folder)) or [f"nothing was asked for in {folder}"])
