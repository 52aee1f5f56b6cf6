"""Machine code, kept on disk: compiled once for each version of all that it is made from."""

import hashlib
import importlib.util
import logging
import marshal
import os
import pickle
import pkgutil
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit
from numba.core.serialize import dumps

from initbench.cache import cache_folder, is_private, opened, write

_log = logging.getLogger(__name__)
_settings: Any = numba.config
_DIGEST = 32


def compiled(function: Any) -> Any:
    """Compile to machine code that runs without Python's lock; kept on disk where there is a place for it."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    folder = place()
    if folder is None:
        return njit(**options)(function)
    before, _settings.CACHE_DIR = _settings.CACHE_DIR, str(folder)
    try:
        dispatcher = njit(cache=True, **options)(function)
    except RuntimeError:
        # Numba tries whether it can write; on a full disk it cannot.
        return njit(**options)(function)
    finally:
        _settings.CACHE_DIR = before
    dispatcher._cache._cache_file = _Files(folder, f"{function.__module__}.{function.__qualname__}")
    return dispatcher


class _Files:
    """The machine code of one function, a file for each signature: the SHA-256 of what follows, then a pickle.

    Instead of numba's own files, which are believed as they are: half of one stops every command, one with a flipped
    bit is run, and of two processes that compile a function for two signatures at once one may find the other's code
    under its own signature.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def load(self, key: Any) -> Any:
        """What was saved for a signature, or None if it is not there whole."""
        try:
            with opened(self._path(key)) as file:
                digest, content = file.read(_DIGEST), file.read()
        except OSError:
            return None
        if hashlib.sha256(content).digest() != digest:
            return None
        found, data = pickle.loads(content)
        return data if found == key else None

    def save(self, key: Any, data: Any) -> None:
        """Keep what was compiled for a signature; where that is not possible, it is compiled again next time."""
        content = dumps((key, data))
        with suppress(OSError):
            write(self._path(key), hashlib.sha256(content).digest() + content)

    def flush(self) -> None:
        """Forget all signatures."""
        for file in self._folder.glob(f"{self._name}.*"):
            file.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"


@cache
def place() -> Path | None:
    """Where machine code is kept: a folder for each version of what it is made from.

    None where there is no place that only this user can write: what is loaded from there is run.
    """
    here = Path(__file__).parent
    of_version = f"numba-{numba.__version__}-{sys.implementation.cache_tag}-"
    own = here / "__pycache__"
    for base in (Path(_settings.CACHE_DIR) if _settings.CACHE_DIR else own, cache_folder()):
        folder = base / (of_version + _made_from(here, here.parent / "optimizers"))
        if is_private(folder):
            for old in set(own.glob(f"{of_version}*")) - {folder} if base == own else ():
                shutil.rmtree(old, ignore_errors=True)
            return folder
        _log.info("no machine code is kept in %s: it cannot be written, or not by this user alone", folder)
    return None


def _made_from(*packages: Path) -> str:
    """A hash of all that is ever compiled, the modules of these packages, and of what compiles it.

    By itself numba would look at a function's own file only, and go on using what was compiled with an older version of
    a function that it calls. It is the byte code that is compiled, so that is hashed and not the source: Python takes
    the byte code of an older source for that of a newer one if both have the same size and second of change. What the
    processor can do is part of numba's own key.
    """
    digest = hashlib.sha256(f"{sys.version} {llvmlite.__version__} {sorted(_asked())}".encode())
    root = Path(__file__).parents[3]
    for package in packages:
        name = ".".join(package.relative_to(root).parts)
        for module in pkgutil.iter_modules([str(package)]):
            spec = importlib.util.find_spec(f"{name}.{module.name}")
            assert spec is not None
            loader: Any = spec.loader
            # The last version of the format in which equal code is always equal bytes.
            digest.update(marshal.dumps(loader.get_code(spec.name), 2))
    return digest.hexdigest()[:16]


def _asked() -> Iterator[tuple[str, str]]:
    """What the environment asks of numba, but where to keep files."""
    for name, value in os.environ.items():
        if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR":
            yield name, value
