"""The optimizers: one file each, with settings, default learning rate, the rule for compiled code and that for torch.

A new one is a file here, its line in the table, and a YAML in ``configs/optimizer/``; both engines and the settings
find it by the table.
"""

from initbench.engine.optimizers import adam, adamw, rmsprop, sgd
from initbench.engine.optimizers.declaration import Optimizer

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": sgd.OPTIMIZER,
    "adam": adam.OPTIMIZER,
    "adamw": adamw.OPTIMIZER,
    "rmsprop": rmsprop.OPTIMIZER,
}

__all__ = ["OPTIMIZERS", "Optimizer"]
