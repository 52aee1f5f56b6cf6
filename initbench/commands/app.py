"""The command line: reads arguments, calls the library, prints, and answers with an exit code."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from initbench.commands.claims import claims
from initbench.commands.console import drop, prepare
from initbench.commands.debugging import debugging, logged, show
from initbench.commands.diagnose import diagnose
from initbench.commands.doctor import doctor
from initbench.commands.list import list_
from initbench.commands.pack import pack, unpack
from initbench.commands.probe import probe
from initbench.commands.race import race
from initbench.commands.report import report
from initbench.commands.run import reproduce, run
from initbench.commands.status import status
from initbench.commands.stopping import stopped_line
from initbench.commands.verify import verify
from initbench.errors import InitbenchError, InputError, Stopped, StorageError
from initbench.printable import printable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which weight initialization should I use? Trains many small networks per initializer and reports "
    "per-run accuracy tables, beside the figures that well-known articles print.",
    epilog="Start with:  initbench reproduce",
)


app.command(epilog="Example:  initbench run init=he,xavier activation=relu,tanh depth=2,10 seeds=5")(run)
app.command(epilog="Example:  initbench reproduce dataset=mnist")(reproduce)
app.command(epilog="Example:  initbench report dataset=mnist init=he,xavier --format markdown --out report.md")(report)
app.command(epilog="Example:  initbench probe init=he,xavier,orthogonal activation=relu,tanh depth=50 --figures DIR")(
    probe
)
app.command(epilog="Example:  initbench claims he_beats_xavier_relu --run")(claims)
app.command(epilog="Example:  initbench diagnose model.py:build dataset=mnist --optimizer AdamW --lr 1e-3")(diagnose)
app.command(epilog="Example:  initbench race model.py:build dataset=mnist epochs=2 --minutes 10")(race)
app.command(epilog="Example:  initbench verify results init=he dataset.root=DIR --sample 10")(verify)
app.command(epilog="Example:  initbench doctor results")(doctor)
app.command(epilog="Example:  initbench status results")(status)
app.command(epilog="Example:  initbench pack results/run")(pack)
app.command(epilog="Example:  initbench unpack results/run")(unpack)
app.command("list", epilog="Example:  initbench list initializers")(list_)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 complete, 2 bad input, 3 trials failed, 4 storage, 128 + N signal N."""
    message = ""
    cause: BaseException | None = None
    debug = debugging(sys.argv[1:] if arguments is None else arguments)
    prepare()
    try:
        with logged(debug):
            code = app(args=arguments, standalone_mode=False) or 0
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
        message = said and f"error: {said}"
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
