"""A module that does to some trials what no module should, while a file says so."""

import os
from pathlib import Path

import torch

import initbench
from initbench.seeding import stream

# What is done in a training step, and how its outcome is recorded, by the seed of the trial. Seed 0 behaves.
DEEDS = {
    1: ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    2: ("raise BaseException('no luck')", "BaseException: no luck"),
    3: ("raise GeneratorExit", "GeneratorExit"),
    4: ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    5: ("sys.exit(3)", "SystemExit: 3"),
    6: ("os._exit(3)", "exited with code 3"),
    7: ("ctypes.string_at(0)", "killed by signal SIGSEGV"),
    8: ("torch.empty(10**14)", "ran out of memory: "),
    9: ("raise ValueError('broken \\udcff\\ud800 text')", "ValueError: broken ?? text"),
    10: ("raise Mute()", "Mute"),
    # Another process might have done it: it has a second try.
    11: ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal SIGKILL, as the system does when memory runs out"),
    # Lets no other thread of Python run.
    12: ("ctypes.PyDLL(None).sleep(10_000)", "no step for 2 s"),
    13: ("return self.output(x.flatten(1)) * float('nan')", ""),
}
STUCK, NAN = 12, 13

_MODULE = """
import ctypes, os, signal, sys, time
from pathlib import Path
import torch
from torch import nn

class Mute(Exception):
    def __str__(self):
        raise RuntimeError

class Net(nn.Module):
    def __init__(self, sample, n_classes):
        super().__init__()
        self.register_buffer("mark", torch.rand(()))
        self.output = nn.Linear(sample[0], n_classes)

    def forward(self, x):
        if self.training and Path("poison").exists():
            Path("pid").write_text(str(os.getpid()))
            mark, active = float(self.mark), Path("poison").read_text().split()
CASES
        return self.output(x.flatten(1))

def net(sample, n_classes):
    return Net(sample, n_classes)
"""


def write(*seeds: int) -> None:
    """The module as ``net.py``, and the seeds to whose trials something is done as ``poison``."""
    cases = []
    for seed, (deed, _) in DEEDS.items():
        generator = torch.Generator().manual_seed(int(stream(seed, "module").integers(2**63)))
        mark = float(torch.rand((), generator=generator))
        cases += [f"            if '{seed}' in active and mark == {mark!r}:", f"                {deed}"]
    Path("net.py").write_text(_MODULE.replace("CASES", "\n".join(cases)))
    Path("poison").write_text(" ".join(map(str, seeds)))


def around() -> dict[str, str]:
    """The variables of a process that is to find this copy of the package."""
    return {**os.environ, "PYTHONPATH": str(Path(initbench.__file__).parents[1])}
