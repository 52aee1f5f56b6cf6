"""``initbench probe``: what networks do before they are trained, beside theory."""

from enum import StrEnum
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, FiguresDir, Out, Overrides, Plugins
from initbench.commands.console import format_of, print_document, print_lines
from initbench.commands.run import DryRun, Multirun
from initbench.commands.stopping import resumable

Format = StrEnum("Format", ["rich", "markdown", "csv", "html"])


@resumable()
def probe(
    overrides: Overrides = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: what --out ends in, else rich. CSV is one row per number; HTML has the figures.",
        ),
    ] = None,
    out: Out = None,
    figures: FiguresDir = None,
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
    from initbench.probing.run import plan_lines
    from initbench.probing.run import probe as measure

    _, wanted = ask([overrides or []], config_dir, plugin or [])
    if dry_run:
        print_lines(plan_lines(wanted))
        return
    probes = measure(wanted)
    from initbench.probing import document

    if figures is not None:
        document.write_figures(probes, figures)
    chosen = format_of(form, out, Format)
    print_document(chosen, out, lambda: document.document(probes), lambda: document.text(probes, chosen))
    if any(record.outcome == "failed" for record in probes.records):
        raise typer.Exit(3)
