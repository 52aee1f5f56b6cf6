"""Arguments that several commands take, and how a shell completes them."""

from pathlib import Path
from typing import Annotated

import typer


def complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """What could be written there."""
    from initbench.settings import completion

    return completion.complete(ctx.params.get("overrides") or [], incomplete, ctx.params.get("config_dir"))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings, e.g. init=he activation=relu depth=2,10 seeds=10. A comma list is an axis of the sweep; "
        "range(), choice() and glob() work too. 'initbench list' shows the names.",
        autocompletion=complete,
    ),
]
ConfigDir = Annotated[
    Path | None,
    typer.Option(
        help="A folder of your own with config groups, e.g. DIR/init/mine.yaml.", exists=True, file_okay=False
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE.py", help="Initializers of your own: functions (shape, rng, *, ...) -> array."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Write to this file instead of printing; its ending says the format: .html, .md, .csv, .tex."),
]
FiguresDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Write every figure there, as PNG and SVG.", file_okay=False)
]
# Read by main(), before anything can fail.
Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show the whole traceback of an error, and what is done (also: INITBENCH_DEBUG=1)."),
]
