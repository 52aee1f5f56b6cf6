"""initbench: the reference benchmark for neural-network weight initialization."""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from initbench.api.initialize import initialize

__all__ = ["__version__", "initialize"]

__version__ = "0.1.0"

# Silent unless a program configures this logger, or the command line is asked to debug.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """``initialize`` on first use: the command line must not wait for torch."""
    if name == "initialize":
        from initbench.api.initialize import initialize

        return initialize
    raise AttributeError(f"module 'initbench' has no attribute '{name}'")
