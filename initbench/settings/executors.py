"""The table of executors: who trains, and what can be set of them; ours, and those of installed packages.

A package names its executors in the entry point group ``initbench.executors``, each a function ``train(sweep, *,
param=default, ...)``, as :func:`initbench.experiment.executors.train` has it. It is loaded when it is asked for.
"""

import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from initbench.errors import in_one_line
from initbench.signature import declared
from initbench.values import Parameter

ENTRY_POINTS = "initbench.executors"


@dataclass(frozen=True)
class Executor:
    """Who trains: what there is to say of it, and what can be set of it."""

    about: str
    parameters: tuple[Parameter, ...]


_REFUSE = Parameter(
    "refuse",
    "versions",
    str,
    choices=("versions", "all", "nothing"),
    help="of workers that are not as this command: those of other versions; of another processor too; none",
)
EXECUTORS = {
    "local": Executor(
        "processes on this machine, each with its part of the processors",
        (
            Parameter(
                "processes",
                None,
                int,
                least=1,
                optional=True,
                help="that train side by side; null: one, or one for each processor where networks would take turns",
            ),
        ),
    ),
    "slurm": Executor(
        "a job array of Slurm; submitted by submitit: pip install 'initbench[slurm]'",
        (
            Parameter("workers", 8, int, least=1, help="jobs of the array; each trains what no other does"),
            Parameter("parallel", None, int, least=1, optional=True, help="of them at once, at most; null: all"),
            Parameter("minutes", 240, int, least=1, help="of a job, after which it is queued again, and goes on"),
            Parameter("cpus", 4, int, least=1, help="of a job: a network is trained on each"),
            Parameter("memory", 8.0, above=0, help="of a job, in GB"),
            Parameter("gpus", 0, int, least=0, help="of a job"),
            *(
                Parameter(name, None, str, optional=True, help=f"of the jobs, as sbatch has it; null: {default}")
                for name, default in (
                    ("partition", "the cluster's own"),
                    ("account", "the user's own"),
                    ("qos", "the account's own"),
                    ("constraint", "none"),
                )
            ),
            Parameter("setup", None, str, optional=True, help="a shell line before a job's work: modules, variables"),
            Parameter("python", None, str, optional=True, help="what runs Python on a node; null: as here"),
            _REFUSE,
        ),
    ),
    "ray": Executor(
        "workers of a Ray cluster, or of one that is started here: pip install 'initbench[ray]'",
        (
            Parameter("address", None, str, optional=True, help="of the cluster; null: RAY_ADDRESS, or one here"),
            Parameter("workers", None, int, least=1, optional=True, help="at once; null: as many as have a place"),
            Parameter("cpus", 1, int, least=1, help="of a worker: a network is trained on each"),
            Parameter("gpus", 0.0, least=0, help="of a worker; a fraction where several share one"),
            _REFUSE,
        ),
    ),
}


@lru_cache(maxsize=1)
def offered() -> Mapping[str, importlib.metadata.EntryPoint]:
    """Those of installed packages, by their names; one of ours comes before one of its name."""
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.name: point for point in found if point.name not in EXECUTORS}


def executor(name: str) -> Executor:
    """One of either.

    Raises:
        InputError: the package's function cannot be loaded.
    """
    if name in EXECUTORS:
        return EXECUTORS[name]
    function = function_of(name)
    about = (inspect.getdoc(function) or "").partition("\n")[0]
    return Executor(about or f"of {offered()[name].module}", declared(function))


def function_of(name: str) -> Callable[..., Any]:
    """What a package's executor does.

    Raises:
        InputError: it cannot be loaded.
    """
    point = offered()[name]
    with redirect_stdout(sys.stderr), in_one_line(f"executor '{name}' of package {point.module}"):
        found: Callable[..., Any] = point.load()
    return found
