"""Whether initbench works on this machine as it should, and whether results folders are whole."""

import importlib.metadata
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from initbench.cache import cache_folder, is_private
from initbench.errors import one_line
from initbench.records import index, store
from initbench.version import __version__

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "numba", "pandas", "hydra-core")
# How much faster than the chosen matrix product another may be; timings differ by a tenth from one to the next.
_MARGIN = 1.2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the thing.
        said: how it is, in one line.
        wrong: whether it is not as it should be.
    """

    what: str
    said: str
    wrong: bool = False


def installation() -> Iterator[Finding]:
    """Versions, what trains and how fast it multiplies, and where things are kept to be used again."""
    missing = []
    versions = [f"initbench {__version__}", f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding("versions", ", ".join(versions))
    if missing:
        yield Finding("versions", f"not installed: {', '.join(missing)}", wrong=True)
    try:
        import torch
        import torchvision  # noqa: F401
    # An installation can be broken in any way.
    except Exception as error:
        yield Finding("torch", f"cannot be imported: {one_line(error)}", wrong=True)
        return
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield Finding("devices", ", ".join(gpus) or "no GPU that torch finds; the CPU trains")
    yield from _products()
    yield from _caches()


def _products() -> Iterator[Finding]:
    from initbench.engine.compiled import blas
    from initbench.processors import processor, processors

    yield Finding("processor", f"{processor()}, {processors()} threads: a network each")
    accurate = []
    for route in blas.routes():
        if blas.is_accurate(route):
            accurate.append(route)
        else:
            yield Finding("product", f"{route.name} multiplies less accurately than float32, and is not used")
    if not accurate:
        yield Finding("product", "there is no accurate matrix product for the compiled engine", wrong=True)
        return
    chosen, rates = blas.chosen(), blas.gflops(accurate)
    told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    yield Finding("product", f"{chosen.name}: {blas.reason()}; GFLOP/s of a thread: {told}")
    best = max(rates, key=lambda name: rates[name])
    if rates[best] > _MARGIN * rates[chosen.name]:
        setting = next(key for key, route in blas.ROUTES.items() if (found := route()) and found.name == best)
        factor = rates[best] / rates[chosen.name]
        yield Finding("product", f"{best} is {factor:.1f} times as fast here: blas={setting} takes it", wrong=True)


def _caches() -> Iterator[Finding]:
    from initbench.engine.compiled.machine_code import place

    folder = place()
    if folder is None:
        yield Finding("machine code", "is kept nowhere: every command that trains compiles anew", wrong=True)
    else:
        yield Finding("machine code", f"{folder}, {len(list(folder.iterdir()))} functions")
    own = is_private(cache_folder())
    why = "" if own else "; it is not yours alone, or cannot be written: reports read every record each time"
    yield Finding("cache", f"{cache_folder()}{why}", wrong=not own)


def results(folders: Sequence[Path]) -> Iterator[Finding]:
    """What is in some results folders, and all that is wrong there; every file is read again.

    Raises:
        StorageError: a folder or a file cannot be read.
    """
    wrong = index.examine(folders)
    yield Finding("records", f"{len(store.files(folders))} files in {', '.join(map(str, folders))}")
    yield from (Finding("records", line, wrong=True) for line in wrong)
