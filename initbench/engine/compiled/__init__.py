"""Plain networks on a CPU: every thread trains one network at a time, in compiled code, out of its cache."""

from initbench.engine.compiled.convolution import Images
from initbench.engine.compiled.train import lack, train

__all__ = ["Images", "lack", "train"]
