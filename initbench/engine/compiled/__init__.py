"""Multilayer perceptrons on a CPU: every thread trains one network at a time, in compiled code, out of its cache."""

from initbench.engine.compiled.train import lack, train

__all__ = ["lack", "train"]
