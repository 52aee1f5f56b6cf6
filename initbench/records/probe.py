"""What a probe left behind: a network looked at before it is trained, a record like a trial's in files beside them."""

from typing import Any

import msgspec

from initbench.records.schema import Digest, Network, Outcome, check_asked
from initbench.trial import Asked


class ProbeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one network at its start, on the first batch that its training would see.

    Attributes:
        key: the hash of ``trial``.
        trial: its identity, as :func:`initbench.probing.plan.identity` gives it: a trial's without what comes after
            the first step, and with the recipe of the probe.
        asked: how it was asked for.
        formula: of what its weights were drawn from.
        outcome: ``ok``, ``diverged`` (a number was NaN or infinite, and is None here) or ``failed`` (it could not
            start).
        error: why it failed, in one line.
        layers: quantity to a number for every layer, the first one first; None where it has no meaning, or was not
            finite.
        values: quantity of the whole network to its number; None likewise.
        given: what the theory of wide networks starts from. Of the batch, as means over equally large parts of it,
            ascending: ``rms`` of a sample, ``correlation`` (the cosine) of two. Of each layer: ``sigma_w`` and
            ``sigma_b`` as its laws promise them, None where the theory says nothing of such laws; ``orthogonal``, 0
            or 1; ``fan_in``. And ``gradient_alike``, the mean squared cosine of two inputs' gradients at the output.
    """

    key: Digest
    trial: dict[str, Any]
    asked: Asked = Asked()
    formula: str = ""
    outcome: Outcome
    error: str | None = None
    layers: dict[str, list[float | None]] = {}
    values: dict[str, float | None] = {}
    given: dict[str, list[float | None]] = {}

    def __post_init__(self) -> None:
        msgspec.convert(self.trial, Network)
        check_asked(self.asked)
        if len({len(values) for values in self.layers.values()}) > 1:
            raise ValueError("its quantities are of different numbers of layers")
