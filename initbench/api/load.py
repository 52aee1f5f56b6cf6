"""``initbench.load``: the results in folders; for ``initbench report`` too. Needs no torch."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.analysis.trials import Trials, Wanted, select, to_trials
from initbench.api.results import Results
from initbench.errors import InputError, StorageError
from initbench.printable import printable
from initbench.records import index
from initbench.records.store import is_pack

if TYPE_CHECKING:
    from initbench.settings.request import Request


def load(*folders: str | Path, filters: str | Iterable[str] = (), target: float | None = None, **more: Any) -> Results:
    """The results in some folders (default: ``results``), without training anything.

    ``initbench.load("results", init=["he", "xavier"], depth=10)`` are those of them that ``select`` gives,
    ``initbench.load(name="pilot")`` those that the runs of this name asked for, wherever they were trained.

    Args:
        folders: results folders, merged.
        filters: as on the command line: ``"init=glob(he*)"``.
        target: the validation accuracy or R² that counts as trained; None: by data set.
        more: settings, with a value or a list of them for each.

    Warns:
        UserWarning: a file cannot be used, or records disagree; the others are read.

    Raises:
        InputError: a folder that is not there or has no records, or a selection that leaves nothing.
        StorageError: a folder or a file that cannot be read.
    """
    from initbench.api.keywords import filters_of, one_or_more

    wanted = filters_of(one_or_more(filters), more)
    return Results(read([Path(folder) for folder in folders or ("results",)], wanted, target, tell=_warn))


def read(
    folders: Sequence[Path],
    wanted: Mapping[str, Wanted],
    target: float | None = None,
    request: "Request | None" = None,
    cached: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Trials:
    """The trials in some folders that pass all filters.

    Args:
        folders: results folders.
        wanted: the filters; ``name`` stands for what the runs of this name asked for.
        target: the validation accuracy or R² that counts as trained; None: by data set.
        request: only what it asks for.
        cached: read the cache where it holds.
        tell: takes a line for everything that is passed over, and for records that disagree.

    Raises:
        InputError: a folder that is not there or has no records, or filters that leave nothing.
        StorageError: a folder or a file that cannot be read.
    """
    for folder in folders:
        check(folder)
    columns, told = index.load(folders, cached=cached)
    for line in told:
        tell(line)
    if not len(columns):
        shown = ", ".join(map(str, folders))
        raise InputError(f"no records in {shown}; 'initbench reproduce results={folders[0]}' makes some")
    names = wanted.get("name", [])
    if not isinstance(names, Sequence):
        raise InputError("name must be that of a run, or several; a pattern finds none")
    if request is not None or names:
        from initbench.experiment.requests import exactly, kept

        requests = [one for name in names for folder in folders for _, one in kept(folder, str(name))]
        columns = exactly(requests if request is None else [request], columns)
        if not len(columns):
            raise InputError("nothing of this is trained yet; 'initbench run' with the same settings trains it")
    trials, filters = to_trials(columns, target), {key: values for key, values in wanted.items() if key != "name"}
    found = select(trials, filters)
    for key, values in filters.items():
        absent = [value for value in values if not _any(trials, key, value)] if isinstance(values, Sequence) else []
        if absent:
            tell(f"no records with {key}={','.join(map(str, absent))}; the report is on the others")
    return found


def _any(trials: Trials, key: str, value: Any) -> bool:
    try:
        return len(select(trials, {key: [value]})) > 0
    except InputError:
        return False


def check(folder: Path) -> None:
    """Refuse a results folder that is not there."""
    try:
        there = folder.is_dir() or is_pack(folder)
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error
    if not there:
        raise InputError(f"there is no results folder {folder}; 'initbench reproduce' makes one")


def _warn(line: str) -> None:
    warnings.warn(printable(line), UserWarning, stacklevel=4)
