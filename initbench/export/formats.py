"""Which programs there are, and the folder that one of them reads."""

from importlib import import_module
from pathlib import Path

from initbench.analysis.trials import Trials
from initbench.errors import InputError, StorageError
from initbench.export.runs import runs
from initbench.records import Loaded

# The name of a format is that of its extra, and of the module here that writes it.
EXPORTS = ("tensorboard", "mlflow", "wandb")


def export(form: str, trials: Trials, loaded: Loaded, folder: Path) -> str:
    """Write a folder for another program.

    Args:
        form: one of ``EXPORTS``.
        trials: which trials.
        loaded: their records, whole.
        folder: where; it must be empty or not there, as those programs show all that they find in one.

    Returns:
        The command that shows it.

    Raises:
        InputError: the program's library is not installed, or there is something in the folder.
        StorageError: it cannot be written.
    """
    try:
        module = import_module(f"initbench.export.{form}")
    except ModuleNotFoundError as error:
        raise InputError(f"--format {form} needs a package; pip install 'initbench[{form}]'") from error
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"--out must be a folder that is new or empty for --format {form}; got {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        module.write(runs(trials, loaded), folder)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error
    return str(module.SHOWN_BY).format(folder)
