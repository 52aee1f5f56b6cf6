"""What a shell may offer for a word of the command line that is not whole yet."""

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from initbench.errors import InputError
from initbench.settings.catalogue import Catalogue
from initbench.settings.schema import COMMON, GROUPS, KIND, SETTINGS, kinds, parameters
from initbench.values import Parameter


def complete(typed: Sequence[str], incomplete: str, config_dir: Path | None = None) -> list[str]:
    """Names and values after ``KEY=``, an option's own settings after ``GROUP.``, else the settings.

    Bash splits words at ``=`` and wants the part behind it.

    Args:
        typed: the overrides before.
        incomplete: the word so far.
        config_dir: a user's folder of options.
    """
    try:
        return _complete(
            ["", *typed], incomplete, Catalogue(config_dir=None if config_dir is None else str(config_dir))
        )
    except InputError:
        # What is wrong is said when the command is run.
        return []


def _complete(typed: Sequence[str], incomplete: str, catalogue: Catalogue) -> list[str]:
    if incomplete == "=":
        key, equals, start, prefix = typed[-1], "=", "", ""
    elif typed[-1] == "=":
        key, equals, start, prefix = typed[-2], "=", incomplete, ""
    else:
        key, equals, start = incomplete.rpartition("=")
        prefix = f"{key}="
    if equals:
        done, comma, last = start.rpartition(",")
        return [f"{prefix}{done}{comma}{value}" for value in _values(key, catalogue) if value.startswith(last)]
    group = incomplete.partition(".")[0]
    if "." in incomplete:
        keys = sorted({f"{group}.{parameter.name}" for parameter in _parameters(group, typed, catalogue)})
    else:
        keys = sorted(SETTINGS)
    return [f"{name}=" for name in keys if name.startswith(incomplete)]


def _values(key: str, catalogue: Catalogue) -> list[str]:
    """The names of a group's options, or what a setting's values can be listed as."""
    if key in GROUPS:
        return catalogue.groups()[key]
    if key in SETTINGS:
        return ["auto", "cpu", "cuda"] if key == "device" else _listed(SETTINGS[key].parameter)
    setting, _, name = key.partition(".")
    values = [value for p in _parameters(setting, (), catalogue) if p.name == name for value in _listed(p)]
    return list(dict.fromkeys(values))


def _listed(parameter: Parameter) -> list[str]:
    truth = ["true", "false"] if parameter.kind is bool else []
    none = ["none"] if parameter.optional and parameter.choices else []
    return [*map(str, parameter.choices), *parameter.words, *truth, *none]


def _parameters(setting: str, typed: Sequence[str], catalogue: Catalogue) -> list[Parameter]:
    """What can be set of the options that were typed; of any if none was."""
    if setting not in GROUPS:
        return []
    group = GROUPS[setting]
    names = [name for word in typed if word.startswith(f"{setting}=") for name in word.partition("=")[2].split(",")]
    chosen = kinds(group, catalogue.laws)
    with contextlib.suppress(InputError):
        chosen = tuple(catalogue.option(group, name)[KIND.get(group, "name")] for name in names) or chosen
    found = (parameters(group, kind, catalogue.laws) or () for kind in chosen)
    return [*COMMON[group], *itertools.chain(*found)]
