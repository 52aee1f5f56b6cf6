"""``python -m initbench`` is the ``initbench`` command."""

import sys
from typing import NoReturn

from initbench.commands.stopping import heed, stopped_line
from initbench.errors import Stopped


def main() -> NoReturn:
    """The command, which heeds signals from its first moment on."""
    heed()
    try:
        from initbench.commands.app import main
    except Stopped as stopped:
        print(f"initbench: {stopped_line(stopped)}", file=sys.stderr)
        sys.exit(stopped.exit_code)
    main()


if __name__ == "__main__":
    main()
