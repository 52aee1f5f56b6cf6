"""``initbench.run``: plan, train what is missing, and return the results; the command line's work, in Python."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from initbench.analysis.trials import to_trials
from initbench.api.keywords import command_lines, one_or_more
from initbench.api.results import Results
from initbench.errors import InputError
from initbench.experiment.execute import Retry, Say, execute
from initbench.experiment.progress import say
from initbench.settings.catalogue import Catalogue, Plain
from initbench.settings.compose import compose
from initbench.settings.request import Request, request


def run(
    *overrides: str,
    settings: Mapping[str, Any] | None = None,
    config_dir: str | Path | None = None,
    plugins: str | Path | Iterable[str | Path] = (),
    quiet: bool = False,
    retry: Retry | None = None,
    **more: Any,
) -> Results:
    """Train whatever of a sweep has no record yet, and return all of it.

    ``initbench.run(init=["he", "xavier"], depth=[2, 10], seeds=3)`` is ``initbench run init=he,xavier depth=2,10
    seeds=3``. Records are kept in the folder ``results``, as those of the command line: a trial is trained once, and
    the same call again reads it. After an interruption the same call goes on.

    Settings are keywords: ``dataset``, ``init``, ``activation``, ``model``, ``depth``, ``width``, ``optimizer``,
    ``lr``, ``epochs``, ``seeds``, ``device``, ``results`` and the others of ``initbench list settings``. A value is

    * one value: ``depth=10``, ``init_output=None``, ``results=Path("mine")``;
    * a list, a range or an array, an axis of the sweep: ``depth=[2, 10]``; but ``seeds=[3, 7]`` is those two seeds;
    * a tuple, one value that is a list: ``width=(64, 32)``;
    * a mapping, an option with its parameters: ``init={"name": "gaussian", "std": [0.05, 0.5]}``,
      ``optimizer={"momentum": 0.5}``; in a list of options too: ``init=["he", {"name": "gaussian", "std": 0.05}]``.

    Args:
        overrides: settings as the command line has them: ``"init=glob(he*)"``. Keywords win over them.
        settings: more settings, by names that are no keywords: ``{"optimizer.momentum": [0.5, 0.9]}``.
        config_dir: a folder of your own with config groups.
        plugins: a Python file with initializers of your own, or several.
        quiet: say nothing and show no progress.
        retry: ``"failed"``: train again what could not be trained before.
        more: settings by keyword.

    Raises:
        InputError: a setting, a name or a value that there is not, or something that cannot be trained here.
        StorageError: the results folder cannot be read or written.
    """
    for text in overrides:
        if not isinstance(text, str):
            raise InputError(f"an override must be a text such as 'init=he'; got {type(text).__name__}")
    lines = [[*overrides, *line] for line in command_lines(settings or {}, more)]
    _, wanted = ask(lines, config_dir, one_or_more(plugins))
    tell: Say = silent if quiet else say
    results = train(wanted, tell, quiet=quiet, retry=retry)
    for line in failures(results):
        tell(line)
    return results


def ask(
    lines: Sequence[Sequence[str]], config_dir: str | Path | None = None, plugins: Iterable[str | Path] = ()
) -> tuple[list[Plain], Request]:
    """What some command lines ask for together: their cells as composed, and the request that is made of them.

    Raises:
        InputError: a setting, a name or a value that there is not.
    """
    catalogue = Catalogue.of(plugins, config_dir)
    cells = [cell for line in lines for cell in compose(line, catalogue)]
    return cells, request(cells, catalogue)


def train(
    request: Request,
    tell: Say = say,
    verbose: bool = False,
    quiet: bool = False,
    retry: Retry | None = None,
    meanwhile: Callable[[], object] = lambda: None,
    detach: bool = False,
) -> Results:
    """Train whatever of a request has no record yet, and return all of it: :func:`execute`, with its arguments.

    Raises:
        InputError: what is asked for cannot be trained here.
        Detached: it is trained elsewhere, and not waited for.
        StorageError: the results folder cannot be read or written.
    """
    executed = execute(
        request, tell=tell, verbose=verbose, quiet=quiet, retry=retry, meanwhile=meanwhile, detach=detach
    )
    return Results(to_trials(executed.columns))


def failures(results: Results) -> list[str]:
    """A line for the user where some trials could not be trained, with the reason of the first."""
    errors = results.errors
    return [f"{len(errors)} of {len(results)} trials failed; the first: {errors[0]}"] if errors else []


def silent(line: str) -> None:
    """Says nothing."""
