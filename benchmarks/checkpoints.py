"""What a checkpoint costs: bytes and seconds of writing the states of networks of several sizes, and the part of time.

Run it as ``python benchmarks/checkpoints.py [FOLDER]``; the folder is on the disk to be measured.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from initbench.engine.checkpoints import State
from initbench.engine.job import Ints
from initbench.experiment.checkpoints import SECONDS, Files

# Parameters, and arrays of the optimizer's state for each.
SIZES = {
    "mlp 784-128-128-10, momentum": (118_282, 1),
    "half a million parameters, Adam": (500_000, 2),
    "mlp 784-1000x5-10, momentum": (4_799_010, 1),
    "mlp 784-2048x10-10, Adam": (39_396_362, 2),
}


def measured(folder: Path, n_params: int, n_buffers: int) -> tuple[int, float, float]:
    """Bytes, and seconds of writing and of reading a state of this size."""
    rng = np.random.default_rng(0)
    state = {str(number): rng.standard_normal(n_params, np.float32) for number in range(1 + n_buffers)}
    trials: Ints = np.array([0])
    make: Callable[[], State] = partial(dict, state)
    files = Files(folder, ["0" * 32], {}, seconds=0)
    files.find(trials, make)
    began = time.perf_counter()
    files.offer(trials, make)
    written = time.perf_counter()
    assert files.find(trials, make) is not None
    return sum(values.nbytes for values in state.values()), written - began, time.perf_counter() - written


def main() -> None:
    """Print a line for every size."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for name, size in SIZES.items():
            n_bytes, write, read = measured(Path(folder), *size)
            part = write / max(SECONDS, Files.share * write)
            took = f"written in {write:.3f} s ({part:.2%} of the time), read in {read:.3f} s"
            print(f"{name}: {n_bytes / 1e6:.1f} MB, {took}")


if __name__ == "__main__":
    main()
