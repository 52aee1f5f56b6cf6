"""What the stacked engine asks of a model: a stack, many networks of one shape, as tensors ``[trial, …]``."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from torch import Tensor


class Stack(Protocol):
    """A stack of networks in training."""

    @property
    def params(self) -> Mapping[str, Tensor]:
        """Name to ``[trial, …]``, the rest of the shape as in torch's modules; running statistics are among them."""
        ...

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """What an optimizer updates, ``[trial, …]``, by the names that :meth:`backward` gives; more may be there."""
        ...

    @property
    def capturable(self) -> bool:
        """Whether a step makes the same calls on the same memory whatever the data, as a CUDA graph must."""
        ...

    @property
    def whole(self) -> bool:
        """Whether :attr:`params` are all that the networks have kept from step to step so far."""
        ...

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        """The logits ``[trial, batch, classes]`` of ``[trial, batch, features]``; the next call may overwrite them.

        Only after a call with ``training`` may :meth:`backward` follow.
        """
        ...

    def backward(self, grad: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], object]]]:
        """From the gradient of the last logits, which may be overwritten, to every parameter's gradient.

        Yields the parameter's name, itself as ``[trial, …, …]``, and a function that adds its gradient to a tensor of
        that shape. A parameter that was yielded may be updated in place.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with a part of the trials; ``rows`` are their positions."""
        ...
