"""``initbench run`` and ``initbench reproduce``: train what is missing, then print the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from initbench.commands.arguments import ConfigDir, Debug, Overrides, Plugins
from initbench.commands.console import print_brief, print_lines, ready_to_print, stdout
from initbench.commands.stopping import resumable
from initbench.printable import printable_lines

if TYPE_CHECKING:
    from initbench.experiment.execute import Retry

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, what is done and what is to do, and stop.")]
ShowConfig = Annotated[bool, typer.Option("--config", help="Print the resolved settings of every cell and stop.")]
Again = Annotated[
    str | None, typer.Option("--retry", metavar="failed", help="Train again what could not be trained before.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Submit to executor=slurm and do not wait; the same command collects.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also tell where and how the training is done.")]
Multirun = Annotated[bool, typer.Option("--multirun", "-m", hidden=True)]


def run(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    config: ShowConfig = False,
    verbose: Verbose = False,
    retry: Again = None,
    detach: Detach = False,
    multirun: Multirun = False,
    debug: Debug = False,
) -> None:
    """Train whatever of a sweep has no record yet, then print the per-run table.

    The same command again resumes, or says that there is nothing to do.
    """
    _run(overrides or [], config_dir, plugin or [], dry_run, config, verbose, retry, detach)


def reproduce(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    config: ShowConfig = False,
    verbose: Verbose = False,
    retry: Again = None,
    detach: Detach = False,
    multirun: Multirun = False,
    debug: Debug = False,
) -> None:
    """The articles' ten techniques, ten runs each, and the report: the main job, in one command."""
    _run(["experiment=d4", *(overrides or [])], config_dir, plugin or [], dry_run, config, verbose, retry, detach)


@resumable()
def _run(
    overrides: Sequence[str],
    config_dir: Path | None,
    plugins: Sequence[Path],
    dry_run: bool,
    show_config: bool,
    verbose: bool,
    retry: str | None,
    detach: bool,
) -> None:
    from initbench.api.run import ask, failures, train
    from initbench.experiment.duration import about
    from initbench.experiment.execute import planned
    from initbench.experiment.executors import Detached
    from initbench.experiment.plan import lines_of
    from initbench.experiment.progress import say
    from initbench.experiment.reasons import reasons
    from initbench.report.document import Options

    # Whether there is such a thing is said where it is done.
    again = cast("Retry | None", retry)
    cells, wanted = ask([overrides], config_dir, plugins)
    if show_config:
        import yaml

        from initbench.settings.schema import own_value

        shown = [
            {key: own_value(key, cell) if value is None else value for key, value in cell.items() if key != "options"}
            for cell in cells
        ]
        text = yaml.safe_dump_all(shown, sort_keys=False, allow_unicode=True, default_flow_style=False)
        if text != printable_lines(text):
            # YAML's own spelling of what cannot be shown.
            text = yaml.safe_dump_all(shown, sort_keys=False, default_flow_style=False)
        with stdout():
            print(text, end="")
        return
    if dry_run:
        now, there = planned(wanted, retry=again)
        lasts = about(now.todo, wanted.results)
        print_lines([*lines_of(now, reasons(now, there.cells)), *([lasts] if lasts else [])])
        return
    try:
        results = train(wanted, verbose=verbose, retry=again, meanwhile=ready_to_print, detach=detach)
    except Detached:
        say("the same command collects what is done; initbench status tells how far it is")
        return
    words = [] if str(wanted.results) == "results" else [str(wanted.results)]
    print_brief(results.trials, Options(), str(wanted.folder.parent), words)
    failed = failures(results)
    for line in failed:
        say(line)
    if failed:
        raise typer.Exit(3)
