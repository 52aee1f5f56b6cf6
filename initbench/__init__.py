"""initbench: the reference benchmark for neural-network weight initialization.

``run`` trains a comparison and returns its :class:`Results`, ``load`` returns those of a folder, ``verify`` trains
recorded trials again, ``pack`` puts records into one file and ``unpack`` takes them out, ``initialize`` draws the
weights of any ``nn.Module``, ``probe`` says what one does before it is trained, ``diagnose`` what is wrong with it,
``claims`` which claims hold. The command line is a thin face of the same functions. What a user can mend is raised as
an :class:`InputError` or a :class:`StorageError`, both :class:`InitbenchError`, in one line.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from initbench.version import __version__

if TYPE_CHECKING:
    from initbench.api.diagnose import diagnose
    from initbench.api.initialize import initialize
    from initbench.api.load import load
    from initbench.api.probe import probe
    from initbench.api.race import race
    from initbench.api.results import Results
    from initbench.api.run import run
    from initbench.api.verify import verify
    from initbench.errors import InitbenchError, InputError, StorageError
    from initbench.records.packing import pack, unpack

__all__ = [
    "InitbenchError",
    "InputError",
    "Results",
    "StorageError",
    "__version__",
    "claims",
    "diagnose",
    "initialize",
    "load",
    "pack",
    "probe",
    "race",
    "run",
    "unpack",
    "verify",
]

# Silent unless a program configures this logger, or the command line is asked to debug.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Loaded on first use: the command line must not wait for torch or pandas.
_HOMES = {
    "InitbenchError": "errors",
    "InputError": "errors",
    "Results": "api.results",
    "StorageError": "errors",
    "claims": "api.claims",
    "diagnose": "api.diagnose",
    "initialize": "api.initialize",
    "load": "api.load",
    "pack": "records.packing",
    "probe": "api.probe",
    "race": "api.race",
    "run": "api.run",
    "unpack": "records.packing",
    "verify": "api.verify",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"initbench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'initbench' has no attribute '{name}'")


def __dir__() -> list[str]:
    """For who looks what there is: also what is not loaded yet."""
    return sorted({*globals(), *__all__})
