"""What a record is: one trial's identity, how it was asked for, what became of it; and where it was made.

The trainer fills these types, everything else reads them. Files of older formats are upgraded here and nowhere else.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from initbench.trial import Asked, trial_key

# 3: trials have the loss of a constant prediction, where their task is told by it.
FORMAT = 3

SPLITS = ("train", "val", "test")
# What records tell of a trial; "slow" and "stuck" are found by the analysis.
Outcome = Literal["ok", "diverged", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "diverged", "failed")


# Of samples or steps; no training of today comes near.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
# As a hash is written: no text that a table would have to make room for.
Digest = Annotated[str, msgspec.Meta(max_length=64)]


class Counts(msgspec.Struct, frozen=True):
    """How many samples of each split; None where it is not known."""

    train: Count | None = None
    val: Count | None = None
    test: Count | None = None


class Losses(msgspec.Struct, frozen=True):
    """The mean loss over each split; None where it is not finite."""

    train: float | None = None
    val: float | None = None
    test: float | None = None


class Curves(msgspec.Struct, frozen=True):
    """What was measured after each epoch, on the validation split before training too; None where it was not.

    ``train_loss`` and ``train_correct`` are those of the batches of an epoch as they were seen.
    """

    train_loss: list[float | None] = []
    train_correct: list[Count | None] = []
    val_loss: list[float | None] = []
    val_correct: list[Count | None] = []


class Weights(msgspec.Struct, frozen=True):
    """16 hex digits of the hash of all parameters, before and after the training."""

    initial: Digest | None = None
    final: Digest | None = None


class Cost(msgspec.Struct, frozen=True):
    """What an initializer of whole networks took: training ``samples`` read, optimizer ``steps``, wall ``seconds``."""

    samples: float
    steps: float
    seconds: float


class Environment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where numbers were made; part of no key. Empty or None where it is not known or has no meaning.

    ``threads`` and ``blas`` are those of a CPU: how many networks were trained at once, and whose matrix product;
    ``scipy`` and ``numba``, which compile and link what a CPU trains with, were not recorded at first.
    """

    initbench: str = ""
    python: str = ""
    torch: str = ""
    numpy: str = ""
    system: str = ""
    device: str = ""
    processor: str = ""
    cpu_capability: str = ""
    threads: int | None = None
    blas: str | None = None
    scipy: str = ""
    numba: str = ""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a file: its format, what kind of lines follow, when and where they were made.

    ``kind`` is ``trials``, ``labels`` (further ways in which trials of other files were asked for) or ``probe``
    (:mod:`initbench.records.probe`).
    """

    format: int
    chunk: str = ""
    kind: str = "trials"
    started: str = ""
    finished: str = ""
    environment: Environment = Environment()


class _Named(msgspec.Struct):
    name: str


class _Law(msgspec.Struct):
    law: str


class _Dataset(msgspec.Struct):
    sha256: str
    standardize: str


class Network(msgspec.Struct, kw_only=True):
    """What every identity says of a network and its first step: without it, no report could say what it was."""

    dataset: _Dataset
    model: _Named
    depth: int
    width: list[int]
    activation: _Named
    init: _Law
    bias: _Law
    optimizer: _Named
    lr: Annotated[float, msgspec.Meta(gt=0)]
    batch_size: Annotated[int, msgspec.Meta(ge=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    init_first: _Law | None = None
    init_output: _Law | None = None


class _Identity(Network, kw_only=True):
    """What that of a trial has too."""

    schedule: str
    warmup: Annotated[float, msgspec.Meta(ge=0)]
    epochs: Annotated[int, msgspec.Meta(ge=1)]


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one trial.

    Attributes:
        key: the hash of ``trial``.
        trial: its identity, as :meth:`initbench.trial.Cell.identity` gives it.
        asked: how it was asked for.
        formula: of what its weights were drawn from.
        outcome: ``ok``, ``diverged`` (a loss became NaN or infinite) or ``failed`` (it could not start).
        diverged_at: optimizer steps made before the loss was not finite.
        error: why it failed, in one line.
        n_total: samples of each split; ``n_majority`` test samples of the most frequent class.
        constant: the mean loss over each split of the one prediction that suits it best: of regression the variance
            of the targets, of classes the entropy of how frequent they are.
        n_correct: with the final weights; on the training samples as they were seen in the last epoch. ``loss`` too.
        n_answers: how many different classes the network names, of all test samples.
        history: what was measured on the way.
        weights: hashes of the parameters.
        certificate: per weight the standard deviation that its law promises, if it does, and the one it has.
        init_cost: of an initializer that works on the whole network.
    """

    key: Digest
    trial: dict[str, Any]
    asked: Asked = Asked()
    formula: str = ""
    outcome: Outcome
    diverged_at: Count | None = None
    error: str | None = None
    n_total: Counts | None = None
    n_majority: Count | None = None
    constant: Losses | None = None
    n_correct: Counts | None = None
    n_answers: Count | None = None
    loss: Losses | None = None
    history: Curves = Curves()
    weights: Weights = Weights()
    certificate: dict[str, tuple[float | None, float]] = {}
    init_cost: Cost | None = None

    def __post_init__(self) -> None:
        msgspec.convert(self.trial, _Identity)
        check_asked(self.asked)
        total, own = self.n_total or Counts(), self.n_correct or Counts()
        if self.n_correct is not None and self.n_total is None:
            raise ValueError("it counts correct samples, and not how many there are")
        counted = (
            ("train", own.train, self.history.train_correct, total.train),
            ("val", own.val, self.history.val_correct, total.val),
            ("test", own.test, [self.n_majority], total.test),
        )
        for split, correct, others, there in counted:
            if correct is not None and there is None:
                raise ValueError(f"it counts correct {split} samples, and not how many there are")
            most = max((count for count in (correct, *others) if count is not None), default=0)
            if there is not None and most > there:
                raise ValueError(f"{most} of {there} {split} samples are correct")


class Labels(msgspec.Struct, frozen=True):
    """One more way in which the trials of some keys were asked for."""

    asked: Asked
    keys: list[Digest]

    def __post_init__(self) -> None:
        check_asked(self.asked)


def check_asked(asked: Asked) -> None:
    """Refuse what names no protocol.

    Raises:
        ValueError: it names none.
    """
    msgspec.convert(asked.protocol, _Named)


def plain(value: msgspec.Struct) -> Any:
    """A value of these types as JSON's own."""
    return msgspec.to_builtins(value)


def record_of(line: Mapping[str, Any], written: int) -> TrialRecord:
    """One line of a file of trials, whatever format it was written in.

    Args:
        line: as JSON has it.
        written: the format.

    Raises:
        ValueError: it is no record; the message says what it lacks.
    """
    return msgspec.convert(upgraded(line) if written < 2 else line, TrialRecord)


def upgraded(line: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's line of format 1, whose identity and key held the names and the protocol too, as one of today.

    Raises:
        ValueError: it lacks what a trial must have.
    """
    if not isinstance(line, Mapping) or not isinstance(line.get("trial"), Mapping):
        raise msgspec.ValidationError("Object missing required field `trial`")
    trial, asked = split(line["trial"])
    known = {name: value for name, value in line.items() if value is not None or name in ("key", "outcome")}
    return known | {"key": trial_key(trial), "trial": trial, "asked": asked}


def split(old: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An identity of format 1 as an identity of today and how it was asked for.

    In its oldest form the model was a name, and the bias policy was among the initializer's parameters.
    """
    trial, asked = dict(old), {}
    try:
        for group in ("dataset", "init", "init_first", "init_output"):
            node = trial.get(group)
            if node is None:
                trial[group] = None
                continue
            trial[group] = {key: value for key, value in node.items() if key not in ("name", "bias", "branches")}
            if "branches" in node:
                trial[group]["scheme"] = node["branches"]
            asked[group] = node["name"]
        bias = trial.get("bias", old["init"].get("bias", "zeros"))
        bias = dict(bias) if isinstance(bias, Mapping) else {"name": bias}
    except (AttributeError, KeyError, TypeError) as error:
        raise msgspec.ValidationError("Object missing required field `name` - at `$.trial`") from error
    asked["bias"] = bias.pop("name")
    # Two names of one law.
    trial["bias"] = {"law": {"critical": "normal"}.get(asked["bias"], asked["bias"]), **bias}
    trial["model"] = {"name": trial["model"]} if isinstance(trial.get("model"), str) else trial.get("model")
    protocol = trial.pop("protocol", "fixed")
    protocol = dict(protocol) if isinstance(protocol, Mapping) else {"name": protocol}
    if "lrs" in protocol:
        protocol |= {"search.lr": protocol.pop("lrs"), "geometric": ["lr"]}
    asked["protocol"] = protocol
    asked["stage"] = trial.pop("stage", "final")
    if "search.lr" in protocol and asked["stage"] == "final":
        asked["chosen"] = {"lr": trial["lr"]}
    return trial, asked


def settings(trial: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """All settings of a trial but its seed, as a nested dictionary: its identity, with the names it was asked for."""
    found = {key: value for key, value in trial.items() if key != "seed"}
    # Others may leave out what is off.
    for group in ("init_first", "init_output"):
        found.setdefault(group, None)
    for group in ("dataset", "init", "init_first", "init_output", "bias"):
        if isinstance(found.get(group), Mapping):
            # Of others' records, which may not say how they were asked for, what is known.
            law = found[group].get("law") or str(found[group].get("sha256", ""))[:12]
            found[group] = {"name": getattr(asked, group) or law, **found[group]}
    if isinstance(found.get("dataset"), dict):
        found["dataset"].setdefault("split", "fixed")
    activation = found.get("activation")
    if isinstance(activation, Mapping) and activation.get("name") == "tat" and _follows(asked):
        # One setting at all depths, whatever the slope that follows from each.
        eta = asked.settings.get("activation.eta")
        found["activation"] = {"name": "tat", **({} if eta is None else {"eta": eta})}
    found["protocol"] = asked.protocol if len(asked.protocol) > 1 else asked.protocol["name"]
    return found | {"stage": asked.stage, "chosen": asked.chosen}


def _follows(asked: Asked) -> bool:
    """Whether the slope of an activation was left to follow from the depth."""
    return "activation" in asked.settings and asked.settings.get("activation.negative_slope", "auto") == "auto"
