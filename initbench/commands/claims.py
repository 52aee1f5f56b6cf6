"""``initbench claims``: what articles and papers claim, with a verdict for each."""

from enum import StrEnum
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, Out, Plugins
from initbench.commands.console import format_of, print_document, print_lines
from initbench.commands.run import DryRun
from initbench.commands.stopping import resumable

Format = StrEnum("Format", ["rich", "markdown", "html", "json"])


def _complete(incomplete: str) -> list[str]:
    from initbench.claims.files import claims as known

    return [claim.id for claim in known() if claim.id.startswith(incomplete)]


@resumable()
def claims(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLAIM | KEY=VALUE]...",
            help="Claims by their ids, and settings, e.g. he_beats_xavier_relu dataset.root=DIR results=FOLDER.",
            autocompletion=_complete,
        ),
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Train and probe what has no record yet; resumable.")] = False,
    preset: Annotated[
        str, typer.Option(help="What all claims share: standard (MNIST, Fashion-MNIST), smoke (digits).")
    ] = "standard",
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: what --out ends in, else rich. Markdown and HTML have a section for each claim.",
        ),
    ] = None,
    out: Out = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """The ledger: what articles and papers claim of initializers, measured, with a verdict for each.

    A claim is a file, configs/claim/ID.yaml; yours goes into DIR/claim of --config-dir. Verdicts are of the whole
    ledger: those of one claim are adjusted for all.
    """
    from initbench.api.claims import ask, measure

    ids, asked = ask(words or [], preset, config_dir, plugin or [])
    part = asked.of(ids)
    if dry_run:
        from initbench.experiment.execute import planned
        from initbench.experiment.plan import totals
        from initbench.probing.run import plan_lines

        lines = [f"probes: {plan_lines(part.probed)[-1]}"] if part.probed else []
        print_lines([*lines, *(totals(planned(part.trained)[0]) if part.trained else [])])
        return
    failed = measure(part) if run else []

    from initbench.claims import document, ledger
    from initbench.experiment.progress import say

    found = ledger.read(asked, ids)
    for line in found.told:
        say(line)
    chosen = format_of(form, out, Format)
    detailed = bool(ids) or chosen in (Format.markdown, Format.html)
    print_document(
        chosen,
        out,
        lambda: document.document(found, preset, detailed),
        lambda: document.text(found, preset, chosen, detailed),
    )
    for line in failed:
        say(line)
    if failed:
        raise typer.Exit(3)
