"""A trial's identity: everything that decides its numbers, typed and frozen; and nothing else.

A :class:`Cell` is one setting with all its seeds, a trial is a cell and one seed. Where the work runs (device,
threads, chunk, folder) is not here: it is recorded as provenance and changes no key.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initbench.data import DatasetSpec

# Raised by hand whenever the training code changes what a trial's numbers are.
RECIPE = 2

Params = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Named:
    """A name from a table, with its parameters."""

    name: str
    params: Params = ()


@dataclass(frozen=True)
class Init:
    """An initializer: the name it goes by, its law, and the law's resolved parameters.

    ``code`` is the hash of the law's source code where it comes from a plugin; ``branches`` is the rule for residual
    branches, a key of :data:`initbench.initializers.schemes.BRANCHES`, or empty; ``file`` is where the plugin is
    found, see :func:`initbench.initializers.plugins.law_of`, and no part of the identity.
    """

    name: str
    law: str
    params: Params = ()
    code: str = ""
    branches: str = ""
    file: str = ""

    def identity(self) -> dict[str, Any]:
        """As plain JSON values."""
        more = {"code": self.code, "branches": self.branches}
        return {
            "name": self.name,
            "law": self.law,
            **dict(self.params),
            **{key: value for key, value in more.items() if value},
        }


@dataclass(frozen=True)
class Cell:
    """One setting. ``width`` has one entry per hidden layer of a perceptron, ``len(width) == depth``.

    ``depth=0`` is softmax regression (one weight matrix), ``depth=1`` has one hidden layer (two matrices),
    ``depth=2`` two (three). What depth and width count in other models, and which have none, is in
    :data:`initbench.models.MODELS`. ``init_first`` and ``init_output`` draw the first and the output layer; None is
    the same as ``init``. ``lr`` is per step, ``warmup`` in epochs. Under the tuned protocol a cell of the
    ``stage`` search tries a learning rate, and one of the stage final has the chosen one.
    """

    dataset: DatasetSpec
    model: Named
    depth: int
    width: tuple[int, ...]
    activation: Named
    init: Init
    init_first: Init | None
    init_output: Init | None
    bias: Named
    optimizer: Named
    lr: float
    schedule: str
    warmup: float
    epochs: int
    batch_size: int
    protocol: Named = Named("fixed")
    stage: str = "final"

    def identity(self, seed: int, sha256: str) -> dict[str, Any]:
        """What makes a trial this trial, as plain JSON values.

        Args:
            seed: the trial's seed.
            sha256: the content hash of the data set.
        """
        return {
            "recipe": RECIPE,
            "dataset": {
                "name": self.dataset.name,
                "sha256": sha256,
                "val": self.dataset.val,
                "test": self.dataset.test,
                "standardize": self.dataset.standardize,
            },
            # A user's module is what its code says, wherever the file lies.
            "model": {"name": self.model.name, **{k: v for k, v in self.model.params if k != "path"}},
            "depth": self.depth,
            "width": list(self.width),
            "activation": {"name": self.activation.name, **dict(self.activation.params)},
            "init": self.init.identity(),
            "init_first": self.init_first and self.init_first.identity(),
            "init_output": self.init_output and self.init_output.identity(),
            "bias": {"name": self.bias.name, **dict(self.bias.params)},
            "optimizer": {"name": self.optimizer.name, **dict(self.optimizer.params)},
            "lr": self.lr,
            "schedule": self.schedule,
            "warmup": self.warmup,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "precision": "float32",
            "protocol": {"name": self.protocol.name, **dict(self.protocol.params)} if self.protocol.params else "fixed",
            "stage": self.stage,
            "seed": seed,
        }


def trial_key(identity: Mapping[str, Any]) -> str:
    """The trial's key: 128 bits of the hash of its identity in canonical JSON, as 32 hex digits."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
