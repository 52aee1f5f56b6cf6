"""Execute a notebook with this Python and this checkout, no matter which kernels are installed.

``python execute_notebook.py NOTEBOOK OUT`` runs it in the current folder. A process of its own, as the packages for
notebooks leave sockets and event loops behind.
"""

import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]


class ThisPython(KernelSpecManager):
    """Has one kernel, under every name."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, env={"PYTHONPATH": str(ROOT)}, display_name="this", language="python")


if __name__ == "__main__":
    notebook = nbformat.read(sys.argv[1], as_version=4)
    NotebookClient(notebook, km=AsyncKernelManager(kernel_spec_manager=ThisPython()), timeout=600).execute()
    nbformat.write(notebook, sys.argv[2])
