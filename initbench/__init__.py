"""initbench: the reference benchmark for neural-network weight initialization.

``run`` trains a comparison and returns its results, ``load`` returns those of a folder, ``initialize`` draws the
weights of any ``nn.Module``. The command line is a thin face of the same functions.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from initbench.version import __version__

if TYPE_CHECKING:
    from initbench.api.initialize import initialize
    from initbench.api.results import Results, load
    from initbench.api.run import run

__all__ = ["Results", "__version__", "initialize", "load", "run"]

# Silent unless a program configures this logger, or the command line is asked to debug.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Loaded on first use: the command line must not wait for torch or pandas.
_HOMES = {"initialize": "initialize", "Results": "results", "load": "results", "run": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"initbench.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'initbench' has no attribute '{name}'")
