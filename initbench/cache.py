"""Where things are kept that can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for them, which may be deleted at any time: ``$XDG_CACHE_HOME/initbench``, in ``~/.cache``."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "initbench"
    except RuntimeError:
        # For a user without a home nothing is kept: this folder cannot be made.
        return Path(os.devnull) / "initbench"
