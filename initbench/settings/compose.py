"""From ``KEY=VALUE`` overrides to plain cell dictionaries: Hydra parses and composes, we expand the sweep.

Hydra composes once, whatever the size of the sweep: the options of a swept group are composed side by side into
packages of their own, and the cells are products of the parts (a composition per cell would take 40 ms each).
"""

import itertools
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from initbench.data_driven import INITIALIZERS
from initbench.errors import InputError, unknown
from initbench.initializers import BIASES, LAWS
from initbench.initializers.names import VIEWS, canonical
from initbench.initializers.plugins import install
from initbench.settings.overrides import INIT_GROUPS, is_pattern, parse
from initbench.settings.request import OPTIONAL, SETTINGS
from initbench.settings.resolve import draws_images, unsuited

_log = logging.getLogger(__name__)

Plain = dict[str, Any]


def config_folder() -> Path:
    """The folder of the shipped YAML files: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"


def option_files(group: str, config_dir: Path | None = None) -> dict[str, Path]:
    """Name and file of every option of a group; a user's folder adds to ours.

    Raises:
        InputError: a file of the user's has the name of one of ours.
    """
    ours = {file.stem: file for file in sorted((config_folder() / group).glob("*.yaml"))}
    own = {file.stem: file for file in sorted((config_dir / group).glob("*.yaml"))} if config_dir else {}
    for name, file in own.items():
        if name in ours or (group == "init" and canonical(name) != name):
            raise InputError(f"{file}: the name '{name}' is taken; choose another")
    return own | ours


def group_names(config_dir: Path | None = None) -> dict[str, list[str]]:
    """The groups there are, and the names of their options."""
    found = {
        path.name: list(option_files(path.name, config_dir)) for path in config_folder().iterdir() if path.is_dir()
    }
    found["init"] = sorted({*found["init"], *_plugins()})
    return {name: found[_source(name)] for name in (*found, *INIT_GROUPS)}


def _source(group: str) -> str:
    """The group whose options a setting names."""
    return "init" if group in INIT_GROUPS else group


def options(group: str, config_dir: Path | None = None) -> dict[str, Plain]:
    """What every option of a group sets, with the defaults of its law: the files, and the laws of plugins."""
    nodes = {name: _read_file(file) or {} for name, file in option_files(group, config_dir).items()}
    if group == "init":
        nodes |= _plugins()
    return {name: _with_defaults(group, node) for name, node in sorted(nodes.items())}


def option(group: str, name: str) -> Plain:
    """What one option sets, with the defaults of its law; an alias and a framework's view are options too.

    Raises:
        InputError: there is none of this name.
    """
    name = canonical(name) if group == "init" else name
    files, extra = option_files(group), _plugins() | VIEWS if group == "init" else {}
    if name not in files and name not in extra:
        raise unknown(group, name, VIEWS if group == "init" and "@" in name else group_names()[group])
    return dict(_with_defaults(group, extra.get(name) or _read_file(files[name])))


def _read_file(file: Path) -> Any:
    """A YAML file, by the parser written in C where there is one: a hundred small files are read for one list."""
    import yaml

    try:
        return yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {file}: {_one_line(error)}") from error


def add_plugins(files: Sequence[Path], config_dir: Path | None = None) -> list[str]:
    """Add initializers from files and installed packages to the options; returns the names of those from files.

    Raises:
        InputError: a file or a package whose initializers cannot be used.
    """
    return install(files, option_files("init", config_dir))


def _plugins() -> dict[str, Plain]:
    return {name: {"name": name, "law": name} for name, law in LAWS.items() if law.code}


def _with_defaults(group: str, node: Any) -> Any:
    """An option names its law and what it wants of it; here the law's other parameters join it."""
    if not isinstance(node, dict):
        return node
    key, table = ("law", INITIALIZERS) if group in INIT_GROUPS else ("name", BIASES if group == "bias" else {})
    if not isinstance(node.get(key), str) or node[key] not in table:
        return node
    defaults = table[node[key]].defaults
    return {key: node[key] for key in ("name", "law") if key in node} | defaults | node


def compose(overrides: Sequence[str], config_dir: Path | None = None) -> list[Plain]:
    """The cells of a sweep, as plain dictionaries with every key of ``config.yaml``.

    Args:
        overrides: Hydra's override grammar; the last one of a key wins.
        config_dir: a user's folder of config groups, searched after ours.

    Raises:
        InputError: an override that cannot be read, an unknown key or option, a sweep where none is possible.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    groups = group_names(config_dir)
    extra = _plugins() | VIEWS
    store = ConfigStore.instance()
    # Hydra has one store for all: what an earlier call left there may be no option any more.
    store.repo.pop("init", None)
    for name, node in extra.items():
        store.store(group="init", name=name, node=node)
    search = [f"hydra.searchpath=[{quoted(f'file://{config_dir.absolute()}')}]"] if config_dir else []
    try:
        with initialize_config_dir(str(config_folder().absolute()), version_base="1.3"):
            axes, texts = parse(overrides, groups), list(overrides)
            _check_files(axes, config_dir)
            chosen = _group_overrides(axes, groups)
            if "experiment" in axes:
                preset = OmegaConf.to_container(hydra_compose("config", search + chosen[:1]), resolve=False)
                assert isinstance(preset, dict)
                _check_preset(axes["experiment"][0], preset)
                sweep = [f"{key}={value}" for key, value in preset.get("sweep", {}).items()]
                axes, texts = parse(sweep, groups) | axes, sweep + texts
                _check_files(axes, config_dir)
                chosen = _group_overrides(axes, groups)
            composed = OmegaConf.to_container(hydra_compose("config", search + chosen), resolve=False)
    except (HydraException, OmegaConfBaseException, YAMLError, OSError, UnicodeError) as error:
        raise InputError(_one_line(error)) from error
    assert isinstance(composed, dict)
    plain: Plain = dict.fromkeys(SETTINGS) | {str(key): value for key, value in composed.items()}
    swept: dict[str, dict[str, Plain]] = plain.pop("options", {})
    plain.pop("sweep", None)
    # No option but those for residual branches has a rule for them, and every one can be given one.
    for init in (plain["init"], *swept.get("init", {}).values()):
        if isinstance(init, dict):
            init.setdefault("branches", None)
    plain = {key: _with_defaults(key, node) for key, node in plain.items()}
    swept = {
        group: {name: _with_defaults(group, node) for name, node in nodes.items()} for group, nodes in swept.items()
    }
    plain["experiment"] = axes.pop("experiment", [None])[0]
    cells = _expand(plain, swept, axes, groups)
    if is_pattern("init", texts):
        cells = [cell for cell in cells if _can_serve(cell)] or cells
    _log.info("%d cells of %s", len(cells), " ".join(texts) or "the defaults")
    return [_resolve(cell) for cell in cells]


def _check_files(axes: Mapping[str, list[Any]], config_dir: Path | None) -> None:
    """Hydra does not say which file it cannot read."""
    for key, values in axes.items() if config_dir else ():
        files = option_files(_source(key), config_dir)
        for file in {files[value] for value in values if isinstance(value, str) and value in files}:
            _read_file(file)


def _check_preset(name: str, preset: Mapping[Any, Any]) -> None:
    """A preset without its first line would be a node of its own, and change nothing."""
    if preset.get("experiment") is not None:
        raise InputError(f"experiment '{name}' must hold settings, and start with the line `# @package _global_`")
    sweep = preset.get("sweep", {})
    if not isinstance(sweep, dict):
        raise InputError(f"the sweep of experiment '{name}' must be KEY: VALUES, one per line")
    if "experiment" in sweep:
        raise InputError(f"the sweep of experiment '{name}' cannot name another experiment")


def _can_serve(cell: Plain) -> bool:
    """Whether the initializer is for such a model; what cannot be read yet is refused later, by name."""
    try:
        asked = cell["init"], cell["model"], cell["depth"]
        return unsuited(*asked) is None and draws_images(*asked)
    except (KeyError, TypeError, AttributeError):
        return True


def _group_overrides(axes: Mapping[str, list[Any]], groups: Mapping[str, list[str]]) -> list[str]:
    """Hydra overrides that choose the options, the experiment first; swept ones go into ``options.GROUP.oNUMBER``."""
    from hydra.core.override_parser.types import Glob

    chosen: list[str] = []
    for key in sorted(axes.keys() & groups.keys(), key=lambda name: name != "experiment"):
        source = _source(key)
        for value in axes[key]:
            if isinstance(value, list | dict | Glob):
                raise InputError(f"{key} must be a name, or names with commas between them: {key}=A,B; got '{value}'")
            known = value in groups[key] or (source == "init" and value in VIEWS)
            if not known and not (value is None and key in OPTIONAL):
                raise unknown(key, str(value), VIEWS if source == "init" and "@" in str(value) else groups[key])
        if len(axes[key]) > 1:
            chosen += [
                f"+{source}@options.{key}.o{number}={quoted(name)}"
                for number, name in enumerate(dict.fromkeys(axes[key]))
                if name is not None
            ]
        elif axes[key] != [None]:
            new = "+" if source != key else ""
            chosen.append(f"{new}{source}{f'@{key}' if new else ''}={quoted(axes[key][0])}")
    return chosen


def quoted(text: str) -> str:
    """As Hydra reads it back: it would take a bare 2024 for a number."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return str(QuotedString(text, Quote.single).with_quotes())


def _expand(
    plain: Plain,
    swept: Mapping[str, Mapping[str, Plain]],
    axes: Mapping[str, list[Any]],
    groups: Mapping[str, list[str]],
) -> list[Plain]:
    """The product of the axes. A parameter of a swept group is set in those options that have it."""
    settings = {key: values for key, values in axes.items() if key not in groups}
    known = _dotted(plain) | {
        f"{group}.{key}" for group, nodes in swept.items() for node in nodes.values() for key in _dotted(node)
    }
    for key in settings:
        if key not in known:
            parent, dot, last = key.rpartition(".")
            near = {k for k in known | groups.keys() if k.rpartition(".")[0] == parent and dot in k}
            # optimizer.lr and model.depth are settings of their own here.
            whole = {k for k in known | groups.keys() if "." not in k}
            raise unknown("setting", key, {last} if dot and last in whole else near or whole)
    cells = []
    for values in itertools.product(*axes.values()):
        cell = dict(plain)
        point = dict(zip(axes, values, strict=True))
        for group, nodes in swept.items():
            number = list(dict.fromkeys(axes[group])).index(point[group])
            cell[group] = nodes.get(f"o{number}")
        for key, value in point.items():
            if key in settings:
                _set(cell, key.split("."), value)
        cells.append(cell)
    return cells


def _set(cell: Plain, path: list[str], value: Any) -> None:
    """Set a value where the path exists, copying the nodes on the way: they are shared between cells."""
    *parents, last = path
    for parent in parents:
        if cell.get(parent) is None:
            return
        cell[parent] = dict(cell[parent])
        cell = cell[parent]
    if last in cell:
        cell[last] = deepcopy(value)


def _dotted(node: Mapping[str, Any]) -> set[str]:
    """Every leaf of a nested dictionary as ``a.b.c``."""
    leaves: set[str] = set()
    for key, value in node.items():
        leaves |= {f"{key}.{leaf}" for leaf in _dotted(value)} if isinstance(value, dict) else {key}
    return leaves


def _resolve(cell: Plain) -> Plain:
    """Replace ``${key}`` by the cell's own value; nothing else, above all no environment variable, can be named."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    text = repr(cell)
    if "${" not in text:
        return cell
    if "${oc." in text or "${hydra:" in text:
        raise InputError("a config may only refer to its own keys, as ${depth}")
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(cell), resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(_one_line(error)) from error
    return {str(key): value for key, value in resolved.items()} if isinstance(resolved, dict) else cell


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
