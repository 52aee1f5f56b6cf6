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
from initbench.processors import THREADS, processor
from initbench.settings.request import HERE, Request
from initbench.version import __version__

# Of other versions of these a number may differ in its bits.
_PACKAGES = ("torch", "numpy", "scipy", "numba")
_PROCESSOR = "processor"


class Handed(msgspec.Struct, frozen=True):
    """What is handed over to all of them.

    Attributes:
        request: with whole paths.
        retry: what is to be trained again.
        versions: of what trains, and the kind of processor, where the request was made.
        refuse: as of :func:`check`.
    """

    request: msgspec.Raw
    retry: Retry | None
    versions: dict[str, str]
    refuse: str = "versions"


def hand_over(file: Path, request: Request, retry: Retry | None) -> None:
    """Write what each of them reads.

    Raises:
        StorageError: it cannot be written.
    """
    refuse = dict(request.executor.params)["refuse"]
    handed = Handed(msgspec.Raw(request.to_json()), retry, versions(), refuse)
    try:
        write(file, msgspec.json.encode(handed))
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error


def versions() -> dict[str, str]:
    """Of what a number's bits depend on; and the kind of processor, from which the matrix product follows, too."""
    installed = {name: importlib.metadata.version(name).partition("+")[0] for name in _PACKAGES}
    found = {"initbench": __version__, "Python": ".".join(platform.python_version_tuple()[:2])} | installed
    return found | {_PROCESSOR: processor()}


def work(file: Path, number: int, of: int) -> None:
    """Train until every trial of the request has its record; why that cannot be is written beside the file.

    What is another here than there, and is not refused, is written there too, before anything is trained.

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
        if note := check(handed.versions, handed.refuse):
            say(f"note: {note}")
            write(file.with_name(f"{number}.note"), f"{platform.node()}: {note}".encode(errors="replace"))
        request = replace(Request.from_json(bytes(handed.request)), executor=HERE)
        execute(request, say, verbose=True, quiet=True, retry=handed.retry, turn=(number, of))
    except InitbenchError as error:
        say(f"error: {error}")
        write(file.with_name(f"{number}.error"), f"{platform.node()}: {error}".encode(errors="replace"))


def check(there: dict[str, str], refuse: str) -> str:
    """See whether what trains here is as it is there; what is not, and is not refused, in a line.

    Args:
        there: the :func:`versions` of whoever asks.
        refuse: ``versions``: other ones; ``all``: another kind of processor, too; ``nothing``.

    Raises:
        InputError: it is not, so that a number might differ in its bits.
    """
    here = versions()
    differ = {name: f"{name} {here.get(name, 'none')} here and {there[name]} there" for name in there}
    differ = {name: line for name, line in differ.items() if here.get(name) != there[name]}
    refused = differ.keys() - {"versions": {_PROCESSOR}, "all": set(), "nothing": differ.keys()}[refuse]
    if refused:
        lines = [line for name, line in differ.items() if name in refused]
        raise InputError(f"another installation than the one that asks: {', '.join(lines)}")
    return f"the last bits of numbers may differ: {', '.join(differ.values())}" if differ else ""


def errors(folder: Path) -> list[str]:
    """What they could not do, a line each; the file that was handed over lies in the folder."""
    return [line for path in sorted(folder.glob("*.error")) for line in _lines(path)]


def notes(folder: Path) -> list[str]:
    """What is another where they train, and on which of them, a line for each thing."""
    nodes: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.note")):
        for line in _lines(path):
            node, _, what = line.partition(": ")
            nodes.setdefault(what, []).append(node)
    return [f"{', '.join(sorted(set(where)))}: {what}" for what, where in nodes.items()]


def _lines(path: Path) -> list[str]:
    try:
        return [path.read_text(errors="replace")]
    except OSError:
        return []
