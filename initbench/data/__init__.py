"""Data sets: loaded as arrays, split by a named stream, standardised with training statistics.

A new data set is one function returning :class:`~initbench.data.arrays.Arrays`, one line in
:data:`~initbench.data.spec.SOURCES` and one YAML in ``configs/dataset/``. Nothing here imports torch.
"""

from initbench.data.arrays import Arrays
from initbench.data.spec import SOURCES, SPLITTING, STANDARDIZE, TOLD, DatasetSpec, load, pinned, tasks_of
from initbench.data.split import Samples, Split, samples, split, statistics

__all__ = [
    "SOURCES",
    "SPLITTING",
    "STANDARDIZE",
    "TOLD",
    "Arrays",
    "DatasetSpec",
    "Samples",
    "Split",
    "load",
    "pinned",
    "samples",
    "split",
    "statistics",
    "tasks_of",
]
