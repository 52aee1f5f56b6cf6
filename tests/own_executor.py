"""An executor of a package of one's own, as CONTRIBUTING.md shows it."""

from initbench.experiment import process
from initbench.experiment.executors import Sweep
from initbench.experiment.executors.local import train_in


def train(sweep: Sweep, *, processes: int = 2) -> None:
    """Processes of one thread each."""
    with sweep.sharing:
        process.start(processes)
        train_in(process, processes, 1, sweep)
