"""The three matrix products of a linear layer, by the BLAS that is used here; all arrays are flat, row by row.

Rows here are columns to a BLAS: what is ``C = A B`` to us is ``Cᵀ = Bᵀ Aᵀ`` to it.
"""

from initbench.engine.compiled.blas import KEEP, TURN, gemm
from initbench.engine.compiled.machine_code import compiled


@compiled
def outputs(product, x, weight, out, n, fan_in, fan_out):
    """``out [n, out] = x [n, in] · weightᵀ``, of a weight ``[out, in]``."""
    gemm(
        product, TURN, KEEP, fan_out, n, fan_in, weight.ctypes.data, fan_in, x.ctypes.data, fan_in,
        0, out.ctypes.data, fan_out,
    )  # fmt: skip


@compiled
def input_gradients(product, grad, weight, below, n, fan_in, fan_out):
    """``below [n, in] = grad [n, out] · weight``."""
    gemm(
        product, KEEP, KEEP, fan_in, n, fan_out, weight.ctypes.data, fan_in, grad.ctypes.data, fan_out,
        0, below.ctypes.data, fan_in,
    )  # fmt: skip


@compiled
def weight_gradient(product, grad, x, keep, into, n, fan_in, fan_out):
    """``into [out, in] = keep · into + gradᵀ · x``."""
    gemm(
        product, KEEP, TURN, fan_in, fan_out, n, x.ctypes.data, fan_in, grad.ctypes.data, fan_out,
        keep, into.ctypes.data, fan_in,
    )  # fmt: skip
