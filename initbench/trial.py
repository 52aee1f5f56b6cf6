"""A trial: its identity, which is everything that decides its numbers, and how it was asked for.

A :class:`Cell` is one setting with all its seeds, a trial is a cell and one seed. The identity is what is trained and
makes the key; names of initializers and data sets, the protocol and what a search chose are labels, kept beside it as
:class:`Asked`. Where the work runs (device, threads, chunk, folder) is neither: it is recorded as provenance.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from initbench.data import DatasetSpec
from initbench.initializers import BIASES
from initbench.tasks import USUAL

# Raised by hand whenever the training code changes what a trial's numbers are.
RECIPE = 2
# Of users' modules on texts, which are trained on what they predict after every character.
_RECIPE_OF_TEXTS = 3

Params = tuple[tuple[str, Any], ...]

# The groups that say what a network starts from: what is compared unless the user says otherwise.
START_GROUPS = ("init", "init_first", "init_output", "bias")

# The settings of a cell that are single values, and no names of options: they can be set by themselves.
VALUES = ("lr", "schedule", "warmup", "epochs", "batch_size")


@dataclass(frozen=True)
class Named:
    """A name from a table, with its parameters."""

    name: str
    params: Params = ()

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"name": self.name, **dict(self.params)}


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a trial was asked for. Part of no key: one trial may be asked for in several ways, and is trained once.

    Attributes:
        dataset: the name of the data set; ``init``, ``init_first``, ``init_output`` and ``bias`` those of what the
            network starts from.
        protocol: what is held equal and what is searched: a name with its parameters.
        stage: ``search`` where the trial only serves to choose, else ``final``.
        chosen: the settings that a search chose, with their values.
        settings: the overrides that train it, as the user wrote them, names first.
    """

    dataset: str = ""
    init: str = ""
    init_first: str | None = None
    init_output: str | None = None
    bias: str = "zeros"
    protocol: dict[str, Any] = msgspec.field(default_factory=lambda: {"name": "fixed"})
    stage: str = "final"
    chosen: dict[str, Any] = msgspec.field(default_factory=dict)
    settings: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def start(self) -> dict[str, str]:
        """The part of the settings that says what a network starts from, the initializer's name first."""
        return {key: value for key, value in self.settings.items() if key.partition(".")[0] in START_GROUPS}

    @property
    def label(self) -> str:
        """What to call a network that starts so: ``he``, ``gaussian std=0.05``, ``he bias=normal``.

        It is made of the settings alone, whatever else there is beside it; where these are not known, it is the name.
        """
        parts = [f"{key.removeprefix('init.')}={value}" for key, value in self.start.items() if key != "init"]
        return " ".join([self.start.get("init", self.init), *parts])

    def text(self) -> bytes:
        """In canonical JSON: equal for what was asked for in one way."""
        # All of it: whether a default is left out depends on which object it is.
        return msgspec.json.encode(msgspec.structs.asdict(self), order="sorted")


@dataclass(frozen=True)
class Init:
    """An initializer: the name it goes by, its law, and the law's resolved parameters.

    ``code`` is the hash of the law's source code where it comes from a plugin; ``scheme`` says what differs from
    layer to layer, a key of :data:`initbench.initializers.schemes.SCHEMES`, or empty; ``file`` is where the plugin is
    found, see :func:`initbench.initializers.plugins.law_of`, and no part of the identity.
    """

    name: str
    law: str
    params: Params = ()
    code: str = ""
    scheme: str = ""
    file: str = ""

    def identity(self) -> dict[str, Any]:
        """What it draws, as plain JSON values; its name is a label."""
        more = {"code": self.code, "scheme": self.scheme}
        return {"law": self.law, **dict(self.params), **{key: value for key, value in more.items() if value}}


@dataclass(frozen=True)
class Cell:
    """One setting. ``width`` has one entry per hidden layer of a perceptron, ``len(width) == depth``.

    ``depth=0`` is softmax regression (one weight matrix), ``depth=1`` has one hidden layer (two matrices),
    ``depth=2`` two (three). What depth and width count in other models, and which have none, is in
    :data:`initbench.models.MODELS`. ``init_first`` and ``init_output`` draw the first and the output layer; None is
    the same as ``init``. ``lr`` is per step, ``warmup`` in epochs. Where a protocol searches, a cell of the ``stage``
    search tries values, and one of the stage final has those ``chosen``; ``settings`` are the overrides that ask for
    it, as the user wrote them.
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
    chosen: Params = ()
    settings: tuple[tuple[str, str], ...] = ()

    def value(self, path: str) -> Any:
        """One of its settings by its name, as ``lr`` or ``optimizer.momentum``.

        Raises:
            KeyError: it has none of this name, or one that is more than a value.
        """
        name, dot, inner = path.partition(".")
        if dot:
            return dict(_params(getattr(self, name, None)))[inner]
        if name not in VALUES:
            raise KeyError(path)
        return getattr(self, name)

    def with_values(self, values: Mapping[str, Any]) -> "Cell":
        """The cell with other values of settings that :meth:`value` knows; nothing follows from them."""
        changed: dict[str, Any] = {}
        for path, value in values.items():
            name, dot, inner = path.partition(".")
            if dot:
                group = changed.get(name) or getattr(self, name)
                params = tuple((key, value if key == inner else old) for key, old in group.params)
                changed[name] = replace(group, params=params)
            else:
                changed[name] = value
        return replace(self, **changed)

    def asked(self) -> Asked:
        """How its trials are asked for."""
        return Asked(
            dataset=self.dataset.name,
            init=self.init.name,
            init_first=self.init_first.name if self.init_first else None,
            init_output=self.init_output.name if self.init_output else None,
            bias=self.bias.name,
            protocol=self.protocol.plain(),
            stage=self.stage,
            chosen=dict(self.chosen),
            settings=dict(self.settings),
        )

    def identity(self, seed: int, sha256: str) -> dict[str, Any]:
        """What makes a trial this trial, as plain JSON values.

        Args:
            seed: the trial's seed.
            sha256: the content hash of the data set.
        """
        identity = {
            "dataset": {
                "sha256": sha256,
                "val": self.dataset.val,
                "test": self.dataset.test,
                "standardize": self.dataset.standardize,
                **({} if self.dataset.train is None else {"train": self.dataset.train}),
                **({} if self.dataset.task == USUAL else {"task": self.dataset.task}),
                **({} if self.dataset.split == "fixed" else {"split": self.dataset.split}),
            },
            # A user's module is what its code says, wherever the file lies.
            "model": {"name": self.model.name, **{k: v for k, v in self.model.params if k != "path"}},
            "depth": self.depth,
            "width": list(self.width),
            "activation": self.activation.plain(),
            "init": self.init.identity(),
            "init_first": self.init_first and self.init_first.identity(),
            "init_output": self.init_output and self.init_output.identity(),
            "bias": {"law": BIASES[self.bias.name].law, **dict(self.bias.params)},
            "optimizer": self.optimizer.plain(),
            "lr": self.lr,
            "schedule": self.schedule,
            "warmup": self.warmup,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "precision": "float32",
            "seed": seed,
        }
        return {"recipe": recipe_of(identity), **identity}


def recipe_of(identity: Mapping[str, Any]) -> int:
    """The recipe by which a trial of this identity is trained today."""
    is_text = identity["dataset"].get("task") == "next_token" and identity["model"]["name"] == "module"
    return _RECIPE_OF_TEXTS if is_text else RECIPE


def _params(group: object) -> Params:
    return group.params if isinstance(group, Named | Init) else ()


def trial_key(identity: Mapping[str, Any]) -> str:
    """The trial's key: 128 bits of the hash of its identity in canonical JSON, as 32 hex digits."""
    return hashlib.blake2b(_canonical(identity), digest_size=16).hexdigest()


def trial_keys(setting: Mapping[str, Any]) -> Callable[[int], str]:
    """The keys of the trials of a setting by their seeds, a tenth of the work of :func:`trial_key` each.

    Args:
        setting: the identity of any of them; its seed does not matter.
    """
    # Names are sorted: what stands before the seed is hashed once.
    before = _canonical({name: value for name, value in setting.items() if name < "seed"})
    after = _canonical({name: value for name, value in setting.items() if name > "seed"})
    head = before[:-1] + b"," * (len(before) > 2) + b'"seed":'
    tail = b"," * (len(after) > 2) + after[1:]
    start = hashlib.blake2b(head, digest_size=16)

    def key(seed: int) -> str:
        state = start.copy()
        state.update(b"%d%b" % (seed, tail))
        return state.hexdigest()

    return key


def _canonical(identity: Mapping[str, Any]) -> bytes:
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
