"""Laws from outside: a Python file of the user's, or the entry points of an installed package.

In a file every public function ``(shape, rng, *, param=default, ...) -> array`` is a law; its name is the function's,
its formula the first line of the docstring. A file that wants to say more has a dictionary ``LAWS`` of name to
:class:`~initbench.initializers.catalogue.Law` instead. A package names its laws in the entry point group
``initbench.initializers``, each a function or a ``Law``.
"""

import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from initbench.errors import InputError, one_line
from initbench.initializers.catalogue import LAWS, Law
from initbench.initializers.names import ALIASES

ENTRY_POINTS = "initbench.initializers"


def from_file(file: Path, taken: Iterable[str] = ()) -> dict[str, Law]:
    """The laws of a Python file, which is run.

    Args:
        file: the plugin.
        taken: names that are not free.

    Raises:
        InputError: the file cannot be run, or has no law, or one that is not as it must be, or whose name is taken.
    """
    try:
        missing = None if file.is_file() else "is a folder" if file.is_dir() else "does not exist"
    except OSError as error:
        missing = f"cannot be read: {error.strerror or error}"
    if missing:
        raise InputError(f"plugin {file} {missing}")
    spec = importlib.util.spec_from_file_location(f"initbench_plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise InputError(f"plugin {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses, pickles and tracebacks look for it.
    sys.modules[spec.name] = module
    try:
        # What it prints is no result.
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"plugin {file} cannot be run: {one_line(error)}") from error
    found = getattr(module, "LAWS", None) or {
        name: value for name, value in vars(module).items() if _is_law(name, value, module)
    }
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"plugin {file} has no initializer: write a function (shape, rng, *, ...) -> array")
    code = _hash(file)
    return {name: _law(name, value, file.name, code, taken) for name, value in found.items()}


def from_entry_points(taken: Iterable[str] = ()) -> dict[str, Law]:
    """The laws that installed packages offer.

    Raises:
        InputError: a package's entry point cannot be loaded, or is not a law.
    """
    laws = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = point.dist.name if point.dist else point.module
        try:
            with redirect_stdout(sys.stderr):
                value = point.load()
        except (Exception, SystemExit) as error:
            raise InputError(f"initializer '{point.name}' of package {package}: {one_line(error)}") from error
        source = inspect.getsourcefile(inspect.unwrap(value.function if isinstance(value, Law) else value))
        laws[point.name] = _law(point.name, value, package, _hash(Path(source or __file__)), taken)
    return laws


def install(files: Iterable[Path], taken: Iterable[str] = ()) -> list[str]:
    """Add the laws of files and of installed packages to the catalogue, and return the files' names of laws.

    Raises:
        InputError: as :func:`from_file` and :func:`from_entry_points`.
    """
    taken = {*taken, *ALIASES, *(name for name, law in LAWS.items() if not law.code)}
    LAWS.update(from_entry_points(taken))
    of_files: dict[str, Law] = {}
    for file in files:
        of_files |= from_file(file, taken | set(of_files))
    LAWS.update(of_files)
    return list(of_files)


def _is_law(name: str, value: Any, module: ModuleType) -> bool:
    """A public function, defined here, whose first two parameters are ``shape`` and ``rng``."""
    if name.startswith("_") or not inspect.isfunction(value) or value.__module__ != module.__name__:
        return False
    return list(inspect.signature(value).parameters)[:2] == ["shape", "rng"]


def _law(name: Any, value: Any, source: str, code: str, taken: Iterable[str]) -> Law:
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        raise InputError(f"initializer {name!r} of {source}: a name is letters, digits and _")
    if name in taken:
        raise InputError(f"initializer '{name}' of {source}: the name is taken; choose another")
    if isinstance(value, Law):
        law = value
    elif callable(value):
        about = (inspect.getdoc(value) or "").partition("\n")[0]
        law = Law(value, about or f"{name}(shape, rng)", source, tier=3)
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
    return replace(law, code=code)


def _hash(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
