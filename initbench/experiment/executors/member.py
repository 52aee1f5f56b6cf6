"""One of many processes on a cluster that train a request together: they share it through records and claims.

Each has the whole request, in a file, and does what the same command does on one machine. So there is nobody whose
death costs more than a chunk, and nothing to ask anybody.
"""

import importlib.metadata
import logging
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from initbench.errors import InitbenchError, InputError, StorageError
from initbench.experiment.executors import Retry
from initbench.experiment.progress import say
from initbench.files import write
from initbench.processors import THREADS
from initbench.settings.request import HERE, Request
from initbench.version import __version__

# Of other versions of these a number may differ in its bits.
_PACKAGES = ("torch", "numpy", "scipy", "numba")


class Handed(msgspec.Struct, frozen=True):
    """What is handed over to all of them.

    Attributes:
        request: with whole paths.
        retry: what is to be trained again.
        versions: of what trains, where the request was made.
    """

    request: msgspec.Raw
    retry: Retry | None
    versions: dict[str, str]


def hand_over(file: Path, request: Request, retry: Retry | None) -> None:
    """Write what each of them reads.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        write(file, msgspec.json.encode(Handed(msgspec.Raw(request.to_json()), retry, versions())))
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error


def versions() -> dict[str, str]:
    """Of what a number's bits depend on. Needs no torch."""
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in _PACKAGES}
    return {"initbench": __version__, "Python": ".".join(platform.python_version_tuple()[:2])} | installed


def work(file: Path, number: int, of: int) -> None:
    """Train until every trial of the request has its record; why that cannot be is written beside the file.

    Args:
        file: that :func:`hand_over` wrote, on a file system that all of them share.
        number: which one this is.
        of: how many there are.
    """
    from initbench.experiment.execute import execute

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", level=logging.INFO)
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ.setdefault(THREADS, cpus)
    try:
        handed = msgspec.json.decode(file.read_bytes(), type=Handed)
        check(handed.versions)
        request = replace(Request.from_json(bytes(handed.request)), executor=HERE)
        execute(request, say, verbose=True, quiet=True, retry=handed.retry, turn=(number, of))
    except InitbenchError as error:
        say(f"error: {error}")
        write(file.with_name(f"{number}.error"), f"{platform.node()}: {error}".encode(errors="replace"))


def check(there: dict[str, str]) -> None:
    """See that what trains here is as it is there.

    Raises:
        InputError: it is not, so that a number might differ in its bits.
    """
    here = versions()
    names = [name for name in there if here.get(name) != there[name]]
    differ = [f"{name} {here.get(name, 'none')} here and {there[name]} there" for name in names]
    if differ:
        raise InputError(f"another installation than the one that asks: {', '.join(differ)}")


def errors(folder: Path) -> list[str]:
    """What they could not do, a line each; the file that was handed over lies in the folder."""
    found = []
    for path in sorted(folder.glob("*.error")):
        try:
            found.append(path.read_text(errors="replace"))
        except OSError:
            continue
    return found
