"""What this machine computes with: the name of its processor, and how many of them this process may use."""

import os
import platform
from contextlib import suppress
from pathlib import Path

# Fewer than the system allows: where several processes have each a part of them.
THREADS = "INITBENCH_THREADS"


def processors() -> int:
    """Those that the system lets this process run on, or as many of them as ``INITBENCH_THREADS`` says."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = os.environ.get(THREADS, "")
    return min(there, int(most)) if most.isdecimal() and int(most) else there


def processor() -> str:
    """The name of this machine's processor."""
    return _cpuinfo("model name") or platform.processor()


def is_intel() -> bool:
    """Whether this machine's processor is one of Intel's."""
    return "GenuineIntel" in (_cpuinfo("vendor_id") or platform.processor())


def _cpuinfo(key: str) -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    return ""
