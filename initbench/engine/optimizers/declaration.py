"""What an optimizer's file declares: its settings, and its rule twice, for compiled code and for torch.

Reading the declarations needs neither torch nor numba: a compiled rule is a plain function until the compiled engine
is loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from initbench.values import Parameter

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


class Gradient(Protocol):
    """The gradient of one parameter of a stack of networks, ``[trial, …, …]``."""

    def add_to(self, target: "Tensor") -> None:
        """Add it to a tensor of its shape, without it ever being stored by itself."""
        ...

    def alone(self) -> "Tensor":
        """By itself, in memory that may be overwritten, and is at the next step."""
        ...


# (hyper, param, grad, state, lr, step): update one parameter, flat. ``hyper`` holds float64; ``state`` is ``[buffer,
# element]``, zero at first; ``step`` counts from 1. What is called must be :mod:`math`'s.
Update = Callable[[Any, Array, Array, Array, float, int], None]

# (hyper, param, gradient, state, lr, step): the same for ``[trial, …, …]``. A hyperparameter of the kind float is
# ``[trial, 1, 1]``, but ``weight_decay`` is None where it is zero for all; ``state`` are tensors like ``param``, zero
# at first; ``lr`` is ``[trial, 1, 1]``, ``step`` ``[]``.
TorchUpdate = Callable[[Any, "Tensor", Gradient, "tuple[Tensor, ...]", "Tensor", "Tensor"], None]


@dataclass(frozen=True)
class Accumulation:
    """How a rule that adds the gradient to its first buffer lets the matrix product do so.

    Attributes:
        before: (hyper, param, state) to the factor of the buffer to which the product adds the gradient; what else is
            to be added, it adds itself. A negative factor: not with these hyperparameters.
        after: (hyper, param, state, lr): update the parameter from what the buffer holds then.
    """

    before: Callable[[Any, Array, Array], float]
    after: Callable[[Any, Array, Array, float], None]


@dataclass(frozen=True)
class Optimizer:
    """One row of the table of optimizers.

    Attributes:
        formula: the law as text; g is the gradient, t the step.
        source: where it is from.
        hyper: the type of its hyperparameters, with the fields of ``parameters``. Compiled code chooses the rule by it,
            so each optimizer has one of its own, with a name of its own.
        parameters: the hyperparameters as settings.
        lr: the learning rate where none is asked for; ``results/README.md`` says how it was measured.
        n_buffers: arrays of state for each parameter.
        torch_update: the rule for torch.
        update: the rule for compiled code; None where there is none, and torch does the work.
        accumulation: see there; None where the rule needs the gradient by itself.
        refusal: what is wrong with hyperparameters that are right one by one, each by its name; None if nothing is.
    """

    formula: str
    source: str
    hyper: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    lr: float
    n_buffers: int
    torch_update: TorchUpdate
    update: Update | None = None
    accumulation: Accumulation | None = None
    refusal: Callable[[Mapping[str, Any]], str | None] = lambda values: None

    @property
    def defaults(self) -> dict[str, Any]:
        """The hyperparameters' values where none are given, by their names."""
        return {parameter.name: parameter.default for parameter in self.parameters}
