"""Laws from outside: a Python file of the user's, or the entry points of an installed package.

In a file every public function ``(shape, rng, *, param=default, ...) -> array`` is a law; its name is the function's,
its formula the first line of the docstring. So is every function ``(tensor, param=default, ...)`` whose name ends in
``_``, which fills a tensor in place as those of ``torch.nn.init`` do; its name is that without the ``_``. A file that
wants to say more has a dictionary ``LAWS`` of name to :class:`~initbench.initializers.laws.Law` instead. A package
names its laws in the entry point group ``initbench.initializers``, each a function or a ``Law``.

Nothing is added to our own table: a law from outside is found again by the file and the hash of its code, which an
:class:`~initbench.trial.Init` carries.
"""

import hashlib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from initbench.code import Code, read, run
from initbench.errors import InputError, in_one_line
from initbench.initializers.laws import LAWS, Law
from initbench.initializers.names import ALIASES
from initbench.seeding import own_generators

ENTRY_POINTS = "initbench.initializers"
# What stands before the name of an entry point instead of a file.
_PACKAGE = "package:"


@dataclass(frozen=True)
class Plugin:
    """Where laws come from.

    Attributes:
        file: the whole path of a Python file, or ``package:NAME`` for the entry point of this name.
        code: hash of its source code.
        laws: the names of its laws.
    """

    file: str
    code: str
    laws: tuple[str, ...]

    @property
    def is_package(self) -> bool:
        """Whether it is an installed package, and no file of the user's."""
        return self.file.startswith(_PACKAGE)


def law_of(law: str, code: str = "", file: str = "") -> Law:
    """A law by its name: ours, or where there is a ``file`` the one of that plugin.

    Args:
        law: the name, as in :class:`~initbench.trial.Init`.
        code: the hash that the plugin's source code must have; empty for a law of ours.
        file: a plugin's.

    Raises:
        InputError: the plugin has changed since its hash was taken, or cannot be run.
        KeyError: there is no such law.
    """
    return _laws(file, code)[law] if file else LAWS[law]


def found(files: Iterable[Path], taken: Iterable[str] = ()) -> tuple[Plugin, ...]:
    """The plugins of installed packages, and those of files, which are run.

    Args:
        files: Python files.
        taken: names that are not free; those of our laws and their aliases never are.

    Raises:
        InputError: a file or package cannot be run, has no law, or one that is not as it must be or whose name is
            taken.
    """
    names = {*taken, *ALIASES, *LAWS}
    packages = [_from_package(point) for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    _check_free(packages, names)
    # A file's law may have the name of a package's, and then comes before it.
    of_files: list[Plugin] = []
    for file in files:
        plugin = from_file(file)
        _check_free([plugin], names.union(*(other.laws for other in of_files if other != plugin)))
        of_files += [plugin] if plugin not in of_files else []
    hidden = {law for plugin in of_files for law in plugin.laws}
    return (*(plugin for plugin in packages if not hidden.issuperset(plugin.laws)), *of_files)


def from_file(file: Path) -> Plugin:
    """A Python file, which is run, as a plugin.

    Raises:
        InputError: it cannot be run, or has no law, or one that is not as it must be.
    """
    whole, code = str(file.absolute()), _read(file).hash(_hash)
    return Plugin(whole, code, tuple(_laws(whole, code)))


def check(plugin: Plugin) -> None:
    """Load a plugin that another process has found.

    Raises:
        InputError: it is not here, cannot be run, or is not what it was there.
    """
    _laws(plugin.file, plugin.code)


@lru_cache(maxsize=64)
def _laws(file: str, code: str) -> Mapping[str, Law]:
    """The laws of a plugin whose source code has this hash: the bytes that were hashed are the bytes that are run."""
    if file.startswith(_PACKAGE):
        name = file.removeprefix(_PACKAGE)
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
            value, package = _load(point)
            if _hash(_source_of(value)) == code:
                return {name: _law(name, value, package, code, file)}
            raise InputError(f"initializer '{name}' of package {package} has changed since the command began")
        raise InputError(f"no installed package has the initializer '{name}' any more")
    path = Path(file)
    own = _read(path)
    own.check(_hash, code, f"plugin {file}")
    # What someone else's code prints is no result.
    with redirect_stdout(sys.stderr), in_one_line(f"plugin {file} cannot be run"):
        module = run(own, f"initbench_plugin_{path.stem}_{code}")
    values = getattr(module, "LAWS", None) or {
        name.removesuffix("_"): value for name, value in vars(module).items() if _is_law(name, value, module)
    }
    if not isinstance(values, Mapping) or not values:
        raise InputError(
            f"plugin {file} has no initializer: write a function (shape, rng, *, ...) -> array, or one in place, "
            "whose name ends in _ and whose first parameter is tensor"
        )
    return {name: _law(name, value, path.name, code, file) for name, value in values.items()}


def _read(file: Path) -> Code:
    try:
        missing = None if file.is_file() else "is a folder" if file.is_dir() else "does not exist"
        if missing is None and file.suffix == ".py":
            return read(file)
    except OSError as error:
        missing = f"cannot be read: {error.strerror or error}"
    raise InputError(f"plugin {file} {missing or 'is no Python file'}")


def _from_package(point: importlib.metadata.EntryPoint) -> Plugin:
    value, package = _load(point)
    code, file = _hash(_source_of(value)), f"{_PACKAGE}{point.name}"
    _law(point.name, value, package, code, file)
    return Plugin(file, code, (point.name,))


def _load(point: importlib.metadata.EntryPoint) -> tuple[Any, str]:
    """What an entry point names, and its package."""
    package = point.dist.name if point.dist else point.module
    with redirect_stdout(sys.stderr), in_one_line(f"initializer '{point.name}' of package {package}"):
        return point.load(), package


def _source_of(value: Any) -> bytes:
    """Of the file that a law of a package is written in."""
    function = value.function if isinstance(value, Law) else value
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        file = None
    return Path(file or __file__).read_bytes()


def _is_law(name: str, value: Any, module: ModuleType) -> bool:
    """A public function, defined here, that takes ``shape`` and ``rng``, or ends in ``_`` and takes a ``tensor``."""
    if name.startswith("_") or not inspect.isfunction(value) or value.__module__ != module.__name__:
        return False
    first = list(inspect.signature(value).parameters)[:2]
    return first == ["shape", "rng"] or (name.endswith("_") and first[:1] == ["tensor"])


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that fills a tensor in place as one of ``(shape, rng)``; what torch draws in it, rng decides.

    Parameters without a number, a text, true or false as their default, as a generator, keep that default.
    """

    @wraps(function)
    def draw(shape: tuple[int, ...], rng: np.random.Generator, **params: Any) -> Any:
        import torch

        # What is not filled is found by what is not finite.
        tensor = torch.full(shape, torch.nan)
        with own_generators(rng), torch.no_grad():
            function(tensor, **params)
        return tensor.numpy()

    own = [p for p in inspect.signature(function).parameters.values() if p.name != "tensor"]
    simple = [p.replace(kind=p.KEYWORD_ONLY) for p in own if isinstance(p.default, bool | int | float | str)]
    needed = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    given = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("shape", "rng")]
    draw.__signature__ = inspect.Signature([*given, *needed, *simple])  # type: ignore[attr-defined]
    return draw


def _check_free(plugins: Iterable[Plugin], taken: Collection[str]) -> None:
    for plugin in plugins:
        for name in plugin.laws:
            if name in taken:
                source = law_of(name, plugin.code, plugin.file).source
                raise InputError(f"initializer '{name}' of {source}: the name is taken; choose another")


def _law(name: Any, value: Any, source: str, code: str, file: str) -> Law:
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        raise InputError(f"initializer {name!r} of {source}: a name is letters, digits and _")
    if isinstance(value, Law):
        law = value
    elif callable(value):
        about = (inspect.getdoc(value) or "").partition("\n")[0]
        in_place = next(iter(inspect.signature(value).parameters), "") == "tensor"
        law = Law(_in_place(value) if in_place else value, about or f"{name}(shape, rng)", source, tier=3)
    else:
        raise InputError(f"initializer '{name}' of {source} is no function (shape, rng, *, ...) -> array")
    parameters = list(inspect.signature(law.function).parameters.values())
    for parameter in parameters[2:]:
        simple = parameter.kind is parameter.KEYWORD_ONLY and isinstance(parameter.default, bool | int | float | str)
        if not simple:
            raise InputError(
                f"initializer '{name}' of {source}: parameter '{parameter.name}' must be keyword-only, with a number, "
                "a text, true or false as its default"
            )
    return replace(law, code=code, file=file)


def _hash(source: bytes) -> str:
    return hashlib.blake2b(source, digest_size=8).hexdigest()
