"""``initbench pack`` and ``initbench unpack``: a folder's records in one compressed file, and out of it again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.commands.arguments import Debug
from initbench.commands.console import stdout
from initbench.printable import printable

if TYPE_CHECKING:
    from initbench.records.packing import Packed


def pack(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A results folder, or one of its folders.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write NAME.records.tar.xz there instead, and remove nothing."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Pack all record files of a folder into one, a tenth of their size; every command reads it as it reads them.

    They are removed after the pack was read back and compared. Exits with 3 where something damaged stays as it was.
    """
    from initbench.records import packing

    _tell("packed", packing.pack(folder, out))


def unpack(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder with packs, or a pack.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the files there instead, and remove nothing.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write the record files of packs again, byte for byte.

    A pack is removed after its files were read back and compared. One that is damaged gives what is left, and stays.
    """
    from initbench.records import packing

    _tell("unpacked", packing.unpack(path, out))


def _tell(what: str, done: "Sequence[Packed]") -> None:
    from initbench.experiment.progress import say

    with stdout():
        for one in done:
            sizes = f"{one.plain / 1e6:.1f} MB, packed {one.packed / 1e6:.1f} MB"
            print(printable(f"{what} {one.path}: {len(one.names)} files, {sizes}"))
    lines = [line for one in done for line in one.stay]
    for line in lines:
        say(line)
    if lines:
        raise typer.Exit(3)
