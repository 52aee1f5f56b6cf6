"""``initbench status``: how far work is that others do."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import Debug
from initbench.commands.console import print_lines
from initbench.errors import InputError

_SECONDS_BETWEEN_LOOKS = 2.0


def status(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]", help="Results folders; by default results.")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Look again every two seconds until all is done."),
    ] = False,
    debug: Debug = False,
) -> None:
    """How far each request is: trials done, failed, running and waiting, how long it takes, and Slurm's jobs."""
    from initbench.experiment.status import status as of

    there = folders or [Path("results")]
    for folder in there:
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}")

    def look() -> tuple[list[str], int]:
        found = [(folder, of(folder)) for folder in there]
        lines = [line for folder, one in found for line in one.lines or (f"nothing was asked for in {folder}",)]
        return lines, sum(one.n_left for _, one in found)

    lines, n_left = look()
    if not watch:
        print_lines(lines)
        return
    with _shown(lines) as show:
        while n_left:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            lines, n_left = look()
            show(lines)


@contextmanager
def _shown(lines: Sequence[str]) -> Iterator[Callable[[Sequence[str]], None]]:
    """A terminal shows the lines in place of those before; elsewhere those are printed that are new."""
    from rich.live import Live
    from rich.text import Text

    from initbench.printable import printable
    from initbench.render.terminal import Terminal

    console = Terminal()
    if console.is_terminal:
        with Live(Text("\n".join(map(printable, lines))), console=console, auto_refresh=False) as live:
            yield lambda found: live.update(Text("\n".join(map(printable, found))), refresh=True)
        return
    before = set(lines)
    print_lines(lines)

    def show(found: Sequence[str]) -> None:
        nonlocal before
        if fresh := [line for line in found if line not in before]:
            print_lines(fresh)
        before = set(found)

    yield show
