"""The plane of weight and bias scales: where gradients neither vanish nor explode, and where initializers lie."""

import math
from collections.abc import Mapping

import numpy as np

from initbench.probing.theory import Field, curves
from initbench.render.plots import Plane

_ROUNDS = 400


def plane(fields: Mapping[str, Field]) -> Plane:
    """The plane of one activation, with the hidden layers of some techniques on it.

    Args:
        fields: name of a technique to the map between its hidden layers; of one activation, one at least.
    """
    some = next(iter(fields.values()))
    widths = [field.sigma_w for field in fields.values()]
    low, high = min([0.5, *widths]) / 1.6, max([2.5, *widths]) * 2.2
    top = max(0.6, 1.6 * max(field.sigma_b for field in fields.values()))
    x = np.exp(np.linspace(math.log(low), math.log(high), 241))
    y = np.linspace(-0.04 * top, top, 61)
    values = _log_chi(some, x[None, :], np.maximum(y, 0)[:, None])
    return Plane(
        x_label="σ_w, of the weights: √fan_in times their standard deviation",
        y_label="σ_b, of the biases",
        x=tuple(map(float, x)),
        y=tuple(map(float, y)),
        values=tuple(tuple(map(float, row)) for row in values),
        points=tuple((name, field.sigma_w, field.sigma_b) for name, field in fields.items()),
        edge="edge of chaos",
        below="ordered: gradients vanish",
        above="chaotic: gradients explode",
    )


def _log_chi(field: Field, sigma_w: np.ndarray, sigma_b: np.ndarray) -> np.ndarray:
    """``log χ`` for c = 1 where the length map leads after so many layers that no network has more."""
    of = curves(field.activation, field.params)
    log_q = np.zeros(np.broadcast_shapes(sigma_w.shape, sigma_b.shape))
    for _ in range(_ROUNDS):
        q = sigma_w**2 * np.exp(of.log_square(log_q)) + sigma_b**2
        log_q = np.clip(np.log(np.maximum(q, 1e-30)), -60.0, 60.0)
    return np.asarray(2 * np.log(sigma_w) + of.log_slope(log_q))
