"""How numbers of probes are written: they go over many powers of ten."""

import math

from initbench.render.text import NONE


def significant(value: float) -> str:
    """A number with three digits that count."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text else text
