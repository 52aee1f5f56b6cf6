"""``initbench.run``: plan, train what is missing, and return the results; the command line's work, in Python."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from initbench.analysis.trials import to_trials
from initbench.api.results import Results
from initbench.errors import InputError
from initbench.experiment.execute import execute
from initbench.experiment.progress import say
from initbench.settings.catalogue import Catalogue
from initbench.settings.commandline import written
from initbench.settings.compose import compose
from initbench.settings.request import request

# Settings whose list is a value and no sweep.
_LISTS = ("seeds",)


def run(
    *overrides: str,
    config_dir: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    quiet: bool = False,
    **settings: Any,
) -> Results:
    """Train whatever of a sweep has no record yet, and return all of it.

    ``initbench.run(init=["he", "xavier"], depth=[2, 10], seeds=3)`` is ``initbench run init=he,xavier depth=2,10
    seeds=3``: a list is an axis of the sweep, a tuple is one value that is a list (``width=(64, 32)``). Settings of an
    option stand beside its name: ``init={"name": "gaussian", "std": [0.05, 0.5]}``. Records are kept in the folder
    ``results``, as those of the command line, and are trained once.

    Args:
        overrides: further settings as the command line has them, such as ``"init=glob(he*)"``.
        config_dir: a folder of your own with config groups.
        plugins: Python files with initializers of your own.
        quiet: say nothing and show no progress.
        settings: of ``initbench list settings``.

    Raises:
        InputError: a setting, a name or a value that there is not, or something that cannot be trained here.
        StorageError: the results folder cannot be read or written.
    """
    catalogue = Catalogue.of(plugins, config_dir)
    texts = [text for name, value in settings.items() for text in texts_of(name, value)]
    asked = request(compose([*overrides, *texts], catalogue), catalogue)
    made = execute(asked, tell=(lambda line: None) if quiet else say, quiet=quiet)
    return Results(to_trials(made.columns))


def texts_of(name: str, value: Any) -> list[str]:
    """One setting as overrides: of an option its name, then its parameters.

    Raises:
        InputError: a mapping of an axis, which cannot be swept.
    """
    if isinstance(value, Mapping):
        inner = dict(value)
        own = texts_of(name, inner.pop("name")) if "name" in inner else []
        return own + [text for key, part in inner.items() for text in texts_of(f"{name}.{key}", part)]
    if isinstance(value, range):
        value = list(value)
    if isinstance(value, list) and name not in _LISTS:
        if not value:
            raise InputError(f"{name} is an empty list; give one value or several")
        if any(isinstance(item, Mapping) for item in value):
            raise InputError(f"{name}: a list of mappings is no axis; write {name}={{'name': …, 'std': [0.1, 0.2]}}")
        return [f"{name}={','.join(map(_text, value))}"]
    return [f"{name}={_text(value)}"]


def _text(value: Any) -> str:
    if isinstance(value, Path):
        return written(str(value))
    # A number of NumPy as Python's own.
    return written(value.item() if hasattr(value, "item") else value)
