"""Schemes: which law, factor, learning-rate factor and multiplier every role of a network gets. Needs no torch.

A scheme is a list of rules, and the first that has something to say of a block decides, for each thing it can say:
what goes before another scheme in the list overrides it. ``init_first``, ``init_output``, the rules for residual
branches and the patterns of :func:`initbench.initialize` are such rules, before the two that name the law of all
weights and the policy of all biases. A new scheme is a line in :data:`SCHEMES`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers import unscaled
from initbench.initializers.biases import BIASES, Bias, Frequencies
from initbench.initializers.certificates import Promise
from initbench.initializers.conformance import drawn
from initbench.initializers.fans import fans
from initbench.initializers.laws import LAWS, Law
from initbench.initializers.parameters import ROLES, ParameterBlock


@dataclass(frozen=True)
class Draw:
    """A law or a bias policy with all its parameters: what draws a block.

    Attributes:
        name: what it goes by.
        law: itself.
        params: its parameters, as (name, value) pairs.
        frequencies: of the classes, for the bias of an output layer whose policy asks for them.
    """

    name: str
    law: Law | Bias
    params: tuple[tuple[str, Any], ...] = ()
    frequencies: tuple[float, ...] | None = None

    def values(self, shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
        """A weight of this shape, or the bias of one.

        Raises:
            ValueError: the law fails, or returns something else than a finite array of the shape.
        """
        if isinstance(self.law, Law):
            return drawn(self.law, shape, rng, dict(self.params))
        frequencies = None if self.frequencies is None else np.array(self.frequencies)
        # What float32 cannot hold, the certificate tells.
        with np.errstate(over="ignore", invalid="ignore"):
            return self.law.function(shape, rng, frequencies, **dict(self.params))

    def promise(self, shape: Sequence[int]) -> Promise | None:
        """What holds of every such weight or bias; None where nothing is promised, as of what the data say."""
        if self.law.promise is None or self.frequencies is not None:
            return None
        return self.law.promise(shape, **dict(self.params))


# A number, or what it is for a block.
Number = float | Callable[[ParameterBlock], float]


@dataclass(frozen=True)
class Rule:
    """What the blocks of one role get; None says nothing of it and leaves it to the rules after this one.

    Attributes:
        role: a key of :data:`initbench.initializers.parameters.ROLES`.
        law: what draws the block; a function may give None, for a block that stays as it is.
        factor: what the drawn values are multiplied by.
        lr: what the learning rate is multiplied by.
        multiplier: what the layer's output is multiplied by, in every forward pass.
        layer: only in layers of this kind, if it is given.
        pattern: only in parameters whose name matches, as ``"fc.*"``.
        params: instead of a law, what parameters of the initializer's own law are for a block.
    """

    role: str
    law: Draw | Callable[[ParameterBlock], Draw | None] | None = None
    factor: Number | None = None
    lr: Number | None = None
    multiplier: Number | None = None
    layer: str = ""
    pattern: str = "*"
    params: Callable[[ParameterBlock], dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role must be one of {', '.join(ROLES)}; got '{self.role}'")

    def matches(self, name: str, block: ParameterBlock) -> bool:
        """Whether it is about this block of the parameter ``name``."""
        return self.role in block.roles and self.layer in ("", block.layer) and fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class Scheme:
    """A named list of rules.

    Attributes:
        formula: the scheme in words.
        source: where it comes from.
        rules: the first that says something decides.
        residual: whether it is for networks with residual branches.
        least_layers: the fewest layers of a branch that it has a meaning for.
        bias: the policy that its rules for biases refine; beside another one they do not count.
    """

    formula: str
    source: str
    rules: tuple[Rule, ...]
    residual: bool = True
    least_layers: int = 1
    bias: str = ""

    @property
    def law(self) -> str:
        """The one law that it is for, whose parameters it sets; empty if it goes with any."""
        return "mirrored" if any(rule.params for rule in self.rules) else ""


def scheme_rules(weights: Draw, biases: Draw, scheme: Scheme | None = None, pattern: str = "*") -> tuple[Rule, ...]:
    """A law for all weights and a policy for all biases, as the scheme changes them.

    Args:
        weights: what draws them where the scheme names no other law.
        biases: the policy.
        scheme: None changes nothing.
        pattern: of the names of the parameters that all this is about.
    """
    own = [rule for rule in scheme.rules if rule.role != "bias" or biases.name == scheme.bias] if scheme else []
    own = [replace(rule, law=_adapted(weights, rule.params), params=None) if rule.params else rule for rule in own]
    # A factor of 1, lest one of a scheme for other layers be meant.
    every = (Rule("weight", weights, factor=1.0), Rule("bias", biases))
    return tuple(replace(rule, pattern=pattern) for rule in (*own, *every))


def _adapted(draw: Draw, params: Callable[[ParameterBlock], dict[str, Any]]) -> Callable[[ParameterBlock], Draw]:
    """A law whose parameters are other ones for some blocks."""
    return lambda block: replace(draw, params=tuple(sorted((dict(draw.params) | params(block)).items())))


def _as_it_is(block: ParameterBlock) -> None:
    """No law: what the module's own code made of it."""


def _constant(name: str, value: float) -> Draw:
    return Draw(name, LAWS["constant"], (("value", value),))


# What leaves its input as it is: a normalisation's scale and shift, a residual branch's multiplier.
NEUTRAL = (
    *(Rule(role, _constant("ones", 1.0)) for role in ("scale", "multiplier")),
    Rule("shift", _constant("zeros", 0.0)),
)


def _fixup(block: ParameterBlock) -> float:
    return float(block.n_branches ** (-1 / (2 * block.n_layers - 2)))


def _mirror(block: ParameterBlock) -> dict[str, Any]:
    """The first layer makes the pairs of units and the last one takes them; one that is both has none."""
    first, last = "input" in block.roles, "output" in block.roles
    return {
        "mirror": {(True, False): "rows", (False, True): "columns", (True, True): "none"}.get((first, last), "both")
    }


def _uniform(bound: Callable[[ParameterBlock], float], name: str = "torch_default") -> Callable[[ParameterBlock], Draw]:
    """U(±bound)."""
    return lambda block: Draw(name, LAWS["uniform"], (("low", -bound(block)), ("high", bound(block))))


def _uniform_bias(bound: Callable[[ParameterBlock], float]) -> Callable[[ParameterBlock], Draw]:
    """U(±bound), one entry per unit."""
    law = Bias(_within, "U(±bound)", "torch.nn", None, _within_promise)
    return lambda block: Draw("torch_default", law, (("bound", bound(block)),))


def _within(
    shape: Sequence[int], rng: np.random.Generator, frequencies: Frequencies, *, bound: float
) -> NDArray[np.float32]:
    return unscaled.uniform(shape[:1], rng, low=-bound, high=bound)


def _within_promise(shape: Sequence[int], bound: float) -> Promise:
    return Promise(0.0, bound / math.sqrt(3), "uniform", bound=bound)


def _as_one_matrix(block: ParameterBlock) -> float:
    """Xavier's bound for all blocks of a parameter as one matrix, as torch counts."""
    fan_in, fan_out = fans(block.shape)
    return math.sqrt(6 / (fan_in + block.n_packed * fan_out))


def _of_state(block: ParameterBlock) -> float:
    """1/√hidden: a gate has as many rows as the state has entries."""
    return 1 / math.sqrt(block.shape[0])


def _of_fan_out(block: ParameterBlock) -> float:
    """Torch takes the outputs of a transposed convolution for its inputs."""
    return 1 / math.sqrt(fans(block.shape)[1])


_NO_BIAS = Draw("zeros", BIASES["zeros"])
_STANDARD_NORMAL = Draw("torch_default", LAWS["normal"], (("std", 1.0), ("mean", 0.0)))

SCHEMES: dict[str, Scheme] = {
    "fixup": Scheme(
        "last layer of each of L branches and output 0, the other m − 1 times L^(−1/(2m−2))",
        "Zhang et al. 2019, arXiv:1901.09321",
        (Rule("branch_last", factor=0.0), Rule("branch", factor=_fixup), Rule("output", factor=0.0)),
        least_layers=2,
    ),
    "rezero": Scheme(
        "a = 0 in x + a·F(x)",
        "Bachlechner et al. 2021, arXiv:2003.04887",
        (Rule("multiplier", _constant("rezero", 0.0)),),
    ),
    "skipinit": Scheme(
        "a = 1/√L in each of L blocks x + a·F(x)",
        "De & Smith 2020, arXiv:2002.10444",
        (Rule("multiplier", lambda block: _constant("skipinit", block.n_branches**-0.5)),),
    ),
    "last_zero": Scheme(
        "last layer of each branch 0",
        "Zhao et al. 2022, arXiv:2110.12661; cf. Goyal et al. 2017, arXiv:1706.02677",
        (Rule("branch_last", factor=0.0),),
    ),
    "looks_linear": Scheme(
        "first layer [Q; −Q], hidden [[Q, −Q], [−Q, Q]], last [Q, −Q]; even widths",
        "Balduzzi et al. 2017, arXiv:1702.08591",
        (Rule("weight", params=_mirror),),
        residual=False,
    ),
    "siren": Scheme(
        "first layer U(±1/fan_in)",
        "Sitzmann et al. 2020, arXiv:2006.09661",
        (Rule("input", _uniform(lambda block: 1 / fans(block.shape)[0], "siren")),),
        residual=False,
    ),
    "own": Scheme(
        "every parameter as the module's own code makes it",
        "you",
        (Rule("weight", _as_it_is), Rule("bias", _as_it_is)),
        residual=False,
        # The policy where none is named.
        bias="zeros",
    ),
    # What a fresh layer of torch.nn holds, beside the U(±1/√fan_in) of its linear layers and convolutions.
    "torch": Scheme(
        "embeddings N(0, 1), recurrent layers U(±1/√hidden), attention Xavier's as one matrix, without biases",
        "reset_parameters of torch.nn's layers",
        (
            Rule("embedding", _STANDARD_NORMAL),
            Rule("weight", _uniform(_as_one_matrix), layer="transformer"),
            *(Rule(role, _uniform(_as_one_matrix), layer="attention") for role in ("query", "key", "value")),
            Rule("bias", _NO_BIAS, layer="attention"),
            Rule("weight", _uniform(_of_state), layer="recurrent"),
            Rule("bias", _uniform_bias(_of_state), layer="recurrent"),
            Rule("weight", _uniform(lambda block: 1 / math.sqrt(block.shape[1])), layer="recurrent_projection"),
            Rule("weight", _uniform(_of_fan_out), layer="transposed"),
            Rule("bias", _uniform_bias(_of_fan_out), layer="transposed"),
        ),
        residual=False,
        bias="uniform_fan_in",
    ),
}
