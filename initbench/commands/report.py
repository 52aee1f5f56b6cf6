"""``initbench report``: tables and figures of the records there are."""

import itertools
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from initbench.commands.arguments import ConfigDir, Debug, FiguresDir, Out, Plugins
from initbench.commands.console import format_of, print_brief, print_report
from initbench.errors import InputError

Format = StrEnum("Format", ["rich", "markdown", "csv", "latex", "html", "parquet", "tensorboard", "mlflow", "wandb"])
View = StrEnum("View", ["curves", "strips", "pairs", "lr", "depth", "activation", "across", "article", "all"])


def report(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER] [KEY=VALUE]",
            help="A results folder (default: results), or two to compare; and filters: init=he,xavier depth=10.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Default: what --out ends in, else rich. CSV and Parquet are one row per trial; HTML has all views; "
            "for TensorBoard, MLflow and W&B --out is a folder, with a run per trial.",
        ),
    ] = None,
    out: Out = None,
    by: Annotated[
        str, typer.Option(metavar="KEY", help="The setting whose values the columns compare, e.g. activation.")
    ] = "init",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Test all others against this one (default: torch_default if there)."),
    ] = None,
    interest: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="The smallest difference that is of interest (default: the binomial standard error of the test set).",
            min=0,
        ),
    ] = None,
    view: Annotated[list[View] | None, typer.Option(help="Show this too; may be repeated.")] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Validation accuracy, or R², that counts as trained (default: by data set).", min=0, max=1),
    ] = None,
    figures: FiguresDir = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Take KEY=VALUE as 'run' does: the trials that this run asks for, and no others."),
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="On a terminal too every table, not the answer in a screenful.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the file that --out names.")] = False,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Read every record file anew.")] = False,
    debug: Debug = False,
) -> None:
    """Tables of the records there are: one per setting, a column per technique, a row per run.

    name=NAME takes the trials that the runs of this name asked for, wherever they were trained.
    """
    from initbench.api.load import check, read
    from initbench.experiment.progress import say
    from initbench.export.formats import EXPORTS, export
    from initbench.report import output
    from initbench.report.document import VIEWS, Options
    from initbench.settings.overrides import parse_filters
    from initbench.values import path

    texts = [text for text in what or [] if "=" in text]
    asked = None
    if exact:
        from initbench.api.run import ask

        _, asked = ask([texts], config_dir, plugin or [])
    wanted = parse_filters([text for text in texts if asked is None or text.startswith("results=")])
    folders = [Path(text) for text in what or [] if "=" not in text]
    if len(folders) > 2:
        raise InputError(f"two folders are compared, got {len(folders)}; results=A,B,C reports on all as one")
    if len(folders) == 2 and (baseline is not None or view or figures is not None):
        raise InputError("two folders are compared in a report of its own, without --baseline, --view and --figures")
    if folders and "results" in wanted:
        raise InputError(f"results= is for a report without a folder, and here is {folders[0]}; give one of them")
    named = wanted.pop("results", ["results"])
    if not isinstance(named, list):
        raise InputError("results must be folders, with commas between them: results=A,B; a pattern finds none")
    sets = [[folder] for folder in folders] or [[path("results", name) for name in named]]
    for folder in itertools.chain(*sets):
        try:
            check(folder)
        except InputError as error:
            from initbench.commands.mistyped import filter_meant

            meant = filter_meant(str(folder)) if folder in folders else ""
            if meant:
                raise InputError(f"there is no results folder {folder}; write {meant} for a filter") from error
            raise
    chosen = [read(one, wanted, target, asked, cached=not no_cache, tell=say) for one in sets]
    views = VIEWS if View.all in (view or ()) else tuple(view or ())
    options = Options(by=by, baseline=baseline, views=views, interest=interest)
    other = (chosen[1], (str(folders[0]), str(folders[1]))) if len(chosen) > 1 else None
    if figures is not None:
        output.figures(chosen[0], options, figures)
    written = format_of(form, out, Format)
    if open_ and out is None:
        raise InputError("--open opens the file that --out names; write --out report.html --open")
    if written == Format.parquet:
        if out is None or other is not None:
            raise InputError("Parquet is one row per trial in a file; write --out trials.parquet, and one folder")
        output.write(output.parquet(chosen[0]), out)
        say(f"wrote {out}")
        return
    if written in EXPORTS:
        if out is None or other is not None:
            raise InputError(f"{written} reads a folder of runs; write --out FOLDER, and one folder of results")
        from initbench import records

        shown = export(written, chosen[0], records.load(sets[0]), out)
        say(f"wrote {out}; {shown}")
        return
    asked_more = full or form or out or by != "init" or baseline or views or interest is not None or other
    if not asked_more:
        print_brief(chosen[0], options, ", ".join(str(folder) for folder in sets[0]), what or [])
        return
    print_report(chosen[0], options, written, out, other)
    if open_ and out is not None:
        typer.launch(out.absolute().as_uri())
