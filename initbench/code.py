"""A user's Python file and the local modules that it imports: hashed together, and run from the bytes that were hashed.

A local module lies beside the file, as ``helper.py`` or as a package ``helper/``, and is named by an ``import``
statement of the file or of another local module, wherever in it. It comes before an installed package of its name, and
after Python's own. Each file has local modules of its own: two of one name in two folders do not meet, and neither do
two versions of one.

What is named in no import statement is not seen: modules by ``importlib.import_module`` or a changed ``sys.path``,
files that are read, installed packages, and libraries written in C.
"""

import ast
import builtins
import errno
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.abc import InspectLoader, MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from initbench.errors import InputError
from initbench.files import kind

# Far more than anybody writes.
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Code:
    """A file as it was read.

    Attributes:
        file: where.
        source: its content.
        local: of every local module the dotted name, to its own file and content; an empty content where a folder is a
            package without ``__init__.py``.
    """

    file: Path
    source: bytes
    local: Mapping[str, tuple[Path, bytes]] = field(default_factory=dict)

    def hash(self, digest: Callable[[bytes], str]) -> str:
        """Of the content of the file, and of the names and contents of its local modules where there are any."""
        if not self.local:
            return digest(self.source)
        local = sorted((name, content) for name, (_, content) in self.local.items())
        return digest(repr((self.source, local)).encode())

    def check(self, digest: Callable[[bytes], str], expected: str, what: str) -> None:
        """See that it is what it was when its hash was taken.

        Raises:
            InputError: it is not.
        """
        if self.hash(digest) != expected:
            also = " or a module that it imports" if self.local else ""
            raise InputError(f"{what}{also} has changed since the command began; run it again")


def read(file: Path) -> Code:
    """A user's file with its local modules; nothing is run.

    Raises:
        OSError: one of them cannot be read.
    """
    source = _content(file)
    folder, local = file.absolute().parent, dict[str, tuple[Path, bytes]]()
    wanted = list(_imported(source, ()))
    while wanted:
        for name, path in _local(folder, wanted.pop()):
            if name not in local:
                content = _content(path) if path.suffix else b""
                local[name] = path, content
                parts = tuple(name.split("."))
                wanted += _imported(content, parts if _is_package(path) else parts[:-1])
    return Code(file, source, local)


def _content(file: Path) -> bytes:
    status = file.stat()
    what = kind(status)
    if what != "file":
        raise OSError(errno.EINVAL, f"it is a {what}", str(file))
    if status.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {_MOST_BYTES >> 20} MiB, which no Python file has", str(file))
    return file.read_bytes()


def run(code: Code, name: str) -> ModuleType:
    """The module that the bytes make, whatever byte code lies beside the files.

    Args:
        code: from :func:`read`.
        name: of the module; where dataclasses, pickles and tracebacks look for it.
    """
    module = ModuleType(name)
    module.__file__ = str(code.file)
    sys.modules[name] = module
    if code.local:
        _Local(name, code).serve(module)
    exec(compile(code.source, code.file, "exec", dont_inherit=True), module.__dict__)
    return module


@lru_cache(maxsize=256)
def _imported(source: bytes, package: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Every dotted name that may be a module, in the import statements of a module of this package."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    # It will be told of when the file is run.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found: list[tuple[str, ...]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level <= len(package) + 1:
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            found += (base, *((*base, alias.name) for alias in node.names))
    return tuple(found)


def _local(folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """The module of a dotted name and the packages it is in, as far as they lie in the folder."""
    if not parts or parts[0] in sys.stdlib_module_names or parts[0] == __name__.partition(".")[0]:
        return
    found, at = list[tuple[str, Path]](), folder
    for number, part in enumerate(parts, 1):
        at /= part
        for path in (at / "__init__.py", at.with_name(f"{part}.py"), at):
            if path.is_dir() if path == at else path.is_file():
                found.append((".".join(parts[:number]), path))
                break
        else:
            break
    # A folder that is no package, and of which nothing is imported, is a folder.
    while found and not found[-1][1].suffix:
        found.pop()
    yield from found


def _is_package(path: Path) -> bool:
    return not path.suffix or path.name == "__init__.py"


class _Local(MetaPathFinder, InspectLoader):
    """Imports the local modules of one file, below the name of its module, from the bytes that were read."""

    def __init__(self, root: str, code: Code) -> None:
        self._root, self._code = root, code
        self._first = {name.partition(".")[0] for name in code.local}

    def serve(self, main: ModuleType) -> None:
        """Let a module find them; others do not see them."""
        main.__path__, main.__package__ = [], self._root
        sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "_root", None) != self._root]
        for name in [name for name in sys.modules if name.startswith(f"{self._root}.")]:
            del sys.modules[name]
        sys.meta_path.append(self)
        self._give_import(main)

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        """Python's question who has a module of this name."""
        name = fullname.removeprefix(f"{self._root}.")
        if name == fullname or name not in self._code.local:
            return None
        file = self._code.local[name][0]
        return importlib.util.spec_from_loader(fullname, self, origin=str(file), is_package=_is_package(file))

    def is_package(self, fullname: str) -> bool:
        """Whether it has modules in it."""
        return _is_package(self._code.local[fullname.removeprefix(f"{self._root}.")][0])

    def get_source(self, fullname: str) -> str:
        """Its text, for tracebacks."""
        return importlib.util.decode_source(self._code.local[fullname.removeprefix(f"{self._root}.")][1])

    def get_code(self, fullname: str) -> CodeType:
        """Its bytes, compiled."""
        path, content = self._code.local[fullname.removeprefix(f"{self._root}.")]
        code: CodeType = compile(content, path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        module.__file__ = str(self._code.local[module.__name__.removeprefix(f"{self._root}.")][0])
        self._give_import(module)
        super().exec_module(module)

    def _give_import(self, module: ModuleType) -> None:
        """``import helper`` means the local module of this name, now and in functions that are called later."""
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        if level or first not in self._first:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{self._root}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{self._root}.{first}"]
