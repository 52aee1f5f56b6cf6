"""How many processors this process may use."""

import os

# Fewer than the system allows: where several processes have each a part of them.
THREADS = "INITBENCH_THREADS"


def processors() -> int:
    """Those that the system lets this process run on, or as many of them as ``INITBENCH_THREADS`` says."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = os.environ.get(THREADS, "")
    return min(there, int(most)) if most.isdecimal() and int(most) else there
