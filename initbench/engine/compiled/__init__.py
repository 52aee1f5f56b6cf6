"""Multilayer perceptrons on a CPU: every thread trains one network at a time, in compiled code, out of its cache."""

from initbench.engine.compiled.train import lack, train
from initbench.engine.threads import n_threads

__all__ = ["lack", "n_threads", "train"]
