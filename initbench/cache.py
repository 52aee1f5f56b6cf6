"""Where things are kept that can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for them, which may be deleted at any time: ``$XDG_CACHE_HOME/initbench``, in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "initbench"
