"""The records: what training leaves behind and all that a report reads; their files, and columns of them."""

from initbench.records.entries import Damaged, Unusable
from initbench.records.probe import ProbeRecord
from initbench.records.schema import FORMAT, Environment, Header, Labels, TrialRecord
from initbench.records.store import Loaded, check_writable, files, load, publish, read, read_all

__all__ = [
    "FORMAT",
    "Damaged",
    "Environment",
    "Header",
    "Labels",
    "Loaded",
    "ProbeRecord",
    "TrialRecord",
    "Unusable",
    "check_writable",
    "files",
    "load",
    "publish",
    "read",
    "read_all",
]
