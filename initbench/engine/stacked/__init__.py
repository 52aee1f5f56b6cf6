"""Any model with torch: side by side in a stack on a GPU, one per thread where a CPU has no compiled code."""

from initbench.engine.stacked.train import Build, train, train_each

__all__ = ["Build", "train", "train_each"]
