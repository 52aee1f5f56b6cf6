"""``initbench.verify``: recorded trials trained again, and held to their records, as on the command line."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from initbench.analysis.trials import Wanted
from initbench.api.keywords import filters_of, one_or_more
from initbench.api.load import read
from initbench.api.run import silent
from initbench.errors import InputError
from initbench.experiment.execute import Say
from initbench.experiment.progress import say
from initbench.experiment.verify import Verified, sampled
from initbench.experiment.verify import verify as train_and_compare
from initbench.settings.catalogue import Catalogue
from initbench.settings.overrides import parse_filters
from initbench.settings.recorded import PLACES
from initbench.values import whole

# How many trials are trained again where nobody says.
SAMPLE = 20


def verify(
    *folders: str | Path,
    filters: str | Iterable[str] = (),
    sample: int = SAMPLE,
    config_dir: str | Path | None = None,
    plugins: str | Path | Iterable[str | Path] = (),
    quiet: bool = False,
    **more: Any,
) -> list[Verified]:
    """Train some recorded trials again, and say of each whether the same weights came out.

    ``initbench.verify("results", init=["he", "xavier"], depth=10)`` is ``initbench verify results init=he,xavier
    depth=10``. Of each trial ``differing`` is empty where initial weights, final weights and counts are those of the
    record, ``environments`` are the fields in which this machine is another one, and ``reason`` says why it could not
    be trained here, if so.

    Args:
        folders: results folders (default: ``results``).
        filters: as on the command line; ``"dataset.root=DIR"``, ``"dataset.path=FILE"`` and
            ``"model.path=FILE.py:FUNCTION"`` say where data and code are.
        sample: how many trials, spread over the settings; the same ones each time.
        config_dir: a folder of your own with config groups, as the run had it.
        plugins: the Python files of initializers that the run had.
        quiet: say nothing and show no progress.
        more: settings, with a value or a list of them for each.

    Raises:
        InputError: a folder without records, or a selection that leaves nothing.
        StorageError: a folder that cannot be read.
    """
    texts = list(one_or_more(filters))
    places, rest = divided(texts)
    wanted = {**parse_filters(rest), **filters_of((), more)}
    tell: Say = silent if quiet else say
    paths = [Path(folder) for folder in folders or ("results",)]
    return verified(paths, wanted, places, sample, Catalogue.of(one_or_more(plugins), config_dir), tell, quiet)


def divided(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """The overrides that say where things are, and those that choose trials."""
    texts = list(texts)
    places = [text for text in texts if text.partition("=")[0] in PLACES]
    return places, [text for text in texts if text not in places]


def verified(
    folders: Sequence[Path],
    wanted: Mapping[str, Wanted],
    places: Sequence[str],
    sample: int,
    catalogue: Catalogue,
    tell: Say = say,
    quiet: bool = False,
) -> list[Verified]:
    """Some of the trials in some folders that pass all filters, trained again.

    Raises:
        InputError: no records, filters that leave nothing, or only trials that failed.
        StorageError: a folder that cannot be read.
    """
    n = whole("sample", sample, 1)
    trials = read(folders, wanted, tell=tell)
    keys = sampled(trials.columns, n)
    if not keys:
        raise InputError("none of these trials was trained to an end; there is nothing to compare")
    return train_and_compare(folders, keys, catalogue, places, tell, quiet)
