"""The command line: reads arguments, calls the library, prints. Results on stdout, everything else on stderr."""

import io
import itertools
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from initbench.errors import InitbenchError, InputError, StorageError, unknown

if TYPE_CHECKING:
    from initbench.analysis.trials import Trials
    from initbench.experiment.plan import Plan
    from initbench.report.document import Options
    from initbench.report.output import Other

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which weight initialization should I use? Trains many small networks per initializer and reports "
    "per-run accuracy tables, beside the figures that well-known articles print.",
    epilog="Start with:  initbench reproduce",
)


Format = StrEnum("Format", ["rich", "markdown", "csv", "latex", "html"])
View = StrEnum("View", ["curves", "strips", "pairs", "lr", "depth", "activation", "across", "article", "all"])


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    """What could be written there."""
    from initbench.settings.completion import complete

    return complete(ctx.params.get("overrides") or [], incomplete, ctx.params.get("config_dir"))


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings, e.g. init=he activation=relu depth=2,10 seeds=10. A comma list is an axis of the sweep; "
        "range(), choice() and glob() work too. 'initbench list' shows the names.",
        autocompletion=_complete,
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
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan, what is done and what is to do, and stop.")]
ShowConfig = Annotated[bool, typer.Option("--config", help="Print the resolved settings of every cell and stop.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also tell where and how the training is done.")]
Multirun = Annotated[bool, typer.Option("--multirun", "-m", hidden=True)]


@app.command(epilog="Example:  initbench run init=he,xavier activation=relu,tanh depth=2,10 seeds=5")
def run(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    config: ShowConfig = False,
    verbose: Verbose = False,
    multirun: Multirun = False,
) -> None:
    """Train whatever of a sweep has no record yet, then print the per-run table.

    The same command again resumes, or says that there is nothing to do.
    """
    _run(overrides or [], config_dir, plugin or [], dry_run, config, verbose)


@app.command(epilog="Example:  initbench reproduce dataset=mnist")
def reproduce(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    plugin: Plugins = None,
    dry_run: DryRun = False,
    config: ShowConfig = False,
    verbose: Verbose = False,
    multirun: Multirun = False,
) -> None:
    """The articles' ten techniques, ten runs each, and the report: the main job, in one command."""
    _run(["experiment=d4", *(overrides or [])], config_dir, plugin or [], dry_run, config, verbose)


@app.command(epilog="Example:  initbench report dataset=mnist init=he,xavier --format markdown --out report.md")
def report(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDER] [KEY=VALUE]",
            help="A results folder (default: results), or two to compare; and filters: init=he,xavier depth=10.",
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="CSV is one row per trial; HTML has all views.")
    ] = Format.rich,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of printing.")] = None,
    by: Annotated[
        str, typer.Option(metavar="KEY", help="The setting whose values the columns compare, e.g. activation.")
    ] = "init",
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Test all others against this one (default: torch_default if there)."),
    ] = None,
    view: Annotated[list[View] | None, typer.Option(help="Show this too; may be repeated.")] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Validation accuracy that counts as trained (default: by data set).", min=0, max=1),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every figure there, as PNG and SVG.", file_okay=False)
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Read every record file anew.")] = False,
) -> None:
    """Tables of the records there are: one per setting, a column per technique, a row per run."""
    from initbench.analysis.trials import select, to_trials
    from initbench.records import columns
    from initbench.report import output
    from initbench.report.document import VIEWS, Options
    from initbench.settings.overrides import parse_filters
    from initbench.values import path

    wanted = parse_filters([text for text in what or [] if "=" in text])
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
            there = folder.is_dir()
        except OSError as error:
            raise StorageError(f"cannot read {folder}: {error.strerror or error}") from None
        if not there:
            raise InputError(f"there is no results folder {folder}; 'initbench reproduce' makes one")
    chosen = []
    for together in sets:
        loaded, damaged = columns.load(together, cached=not no_cache)
        _warn(damaged)
        if not len(loaded):
            shown = ", ".join(map(str, together))
            raise InputError(f"no records in {shown}; 'initbench reproduce results={together[0]}' makes some")
        chosen.append(select(to_trials(loaded, target), wanted))
    views = VIEWS if View.all in (view or ()) else tuple(view or ())
    options = Options(by=by, baseline=baseline, views=views)
    other = (chosen[1], (str(folders[0]), str(folders[1]))) if len(chosen) > 1 else None
    if figures is not None:
        output.figures(chosen[0], options, figures)
    _print_report(chosen[0], options, form, out, other)


@app.command("list", epilog="Example:  initbench list initializers")
def list_(
    group: Annotated[
        str | None,
        typer.Argument(
            help="initializers, frameworks (their names' laws), biases, activations, datasets, models, optimizers, "
            "protocols or experiments."
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
        only = {law for source in Catalogue.of(plugin).plugins for law in source.laws} if plugin else ()
        blocks, faults = certificates(only, catalogue)
    else:
        blocks, faults = [listing(name, catalogue) for name in ([names[group]] if group else GROUPS)], []
    with _stdout():
        to_terminal(blocks, Terminal())
    if faults:
        raise InputError(f"{len(faults)} certificate{'s' if len(faults) > 1 else ''} failed; the first: {faults[0]}")


def _run(
    overrides: Sequence[str],
    config_dir: Path | None,
    plugins: Sequence[Path],
    dry_run: bool,
    show_config: bool,
    verbose: bool,
) -> None:
    from initbench.analysis.trials import to_trials
    from initbench.experiment.plan import lines_of, plan
    from initbench.experiment.progress import say
    from initbench.records import columns
    from initbench.report.document import Options
    from initbench.settings.catalogue import Catalogue
    from initbench.settings.compose import compose
    from initbench.settings.request import request

    catalogue = Catalogue.of(plugins, config_dir)
    cells = compose(overrides, catalogue)
    asked = request(cells, catalogue)
    if show_config:
        import yaml

        shown = [{key: value for key, value in cell.items() if key != "options"} for cell in cells]
        with _stdout():
            print(yaml.safe_dump_all(shown, sort_keys=False, allow_unicode=True, default_flow_style=False), end="")
        return
    loaded, damaged = columns.load([asked.results], cached=False)
    _warn(damaged)
    planned = plan(asked, columns.done(loaded))
    if dry_run:
        with _stdout():
            print(*lines_of(planned), sep="\n")
        return
    if not planned.todo:
        say(f"nothing to train: all {len(planned.trials)} trials have their records in {asked.results}")
    # Under the tuned protocol what is to do next follows from what was done.
    while planned.todo:
        # What a user's model or law prints is no result.
        with redirect_stdout(sys.stderr):
            _train(planned, asked.device, asked.results, asked.experiment, verbose)
        loaded, _ = columns.load([asked.results], cached=False)
        trained, planned = planned.todo, plan(asked, columns.done(loaded))
        if {trial.key for trial in trained} & {trial.key for trial in planned.todo}:
            raise StorageError(f"records just written cannot be read back from {asked.results}")
    made = loaded.of([trial.key for trial in planned.trials])
    _print_report(to_trials(made), Options(), "rich", None)
    failed = made.numbers["error"][made.numbers["error"] >= 0]
    if len(failed):
        say(f"{len(failed)} of {len(made)} trials failed; the first: {made.errors[failed[0]]}")
        raise typer.Exit(3)


def _train(planned: "Plan", device_name: str, results: Path, experiment: str, verbose: bool) -> None:
    """Train what is to do; on a signal stop at once, and say how to go on."""
    from initbench import records
    from initbench.experiment import start as drawing
    from initbench.experiment import train as runner
    from initbench.experiment.plan import budget
    from initbench.experiment.progress import progress, say

    def stop(number: int, frame: object) -> NoReturn:
        raise _Stopped(number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        device = runner.find_device(device_name)
        _warn(drawing.check(planned.todo))
        todo = runner.chunks(planned.todo, device)
        n_steps = sum(map(runner.n_steps, todo))
        folder = results / experiment / "records"
        records.check_writable(folder)
        n_done = len(planned.trials) - len(planned.todo)
        for line in budget(planned):
            say(line)
        say(f"{len(planned.trials)} trials: {n_done} already done, {len(planned.todo)} to train on {device}")
        if verbose:
            for line in runner.how(todo, device):
                say(line)
        with progress(n_steps) as advance:
            for _ in runner.run(todo, device, folder, advance):
                pass
    except _Stopped as stopped:
        say("stopped; finished chunks are kept, the same command resumes")
        raise typer.Exit(128 + stopped.number) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Stopped(BaseException):
    """A signal asked the process to stop."""

    def __init__(self, number: int) -> None:
        self.number = number


def _print_report(
    trials: "Trials", options: "Options", form: str, out: Path | None, other: "Other | None" = None
) -> None:
    """On a terminal in colour and as wide as it is; else as text, to stdout or to a file."""
    from initbench.render.terminal import Terminal, to_terminal
    from initbench.report import output

    if form == "rich" and out is None:
        blocks = output.blocks(trials, options, other)
        with _stdout():
            to_terminal(blocks, Terminal())
        return
    text = output.report(trials, options, form, other)
    if out is None:
        with _stdout():
            sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}") from None


@contextmanager
def _stdout() -> Iterator[None]:
    """Whoever reads our stdout may close it early, as ``| head`` does: that is no error. A full disk is one."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        _drop(sys.stdout)
        raise StorageError(f"cannot write to stdout: {error.strerror or error}") from None


def _drop(stream: TextIO) -> None:
    """Forget what a stream still holds: the interpreter would fail to write it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _warn(lines: Sequence[str]) -> None:
    from initbench.experiment.progress import say

    for line in lines:
        say(line)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 complete, 2 bad input, 3 trials failed, 4 storage, 130 and 143 interrupted."""
    message = ""
    # Of a stream that is closed (>&-) Python makes None, and of a character that a stream has not an error.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = app(args=arguments, standalone_mode=False) or 0
    except InitbenchError as error:
        message, code = str(error), error.exit_code
    except MemoryError as error:
        message, code = f"not enough memory: {error or 'use smaller settings'}", InputError.exit_code
    except OSError as error:
        # Without a file it is a stream: the help's, which is not ours to print.
        message = f"{error.filename or 'cannot write to stdout'}: {error.strerror or error}"
        code = StorageError.exit_code
        _drop(sys.stdout)
    except TyperException as error:
        # Empty where the help was the answer; pydantic, which typer checks values with, adds words of its own.
        message, code = error.format_message().replace("Value error, ", ""), error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    try:
        if message:
            print(f"initbench: error: {message}", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)
    sys.exit(code)
