"""The command line: reads arguments, calls the library, prints, and answers with an exit code."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from initbench.commands.claims import claims
from initbench.commands.console import drop, prepare
from initbench.commands.debugging import debugging, logged, show
from initbench.commands.diagnose import diagnose
from initbench.commands.doctor import doctor
from initbench.commands.help import Command, Commands, Trains
from initbench.commands.list import list_
from initbench.commands.pack import pack, unpack
from initbench.commands.probe import probe
from initbench.commands.race import race
from initbench.commands.report import report
from initbench.commands.run import reproduce, run
from initbench.commands.status import status
from initbench.commands.stopping import stopped_line
from initbench.commands.submit import submit
from initbench.commands.verify import verify
from initbench.errors import InitbenchError, InputError, Stopped, StorageError
from initbench.printable import printable
from initbench.version import __version__

app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"initbench {__version__}")
        raise typer.Exit


@app.callback()
def initbench(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which weight initialization should I use?

    Trains many small networks per initializer and reports per-run accuracy tables with the statistics to say what
    differs, beside the figures that well-known articles print.
    """


_EXAMPLES: dict[Callable[..., None], str] = {
    run: "run init=he,xavier activation=relu,tanh depth=2,10 seeds=5",
    reproduce: "reproduce dataset=mnist",
    report: "report dataset=mnist init=he,xavier --out report.md",
    probe: "probe init=he,xavier,orthogonal activation=relu,tanh depth=50 --figures DIR",
    claims: "claims he_beats_xavier_relu --run",
    diagnose: "diagnose model.py:build dataset=mnist --optimizer AdamW --lr 1e-3",
    race: "race model.py:build dataset=mnist epochs=2 --minutes 10",
    verify: "verify results init=he dataset.root=DIR --sample 10",
    doctor: "doctor results",
    status: "status results",
    pack: "pack results/run",
    unpack: "unpack results/run",
    submit: "submit mine.py dataset=mnist depth=2,10 --out submission",
    list_: "list initializers",
}
for _function, _example in _EXAMPLES.items():
    app.command(
        _function.__name__.rstrip("_"),
        cls=Trains if _function in (run, reproduce) else Command,
        epilog=f"Example:  initbench {_example}",
    )(_function)


def _meant(error: TyperException, typed: Sequence[str]) -> str:
    """What an option that there is not should have been, where that is known."""
    name, context = getattr(error, "option_name", ""), getattr(error, "ctx", None)
    if not name or context is None or not error.format_message().startswith("No such option"):
        return ""
    from initbench.commands.mistyped import option

    known = [spelling for parameter in context.command.params for spelling in parameter.opts]
    meant = option(name, typed, known)
    return f"; write {meant}" if meant else ""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 complete, 2 bad input, 3 trials failed, 4 storage, 128 + N signal N."""
    message = ""
    cause: BaseException | None = None
    typed = sys.argv[1:] if arguments is None else arguments
    debug = debugging(typed)
    prepare()
    try:
        with logged(debug):
            code = app(args=typed, standalone_mode=False, prog_name="initbench") or 0
    except InitbenchError as error:
        message, code, cause = f"error: {error}", error.exit_code, error
    except MemoryError as error:
        message = f"error: not enough memory: {error or 'use smaller settings'}"
        code, cause = InputError.exit_code, error
    except OSError as error:
        # Without a file it is a stream: the help's, which is not ours to print.
        message = f"error: {error.filename or 'cannot write to stdout'}: {error.strerror or error}"
        code, cause = StorageError.exit_code, error
        drop(sys.stdout)
    except TyperException as error:
        # Empty where the help was the answer; pydantic, which typer checks values with, adds words of its own.
        said, code = error.format_message().replace("Value error, ", ""), error.exit_code
        message = said and f"error: {said}{_meant(error, typed)}"
    except Stopped as stopped:
        message, code = stopped_line(stopped), stopped.exit_code
        # Whoever reads our results may have stopped reading, and what is left of them would wait for him.
        drop(sys.stdout)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if debug and cause is not None:
        show(cause)
    try:
        if message:
            print(f"initbench: {printable(message)}", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        drop(sys.stderr)
    sys.exit(code)
