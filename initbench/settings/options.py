"""The files that options come from: ours, and those of a user's folder, which are read with bounds.

Hydra reads a user's files as well, without any: what it will read is read here first (:func:`check`).
"""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from initbench.errors import InputError, short, unknown
from initbench.initializers.names import canonical
from initbench.settings import references
from initbench.settings.schema import GROUPS

# Far more than any option needs: bytes of a file, levels of nesting, and what a whole number of a setting may be.
_MOST_BYTES, _MOST_NESTED, _MOST_NUMBER = 100_000, 20, 2**64

# A line of `defaults`: another option of a group, perhaps for a setting of another name.
_OTHER = re.compile(r"(?:override )?/(\w+)(?:@(\w+))?", re.ASCII)


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


def content(file: Path) -> bytes:
    """The bytes of a file of options.

    Raises:
        InputError: it is no file, cannot be read, or is larger than any option.
    """
    try:
        if not file.is_file():
            raise InputError(f"cannot read {file}: it is no file")
        with open(file, "rb") as stream:
            found = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    if len(found) > _MOST_BYTES:
        raise InputError(f"{file} is larger than {_MOST_BYTES:,} bytes, which no option is")
    return found


def read(file: Path) -> Any:
    """A YAML file, by the parser written in C where there is one: a hundred small files are read for one list.

    Raises:
        InputError: it cannot be read, or holds more than settings: aliases, tags, nesting without end.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = content(file).decode()
        depth = 0
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_NESTED:
                raise InputError(f"{file} is nested deeper than {_MOST_NESTED} levels")
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"{file}: write out what *{event.anchor} stands for; there are no aliases here")
            tag = getattr(event, "tag", None)
            if tag is not None:
                raise InputError(f"{file}: a value has the tag {short(ascii(tag))}; there are none here")
        found = yaml.load(text, loader)
    # Python reads no whole number of more than 4,300 digits, and no date of month 13.
    except (UnicodeError, yaml.YAMLError, ValueError) as error:
        raise InputError(f"cannot read {file}: {' '.join(str(error).split())[:200]}") from error
    fault = _fault(found)
    if fault:
        raise InputError(f"{file}: {fault}")
    return found


def _fault(value: Any) -> str:
    """What no setting can be."""
    if isinstance(value, dict):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            return f"a key must be a text; got {short(str(odd[0]))!r}"
        return next(filter(None, map(_fault, [*value, *value.values()])), "")
    if isinstance(value, list):
        return next(filter(None, map(_fault, value)), "")
    if isinstance(value, int) and abs(value) >= _MOST_NUMBER:
        return "a whole number is larger than any setting"
    if isinstance(value, str) and unprintable(value):
        return f"{ascii(value)[:60]} has a character that does not print"
    return ""


def unprintable(text: str) -> bool:
    """Whether a text has a line end or another character that does not print, as no name and no path should."""
    odd = ("Cc", "Cf", "Cs", "Zl", "Zp")
    # Persian and emoji are written with joiners.
    return not text.isprintable() and any(unicodedata.category(c) in odd and c not in "\u200c\u200d" for c in text)


def check(group: str, name: str, config_dir: str | Path) -> None:
    """Read an option of the user's, and those it is made of, as far as they are the user's too.

    Raises:
        InputError: one cannot be read, refers to something else than settings, or asks Hydra for more than options.
    """
    _check(group, name, config_dir, ())


def _check(group: str, name: str, config_dir: str | Path, through: tuple[tuple[str, str], ...]) -> None:
    files = option_files(group, config_dir)
    if name not in files:
        raise unknown(group, name, files)
    file = files[name]
    if not file.is_relative_to(config_dir):
        return
    if (group, name) in through or len(through) > _MOST_NESTED:
        raise InputError(f"{file}: its defaults lead back to itself")
    node = read(file)
    try:
        references.check([name, node])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    for line in filter(str.strip, content(file).decode().splitlines()):
        if not re.match(r"\s*#\s*@", line):
            break
        if line.split() != ["#", "@package", "_global_"]:
            raise InputError(f"{file}: the only such line is `# @package _global_`; got '{line.strip()[:40]}'")
    if not isinstance(node, Mapping):
        return
    if "hydra" in node:
        raise InputError(f"{file}: unknown setting 'hydra'")
    defaults = node.get("defaults", [])
    for entry in defaults if isinstance(defaults, list) else [defaults]:
        for other in _options(entry, group, file):
            _check(*other, config_dir, (*through, (group, name)))


def _options(entry: Any, group: str, file: Path) -> list[tuple[str, str]]:
    """Group and name of the option that a line of `defaults` names, if it does."""
    if entry == "_self_":
        return []
    if isinstance(entry, str):
        return [(group, entry)]
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((key, name),) = entry.items()
        found = _OTHER.fullmatch(key)
        if found and GROUPS.get(found[2] or found[1]) == found[1] and (name is None or isinstance(name, str)):
            return [(found[1], name)] if name is not None else []
    got = short(str(entry))
    raise InputError(f"{file}: a line of defaults is `_self_`, NAME or `override /GROUP: NAME`; got {got!r}")
