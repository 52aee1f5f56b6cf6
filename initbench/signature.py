"""What a function says of its own parameters: the one place where they and their defaults stand."""

import inspect
from collections.abc import Callable
from typing import Any


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters that have a default value, with it."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
