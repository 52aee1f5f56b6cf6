"""``python -m initbench`` is the ``initbench`` command."""

from initbench.cli import main

if __name__ == "__main__":
    main()
