"""``python -m initbench`` is the ``initbench`` command."""

from initbench.commands.app import main

if __name__ == "__main__":
    main()
