"""``initbench probe``: what networks do before they are trained, beside theory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, Overrides, Plugins
from initbench.commands.console import stdout
from initbench.commands.run import DryRun, Multirun
from initbench.commands.stopping import resumable

Format = StrEnum("Format", ["rich", "markdown", "csv", "html"])


@resumable()
def probe(
    overrides: Overrides = None,
    form: Annotated[
        Format, typer.Option("--format", help="CSV is one row per number; HTML has the figures.")
    ] = Format.rich,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of printing.")] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every figure there, as PNG and SVG.", file_okay=False)
    ] = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    multirun: Multirun = False,
    debug: Debug = False,
) -> None:
    """What networks do before any training: signals, gradients, units and loss, layer by layer, beside theory.

    Takes what 'run' takes. Probes are kept beside the records: the same command again measures nothing.
    """
    from initbench.api.run import ask
    from initbench.printable import printable
    from initbench.probing.run import plan_lines
    from initbench.probing.run import probe as measure

    _, wanted = ask([overrides or []], config_dir, plugin or [])
    if dry_run:
        lines = plan_lines(wanted)
        with stdout():
            print(*map(printable, lines), sep="\n")
        return
    probes = measure(wanted)
    from initbench.probing import document
    from initbench.render.terminal import Terminal, to_terminal
    from initbench.report import output

    if figures is not None:
        document.write_figures(probes, figures)
    if out is not None:
        output.write(document.text(probes, form), out)
    else:
        blocks = document.document(probes) if form is Format.rich else []
        with stdout():
            if form is Format.rich:
                to_terminal(blocks, Terminal())
            else:
                print(document.text(probes, form), end="")
    if any(record.outcome == "failed" for record in probes.records):
        raise typer.Exit(3)
