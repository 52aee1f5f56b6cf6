"""``initbench race``: which initializer and learning rate to use for a model of your own."""

from enum import StrEnum
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, FiguresDir, Out, Overrides, Plugins
from initbench.commands.console import print_document
from initbench.commands.stopping import resumable

Format = StrEnum("Format", ["rich", "markdown", "html"])


@resumable()
def race(
    model: Annotated[
        str, typer.Argument(metavar="FILE.py:FUNCTION", help="Makes the module from (sample_shape, n_classes).")
    ],
    overrides: Overrides = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="In place of dataset=: a function that gives a pair of arrays, a Dataset or a DataLoader.",
        ),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME", help="What races against the model's own start; default: one of each family."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="The time it may take.")] = 10.0,
    alpha: Annotated[float, typer.Option(help="The chance that anyone leaves who is as good as the rest.")] = 0.05,
    form: Annotated[Format, typer.Option("--format", help="HTML has the figure.")] = Format.rich,
    out: Out = None,
    figures: FiguresDir = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Race initializers on a model of your own, each with learning rates of its own, until it is clear or time is up.

    Trials are kept: the same command again goes on.
    """
    from initbench.api.race import CANDIDATES
    from initbench.api.race import race as ran
    from initbench.api.subject import function
    from initbench.racing.document import text

    names = candidates.split(",") if candidates is not None else CANDIDATES
    ended = ran(
        model,
        *(overrides or []),
        data=function(data) if data is not None else None,
        candidates=names,
        minutes=minutes,
        alpha=alpha,
        config_dir=config_dir,
        plugins=plugin or (),
    )
    if figures is not None:
        from initbench.render.figures import write

        write(ended.document(), figures)
    print_document(form, out, ended.document, lambda: text(ended.document(), form, model))
