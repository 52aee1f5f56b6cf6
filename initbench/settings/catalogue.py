"""What there is to choose from: our laws and options, those of plugins, and those of a user's folder."""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from initbench.data_driven import INITIALIZERS, DataLaw
from initbench.errors import InputError, unknown
from initbench.initializers import Law, plugins
from initbench.initializers.names import VIEWS, canonical
from initbench.initializers.plugins import Plugin, law_of
from initbench.settings.executors import offered
from initbench.settings.options import config_folder, content, option_files, read
from initbench.settings.schema import GROUPS, KIND, SEARCH, parameters

Plain = dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """A value, made once per command by :meth:`of`; as JSON it means the same in another process.

    Attributes:
        plugins: where laws from outside come from.
        config_dir: a user's folder of options.
        config_code: hash of the files in it.
    """

    plugins: tuple[Plugin, ...] = ()
    config_dir: str | None = None
    config_code: str = ""

    @classmethod
    def of(cls, files: Iterable[str | Path] = (), config_dir: str | Path | None = None) -> "Catalogue":
        """Ours, what installed packages offer, and what is in files and a folder of the user's.

        Raises:
            InputError: there is no such folder, or a file or a package whose initializers cannot be used.
        """
        if config_dir is not None and not Path(config_dir).is_dir():
            raise InputError(f"there is no folder {config_dir} with options of yours")
        found = plugins.found(map(Path, files), option_files("init", config_dir))
        if config_dir is None:
            return cls(found)
        return cls(found, str(Path(config_dir).absolute()), _code(Path(config_dir)))

    def check(self) -> None:
        """Load the plugins, in a process that has not made the catalogue.

        Raises:
            InputError: one is not here, or has changed.
        """
        for plugin in self.plugins:
            plugins.check(plugin)

    @property
    def laws(self) -> Mapping[str, Law | DataLaw]:
        """Every law by its name: those that draw one weight and those of whole networks."""
        return _laws(self)

    def groups(self) -> dict[str, list[str]]:
        """Every setting that names an option, with the names it may be."""
        names = {group: list(option_files(group, self.config_dir)) for group in dict.fromkeys(GROUPS.values())}
        names["init"] = sorted({*names["init"], *self._foreign()})
        names["executor"] = sorted({*names["executor"], *offered()})
        return {setting: names[group] for setting, group in GROUPS.items()}

    def extra(self, group: str) -> dict[str, Plain]:
        """The options of a group that are in no file: laws of plugins, and what a name means in a framework."""
        if group == "executor":
            return {name: {"name": name} for name in offered()}
        return self._foreign() | VIEWS if group == "init" else {}

    def options(self, group: str) -> dict[str, Any]:
        """What every option of a group sets, with the defaults of its parameters; views are left out."""
        nodes = {name: read(file) or {} for name, file in option_files(group, self.config_dir).items()}
        if group in ("init", "executor"):
            nodes |= self._foreign() if group == "init" else self.extra(group)
        return {name: self.complete(group, node) for name, node in sorted(nodes.items())}

    def option(self, group: str, name: str) -> Plain:
        """What one option sets, with the defaults of its parameters; an alias and a framework's view are options too.

        Raises:
            InputError: there is none of this name.
        """
        return dict(_option(self, group, canonical(name) if group == "init" else name))

    def complete(self, group: str, node: Any) -> Any:
        """An option says what is its own; here the defaults of its other parameters join it."""
        kind = node.get(KIND.get(group, "name")) if isinstance(node, dict) else None
        found = parameters(group, kind, self.laws) if isinstance(kind, str) and group in GROUPS.values() else None
        if found is None:
            return node
        if group == "protocol" and isinstance(node.get("search"), dict):
            node = {key: value for key, value in node.items() if key != "search"} | _flat(node["search"], SEARCH)
        defaults = {p.name: p.default for p in found if not p.required}
        return {key: node[key] for key in ("name", "law") if key in node} | defaults | node

    def _foreign(self) -> dict[str, Plain]:
        return {law: {"name": law, "law": law} for plugin in self.plugins for law in plugin.laws}


@lru_cache(maxsize=16)
def _laws(catalogue: Catalogue) -> Mapping[str, Law | DataLaw]:
    foreign = {law: law_of(law, plugin.code, plugin.file) for plugin in catalogue.plugins for law in plugin.laws}
    return {**INITIALIZERS, **foreign}


@lru_cache(maxsize=4096)
def _option(catalogue: Catalogue, group: str, name: str) -> Plain:
    files, extra = option_files(group, catalogue.config_dir), catalogue.extra(group)
    if name not in files and name not in extra:
        raise unknown(group, name, VIEWS if group == "init" and "@" in name else catalogue.groups()[group])
    node = catalogue.complete(group, extra.get(name) or read(files[name]))
    # A user's file may hold anything; what is no option is told where its settings are checked.
    return dict(node) if isinstance(node, Mapping) else {}


def _flat(node: Mapping[str, Any], prefix: str) -> Plain:
    """Nested settings by their dotted names."""
    found: Plain = {}
    for key, value in node.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {}
        found |= inner or {f"{prefix}{key}": value}
    return found


def _code(folder: Path) -> str:
    """A hash of the names and contents of the files that options are read from."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.glob("*/*.yaml")):
        with contextlib.suppress(InputError):
            digest.update(repr((file.parent.name, file.name, content(file))).encode())
    return digest.hexdigest()


def defaults() -> Plain:
    """The value of every setting where nobody says, as ``config.yaml`` has it; of a group the name of its option."""
    plain: Plain = read(config_folder() / "config.yaml")
    groups = {key: value for entry in plain.pop("defaults") if isinstance(entry, dict) for key, value in entry.items()}
    return groups | plain
