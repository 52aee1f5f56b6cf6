"""The files that options come from: ours, and those of a user's folder."""

from pathlib import Path
from typing import Any

from initbench.errors import InputError
from initbench.initializers.names import canonical


def config_folder() -> Path:
    """The folder of the shipped YAML files: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def option_files(group: str, config_dir: str | Path | None = None) -> dict[str, Path]:
    """Name and file of every option of a group; a user's folder adds to ours.

    Raises:
        InputError: a file of the user's has the name of one of ours.
    """
    ours = {file.stem: file for file in sorted((config_folder() / group).glob("*.yaml"))}
    own = {file.stem: file for file in sorted((Path(config_dir) / group).glob("*.yaml"))} if config_dir else {}
    for name, file in own.items():
        if name in ours or (group == "init" and canonical(name) != name):
            raise InputError(f"{file}: the name '{name}' is taken; choose another")
    return own | ours


def read(file: Path) -> Any:
    """A YAML file, by the parser written in C where there is one: a hundred small files are read for one list.

    Raises:
        InputError: it cannot be read.
    """
    import yaml

    try:
        return yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {file}: {' '.join(str(error).split())[:200]}") from error
