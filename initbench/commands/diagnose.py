"""``initbench diagnose``: what is wrong with the initialization of a model of your own."""

from enum import StrEnum
from typing import Annotated

import typer

from initbench.commands.arguments import Debug, Out
from initbench.commands.console import print_document

Format = StrEnum("Format", ["rich", "markdown", "html", "json"])


def diagnose(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A function that makes the module: FILE.py:FUNCTION, or package.module:FUNCTION of something "
            "installed (torchvision.models:resnet18). One of two parameters gets sample shape and number of classes.",
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="The data, as of 'run': dataset=mnist, dataset.root=DIR, batch_size=N.",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:FUNCTION",
            help="A function that gives what the module is called with: a tensor, a tuple of arguments or a mapping of "
            "keywords; or a pair of that and the target. Without it: a function 'batch' of the model's file.",
        ),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="No data: normal numbers of this shape, 32 samples of them.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cross_entropy, mse, bce, or FILE.py:FUNCTION of output and target. Without it: by the target.",
        ),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its first step is looked at: a class of torch.optim, as AdamW.")
    ] = None,
    lr: Annotated[float, typer.Option(help="Of the optimizer.")] = 1e-3,
    width: Annotated[
        str | None,
        typer.Option(metavar="64,128,256", help="Sizes for the function's keyword 'width': what changes with them."),
    ] = None,
    depth: Annotated[str | None, typer.Option(metavar="2,4,8", help="Likewise for 'depth'.")] = None,
    notes: Annotated[bool, typer.Option("--notes", help="Tell also what is only worth knowing.")] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also what was measured of each layer; a page has it always.")
    ] = False,
    form: Annotated[Format, typer.Option("--format")] = Format.rich,
    out: Out = None,
    debug: Debug = False,
) -> None:
    """What is wrong with a model's initialization before its first step, which layer it is due to, what to write.

    Exits with 0 where nothing is wrong, and with 3 where something is.
    """
    from initbench.api.subject import Asked, diagnosed, whole_numbers
    from initbench.diagnosis.document import document, layers_of, text
    from initbench.experiment.apart import apart

    given = {"width": width, "depth": depth}
    sizes = {name: whole_numbers(f"--{name}", value) for name, value in given.items() if value is not None}
    found = apart(model, diagnosed, Asked(model, tuple(settings or ()), batch, shape, loss, optimizer, lr, sizes))
    measured = found.layers is not None and (layers or form == "html")
    more = layers_of(found.layers.table(), found.layers.layers) if found.layers is not None and measured else []
    print_document(
        form,
        out,
        lambda: [*document(found.findings, notes), *more],
        lambda: text(found.findings, notes, form, model, more),
    )
    if found.wrong:
        raise typer.Exit(3)
