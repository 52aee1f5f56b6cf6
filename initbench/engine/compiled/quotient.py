"""The gradient quotient of MetaInit, as a function of the gradient and of the Hessian's product with it."""

from initbench.engine.compiled.machine_code import compiled


@compiled
def quotient(g, hg, eps, share, by_g, by_hg):
    """The sum of ``|(g − hg) / (g ± eps) − 1|``, the sign being that of g (+ where it is 0).

    Args:
        g: a gradient, flat.
        hg: the Hessian's product with it, likewise.
        eps: what keeps it finite where a gradient is 0.
        share: what the derivatives are multiplied by.
        by_g: filled with the derivative by ``g``, times ``share``.
        by_hg: likewise by ``hg``.
    """
    kind = g.dtype.type
    zero, one, small, scale, total = kind(0), kind(1), kind(eps), kind(share), 0.0
    for i in range(len(g)):
        below = g[i] + (small if g[i] >= zero else -small)
        ratio = (g[i] - hg[i]) / below
        off = ratio - one
        total += abs(off)
        side = scale if off > zero else (-scale if off < zero else zero)
        by_hg[i] = -side / below
        by_g[i] = -side * (ratio / below)
    # In a loop of its own it is subtracted from what is rounded, as torch's autograd does.
    for i in range(len(g)):
        by_g[i] -= by_hg[i]
    return total
