"""Multilayer perceptrons on a CPU: every thread trains one network at a time, in compiled code, out of its cache."""

from initbench.engine.compiled.train import n_threads, train

__all__ = ["n_threads", "train"]
