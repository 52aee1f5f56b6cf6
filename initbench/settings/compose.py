"""From ``KEY=VALUE`` overrides to plain cell dictionaries: Hydra parses and composes, we expand the sweep.

Hydra composes once, whatever the size of the sweep: the options of a swept group are composed side by side into
packages of their own, and the cells are products of the parts (a composition per cell would take 40 ms each).
Options that are in no file, those of plugins and framework's views, never pass through Hydra.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from initbench.data_driven import DataLaw
from initbench.errors import InputError, unknown
from initbench.initializers.names import VIEWS
from initbench.settings import habits, references
from initbench.settings.catalogue import Catalogue, Plain
from initbench.settings.expand import Composition, expand
from initbench.settings.options import check, config_folder
from initbench.settings.overrides import Axis, parse, quoted
from initbench.settings.resolve import draws_images, unsuited
from initbench.settings.schema import GROUPS, KIND, SETTINGS

_log = logging.getLogger(__name__)

# The key of a cell under which the options that it was made from are kept.
OPTIONS = "options"
_OURS = Catalogue()


def compose(overrides: Sequence[str], catalogue: Catalogue = _OURS) -> list[Plain]:
    """The cells of a sweep, as plain dictionaries: every setting, and under ``options`` what they were made from.

    ``options`` has of every setting that names an option this name, and what the option says by itself.

    Args:
        overrides: Hydra's override grammar; the last one of a key wins.
        catalogue: what there is to choose from.

    Raises:
        InputError: an override that cannot be read, an unknown key or option, a sweep where none is possible.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    groups = catalogue.groups()
    try:
        own = parse(overrides, groups)
        sweeps: list[list[str]] = [[]]
        if "experiment" in own:
            preset = _hydra(_chosen({"experiment": own["experiment"]}, groups, catalogue), catalogue)[0]
            sweeps = _sweeps(own["experiment"].values[0], preset)
        cells = [cell for sweep in sweeps for cell in _swept(parse(sweep, groups) | own, groups, catalogue)]
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, UnicodeError) as error:
        raise InputError(" ".join(str(error).split())[:200]) from error
    _log.info("%d cells of %s", len(cells), " ".join(overrides) or "the defaults")
    known: dict[tuple[str, str], tuple[str, Plain]] = {}
    return [cell | {OPTIONS: _origins(cell, catalogue, known)} for cell in cells]


def _swept(axes: Mapping[str, Axis], groups: Mapping[str, list[str]], catalogue: Catalogue) -> list[Plain]:
    """The cells of one sweep."""
    references.check([axis.values for axis in axes.values()])
    composed, names = _hydra(_chosen(axes, groups, catalogue), catalogue)
    cells = expand(_composition(composed, names, axes, catalogue), {key: axis.values for key, axis in axes.items()})
    if "init" in axes and axes["init"].by_pattern:
        cells = [cell for cell in cells if _can_serve(cell, catalogue)] or cells
    return cells


def _hydra(overrides: Sequence[str], catalogue: Catalogue) -> tuple[Plain, Mapping[str, str]]:
    """What Hydra composes, and the names of the options it took."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    search = [f"hydra.searchpath=[{quoted(f'file://{catalogue.config_dir}')}]"] if catalogue.config_dir else []
    with initialize_config_dir(str(config_folder().absolute()), version_base="1.3"):
        config = hydra_compose("config", search + list(overrides), return_hydra_config=True)
    composed = OmegaConf.to_container(config, resolve=False)
    assert isinstance(composed, dict)
    names = composed.pop("hydra")["runtime"]["choices"]
    return {str(key): value for key, value in composed.items()}, names


def _sweeps(name: str, preset: Mapping[str, Any]) -> list[list[str]]:
    """The overrides that a preset makes axes of, for each of its sweeps.

    Without its first line it would be a node, and change nothing.
    """
    if preset.get("experiment") is not None:
        raise InputError(f"experiment '{name}' must hold settings, and start with the line `# @package _global_`")
    given = preset.get("sweep") or {}
    sweeps = given if isinstance(given, list) else [given]
    if not all(isinstance(sweep, dict) for sweep in sweeps):
        raise InputError(f"the sweep of experiment '{name}' must be KEY: VALUES, one per line, or a list of such")
    if any("experiment" in sweep for sweep in sweeps):
        raise InputError(f"the sweep of experiment '{name}' cannot name another experiment")
    return [[f"{key}={value}" for key, value in sweep.items()] for sweep in sweeps]


def _chosen(axes: Mapping[str, Axis], groups: Mapping[str, list[str]], catalogue: Catalogue) -> list[str]:
    """Hydra overrides that choose the options, the experiment first; swept ones go into ``options.KEY.oNUMBER``."""
    from hydra.core.override_parser.types import Glob

    chosen: list[str] = []
    for key in sorted(axes.keys() & groups.keys(), key=lambda name: name != "experiment"):
        group, values = GROUPS[key], axes[key].values
        extra = catalogue.extra(group)
        for value in values:
            if isinstance(value, list | dict | Glob):
                raise InputError(f"{key} must be a name, or names with commas between them: {key}=A,B; got '{value}'")
            known = value in groups[key] or value in extra
            if not known and not (value is None and SETTINGS[key].parameter.optional):
                allowed = VIEWS if group == "init" and "@" in str(value) else groups[key]
                raise unknown(key, str(value), allowed, habits.value(group, key, str(value)))
        # Hydra has no bounds of its own, and does not say which file it cannot read.
        for name in values if catalogue.config_dir else ():
            if name is not None and name not in extra:
                check(group, name, catalogue.config_dir or "")
        if len(values) > 1:
            chosen += [
                f"+{group}@{OPTIONS}.{key}.o{number}={quoted(name)}"
                for number, name in enumerate(values)
                if name is not None and name not in extra
            ]
        elif values[0] is not None and values[0] not in extra:
            chosen.append(f"{group if group == key else f'+{group}@{key}'}={quoted(values[0])}")
    return chosen


def _composition(
    composed: Plain, names: Mapping[str, str], axes: Mapping[str, Axis], catalogue: Catalogue
) -> Composition:
    """What Hydra composed, with the options that are in no file and the defaults of all parameters."""
    swept: dict[str, dict[str | None, Any]] = {}
    nodes: Mapping[str, Any] = composed.pop(OPTIONS, {})
    composed.pop("sweep", None)
    plain = dict.fromkeys(SETTINGS) | composed
    options = {key: names.get(key) or names.get(f"{group}@{key}") for key, group in GROUPS.items()}
    for key in axes.keys() & GROUPS.keys():
        extra, values = catalogue.extra(GROUPS[key]), axes[key].values
        if len(values) > 1:
            of_key = nodes.get(key, {})
            swept[key] = {name: extra.get(name, of_key.get(f"o{number}")) for number, name in enumerate(values)}
        elif values[0] in extra:
            plain[key] = extra[values[0]]
        options[key] = values[0]
    plain["experiment"] = options.pop("experiment")

    for key, group in GROUPS.items():
        plain[key] = catalogue.complete(group, _whole(group, plain[key]))
    for key, by_name in swept.items():
        group = GROUPS[key]
        swept[key] = {name: catalogue.complete(group, _whole(group, node)) for name, node in by_name.items()}
    return Composition(plain, swept, options)


# Few options say these, and every one of their group can be given them.
_SELDOM: dict[str, Plain] = {"init": {"scheme": None}, "dataset": {"train": None, "task": None, "split": "seed"}}


def _whole(group: str, node: Any) -> Any:
    """An option with what few say."""
    return _SELDOM.get(group, {}) | node if isinstance(node, dict) else node


def _origins(
    cell: Plain, catalogue: Catalogue, known: dict[tuple[str, str], tuple[str, Plain]]
) -> dict[str, tuple[str, Plain]]:
    """The option that each setting of a cell was made from, its name and what it says; ``known`` keeps those met."""
    found = {}
    for setting, given in cell[OPTIONS].items():
        group, node = GROUPS[setting], cell[setting]
        if isinstance(node, Mapping):
            name = given or _like(group, node, catalogue)
            if (group, name) not in known:
                known[group, name] = name, _whole(group, catalogue.option(group, name))
            found[setting] = known[group, name]
    return found


def _like(group: str, node: Mapping[str, Any], catalogue: Catalogue) -> str:
    """The option that has all the keys of one that a preset made without a file."""
    kind = KIND.get(group, "name")
    for name in (node.get("name"), *catalogue.groups()[group]):
        if name in catalogue.groups()[group]:
            option = catalogue.option(group, name)
            if option.get(kind) == node.get(kind) and option.keys() >= node.keys() - _SELDOM.get(group, {}).keys():
                return str(name)
    raise InputError(f"no {group} could be named that has what '{node.get('name')}' has; write it to a file")


def _can_serve(cell: Plain, catalogue: Catalogue) -> bool:
    """Whether the initializer is for such a model; what cannot be read yet is refused later, by name."""
    try:
        init, model, depth = cell["init"], cell["model"], cell["depth"]
        law = catalogue.laws[init["law"]]
        images = isinstance(law, DataLaw) or draws_images(law, init, model, depth)
        return images and unsuited(init, model, depth) is None
    except (KeyError, TypeError, AttributeError):
        return True
