"""``initbench list``: what can be chosen."""

from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, Plugins
from initbench.commands.console import stdout
from initbench.errors import InputError, unknown


def list_(
    group: Annotated[
        str | None,
        typer.Argument(
            help="initializers, frameworks (their names' laws), biases, activations, datasets, models, optimizers, "
            "protocols, executors, experiments, schemes or settings."
        ),
    ] = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Draw every initializer, or with --plugin those of the file, and print the certificates: what was "
            "asked for and what came out.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """What can be chosen: names with formula, source and defaults."""
    from initbench.commands.listing import GROUPS, certificates, listing
    from initbench.render.terminal import Terminal, to_terminal
    from initbench.settings.catalogue import Catalogue

    names = {folder: name for name, (folder, *_) in GROUPS.items()} | {name: name for name in GROUPS}
    if group is not None and group not in names:
        raise unknown("group", group, GROUPS)
    catalogue = Catalogue.of(plugin or [], config_dir)
    if check:
        if group is not None and names[group] != "initializers":
            raise InputError("only initializers have certificates; use 'initbench list initializers --check'")
        # Of packages' laws none is of a file.
        own = {law for source in catalogue.plugins if plugin and not source.is_package for law in source.laws}
        blocks, faults = certificates(own, catalogue)
    else:
        blocks, faults = [listing(name, catalogue) for name in ([names[group]] if group else GROUPS)], []
    with stdout():
        to_terminal(blocks, Terminal())
    if faults:
        raise InputError(f"{len(faults)} certificate{'s' if len(faults) > 1 else ''} failed; the first: {faults[0]}")
