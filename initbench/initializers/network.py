"""The one home of a network's start: for every parameter of a module what draws it, the values, the certificate.

It knows parameters, rules and a seed, and nothing of settings, data or records; :func:`initbench.initialize` and the
trials of a run are two users of it. Every parameter has a random stream of its own, named by the seed and its name,
from which its blocks are drawn in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.errors import InputError
from initbench.initializers.certificates import Certificate, Promise, certify
from initbench.initializers.parameters import Parameter, ParameterBlock
from initbench.initializers.schemes import Draw, Number, Rule, Scheme
from initbench.seeding import stream


@dataclass(frozen=True)
class Part:
    """One parameter and how it starts.

    Attributes:
        parameter: itself.
        draws: what draws each block; empty where the parameter stays as it is.
        factors: what each block is multiplied by.
        of: whose units' norms the parameter holds.
    """

    parameter: Parameter
    draws: tuple[Draw, ...] = ()
    factors: tuple[float, ...] = ()
    of: "Part | None" = None

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.parameter.name

    @property
    def kept(self) -> bool:
        """Whether the parameter stays as it is."""
        return not self.draws and self.of is None

    @property
    def law(self) -> str:
        """The name of what draws it."""
        if self.of is not None:
            return f"norms of {self.of.name}"
        return " + ".join(dict.fromkeys(draw.name for draw in self.draws)) or "kept"

    @property
    def is_alike(self) -> bool:
        """Whether one law draws all blocks, to one shape."""
        shapes = {block.shape for block in self.parameter.blocks}
        return len({*self.factors}) == len(shapes) == 1 and all(draw == self.draws[0] for draw in self.draws)

    def promises(self) -> list[Promise | None]:
        """What is promised of each block."""
        found = []
        for draw, factor, block in zip(self.draws, self.factors, self.parameter.blocks, strict=True):
            promise = draw.promise(block.shape)
            found.append(promise and promise.times(factor))
        return found

    def blocks(self, seed: int) -> list[NDArray[np.float32]]:
        """The initial values, block by block; :meth:`Parameter.assembled` puts them together.

        Raises:
            InputError: a law fails, refuses the block's shape, or draws something that is not finite.
        """
        if self.of is not None:
            return [_norms(self.parameter, self.of.parameter.assembled(self.of.blocks(seed)))]
        rng, found = stream(seed, "init", self.name), []
        for draw, factor, block in zip(self.draws, self.factors, self.parameter.blocks, strict=True):
            try:
                values = draw.values(block.shape, rng)
            except ValueError as error:
                a_block = ", a block" if block.n_packed > 1 else ""
                kind = "bias" if "bias" in block.roles else "init"
                where = f"{kind} '{draw.name}' on {self.name}{a_block} of shape {block.shape}"
                raise InputError(f"{where}: {error}") from error
            found.append(values if factor == 1 else values * np.float32(factor))
        return found

    def certificate(self, blocks: Sequence[NDArray[np.float32]], rounding: float = 0.0) -> Certificate:
        """What was measured on the blocks, beside what is promised of them.

        Args:
            blocks: from :meth:`blocks`, or these as the parameter's precision holds them.
            rounding: the largest relative error of that precision, where it is below float32.
        """
        values = np.concatenate(blocks) if blocks[0].ndim else blocks[0]
        notes = (self.parameter.note,) if self.parameter.note and "bias" not in self.parameter.roles else ()
        if self.of is not None:
            return certify(self.law, values)
        if self.is_alike:
            promise = self.promises()[0]
            found = certify(self.law, values, promise and promise.of_blocks(len(blocks)), rounding)
            found = replace(found, notes=(*found.notes, *notes))
            return found if self.parameter.padding is None else self._padded(found, blocks)
        each = [
            certify(draw.name, values, promise, rounding)
            for draw, values, promise in zip(self.draws, blocks, self.promises(), strict=True)
        ]
        roles = [block.role for block in self.parameter.blocks]
        faults = [f"{role}: {fault}" for role, of in zip(roles, each, strict=True) for fault in of.faults]
        more = [f"{role}: {note}" for role, of in zip(roles, each, strict=True) for note in of.notes]
        return replace(certify(self.law, values), faults=tuple(faults), notes=(*more, *notes))

    def _padded(self, found: Certificate, blocks: Sequence[NDArray[np.float32]]) -> Certificate:
        """The promise is of what is drawn; measured is what the parameter holds, with its row of zeros."""
        held = certify(self.law, self.parameter.assembled(blocks))
        return replace(
            held, promise=found.promise, orthogonality=found.orthogonality, faults=found.faults, notes=found.notes
        )


def assign(parameters: Sequence[Parameter], rules: Sequence[Rule], frozen: bool = False) -> list[Part]:
    """What every parameter starts with, by the first rules that say something of its blocks.

    Args:
        parameters: of a module, from :func:`initbench.models.roles.parameters`.
        rules: a scheme's; a parameter that no rule has a law for stays as it is.
        frozen: whether parameters that are not trained are drawn too.

    Raises:
        InputError: a rule asks for what nothing here can do yet.
    """
    found = {}
    for parameter in parameters:
        part = Part(parameter)
        if frozen or parameter.tensor.requires_grad:
            said = [_said(parameter.name, block, rules) for block in parameter.blocks]
            draws = tuple(draw for draw, _ in said if draw is not None)
            if len(draws) == len(said):
                part = Part(parameter, draws, tuple(factor for _, factor in said))
        found[parameter.name] = part
    for part in found.values():
        of = found.get(part.parameter.norms_of or "")
        if of is not None and not of.kept:
            found[part.name] = Part(part.parameter, of=of)
    return list(found.values())


def refusal(scheme: Scheme, parameters: Sequence[Parameter]) -> str | None:
    """Why a scheme is not for a module; None if it is."""
    layers = [block.n_layers for parameter in parameters for block in parameter.blocks if block.n_layers]
    if scheme.residual and not layers:
        return "is for residual branches, which it cannot find in this module"
    if scheme.residual and min(layers) < scheme.least_layers:
        return f"needs at least {scheme.least_layers} layers in every residual branch; got {min(layers)}"
    return None


def _said(name: str, block: ParameterBlock, rules: Sequence[Rule]) -> tuple[Draw | None, float]:
    """The law and the factor of a block."""
    of_block = [rule for rule in rules if rule.matches(name, block)]
    law = next((rule.law for rule in of_block if rule.law is not None), None)
    for what, numbers in (
        ("a learning rate", [rule.lr for rule in of_block]),
        ("a multiplier", [rule.multiplier for rule in of_block]),
    ):
        if _number(numbers, block) != 1:
            raise InputError(f"the scheme gives {name} {what} of its own, which no engine has yet")
    draw = law if law is None or isinstance(law, Draw) else law(block)
    return draw, _number([rule.factor for rule in of_block], block)


def _number(numbers: Sequence[Number | None], block: ParameterBlock) -> float:
    """The first number there is, for this block; 1 if there is none."""
    number = next((number for number in numbers if number is not None), 1.0)
    return float(number(block) if callable(number) else number)


def _norms(parameter: Parameter, weight: NDArray[Any]) -> NDArray[np.float32]:
    """The norms of a weight's units, over the axes along which the parameter has the size 1."""
    shape = tuple(parameter.tensor.shape)
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1) if shape else None
    norms = np.sqrt(np.square(weight, dtype=np.float64).sum(axes, keepdims=bool(shape)))
    if not norms.all():
        raise InputError(f"{parameter.name} holds norms, and a unit of zeros has no direction; use another init there")
    return np.asarray(norms, np.float32)
