"""The matrix product: which BLAS of this machine the compiled engine calls.

Two are at hand wherever initbench is installed: the one inside torch (on x86 that is MKL) and the one inside SciPy
(OpenBLAS). Both are called by address from compiled code, each call on one thread. They round differently, so which one
is called decides the last bits of every trial: a rule takes it from the processor and from what is installed, and never
a stopwatch. It must be as accurate as float32 arithmetic is (on some processors a BLAS may silently multiply in
bfloat16).
"""

import ctypes
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import get_cython_function_address, intrinsic
from numpy.typing import NDArray

from initbench.engine.compiled.machine_code import compiled
from initbench.errors import InputError
from initbench.processors import is_intel

# Fortran's letters, as the numbers of their characters.
KEEP, TURN = ord("N"), ord("T")

# The products of one layer of 128 units and of one that reads MNIST: rows, inputs, units.
_SHAPES = ((128, 128, 128), (128, 784, 128))


@dataclass(frozen=True)
class Blas:
    """One route: its name, the addresses of ``sgemm`` and ``dgemm``, and how to keep a calling thread alone."""

    name: str
    sgemm: int
    dgemm: int
    enter_thread: Callable[[], object]

    def product(self, dtype: np.dtype[Any]) -> "Product":
        """The product of this type of numbers, with scratch for one thread."""
        address = self.sgemm if dtype == np.float32 else self.dgemm
        return Product(address, np.zeros(8, np.int32), np.zeros(2, dtype))


@intrinsic
def _call(typing_context, address, arguments):
    """Call a function at an address with a tuple of integers and pointers, all passed as 64-bit integers."""

    def generate(context, builder, signature, values):
        address, packed = values
        kinds = signature.args[1].types
        passed = [
            context.cast(builder, builder.extract_value(packed, i), kind, types.int64) for i, kind in enumerate(kinds)
        ]
        function = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(kinds)).as_pointer()
        builder.call(builder.inttoptr(address, function), passed)
        return context.get_dummy_value()

    return types.void(types.int64, arguments), generate


class Product(NamedTuple):
    """The product of a type of numbers, as compiled code takes it.

    Attributes:
        address: of the function.
        sizes: scratch, int32: Fortran takes its arguments by reference.
        scalars: scratch, of the type of the numbers.
    """

    address: int
    sizes: NDArray[np.int32]
    scalars: NDArray[Any]


@njit(inline="always")
def gemm(product, turn_a, turn_b, m, n, k, a, lda, b, ldb, beta, c, ldc):
    """``C = A B + beta C`` in Fortran's order; ``a``, ``b``, ``c`` are addresses."""
    sizes, scalars = product.sizes, product.scalars
    sizes[0], sizes[1], sizes[2], sizes[3] = m, n, k, lda
    sizes[4], sizes[5], sizes[6], sizes[7] = ldb, ldc, turn_a, turn_b
    scalars[0], scalars[1] = 1, beta
    at, factor = sizes.ctypes.data, scalars.ctypes.data
    _call(  # type: ignore[call-arg]  # The compiler passes the typing context.
        product.address,
        (at + 24, at + 28, at, at + 4, at + 8, factor, a, at + 12, b, at + 16, factor + scalars.itemsize, c, at + 20),
    )


def _of_torch() -> Blas | None:
    """The BLAS inside torch's library, where that is MKL: only there can a thread be kept alone."""
    import torch

    name = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}.get(sys.platform, "libtorch_cpu.so")
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
        # Not a global setting: it concerns the calling thread only.
        alone = library.MKL_Set_Num_Threads_Local
        addresses = [ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value for symbol in ("sgemm_", "dgemm_")]
    except (OSError, AttributeError):
        return None
    sgemm, dgemm = addresses
    if not sgemm or not dgemm:
        return None
    return Blas("torch's MKL", sgemm, dgemm, lambda: alone(1))


def _of_scipy() -> Blas:
    addresses = [get_cython_function_address("scipy.linalg.cython_blas", name) for name in ("sgemm", "dgemm")]
    return Blas("SciPy's BLAS", addresses[0], addresses[1], lambda: None)


# By their words in the setting ``blas``.
ROUTES: Mapping[str, Callable[[], Blas | None]] = {"mkl": _of_torch, "scipy": _of_scipy}


def routes() -> list[Blas]:
    """Every route there is on this machine."""
    return [route for found in ROUTES.values() if (route := found()) is not None]


def rule(intel: bool) -> tuple[tuple[str, ...], str]:
    """Which routes to look for when nobody says which, the first before the second, and why.

    MKL's fast code is for Intel's processors: on AMD's it makes half of what OpenBLAS does (90-100 and 221 GFLOP/s on a
    core of a Zen 5). On other processors than x86 torch has no MKL.
    """
    if intel:
        return ("mkl", "scipy"), "MKL is the fastest on Intel's processors"
    return ("scipy", "mkl"), "MKL's fast code is for Intel's processors, and this is none"


def chosen(wanted: str = "auto") -> Blas:
    """The matrix product for the setting ``blas``: the same whenever it is asked for on this processor and software.

    Args:
        wanted: a key of :data:`ROUTES`, or ``auto`` for the first of :func:`rule` that there is.

    Raises:
        InputError: there is no such product here, or it is less accurate than float32.
    """
    return _choice(wanted)[0]


def reason(wanted: str = "auto") -> str:
    """Why :func:`chosen` is what it is."""
    return _choice(wanted)[1]


@cache
def _choice(wanted: str) -> tuple[Blas, str]:
    names, why = rule(is_intel()) if wanted == "auto" else ((wanted,), f"blas={wanted}")
    lacks = []
    for name in names:
        route = ROUTES[name]()
        if route is None:
            lacks.append("this torch has no MKL")
        elif not is_accurate(route):
            lacks.append(f"{route.name} multiplies less accurately than float32 here")
        else:
            return route, "; but ".join([why, *lacks])
    others = " or ".join(f"blas={name}" for name in ("auto", *ROUTES) if name not in (wanted, *names))
    raise InputError(f"blas={wanted}: {' and '.join(lacks)}" + (f"; use {others}" if others else ""))


@compiled
def _repeat(times, product, a, b, c):
    """``C = A B`` row by row, so in Fortran's eyes ``Cᵀ = Bᵀ Aᵀ``."""
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    for _ in range(times):
        gemm(product, KEEP, KEEP, n, m, k, b.ctypes.data, n, a.ctypes.data, k, 0, c.ctypes.data, n)


def product(route: Blas, a: NDArray[np.float32], b: NDArray[np.float32], times: int = 1) -> NDArray[np.float32]:
    """The matrix product by a route, on the calling thread alone."""
    route.enter_thread()
    c = np.empty((len(a), b.shape[1]), a.dtype)
    _repeat(times, route.product(a.dtype), a, b, c)
    return c


def is_accurate(route: Blas) -> bool:
    """Whether the route's errors are those of float32: within k·u·|A||B|, where u is half a unit in the last place.

    References:
        Higham 2002, Accuracy and Stability of Numerical Algorithms, eq. 3.13.
    """
    rng = np.random.default_rng(0)
    for m, k, n in _SHAPES:
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        # The bound holds for any order of summation, so a tenth of it still allows every float32 product there is,
        # whose errors partly cancel; bfloat16's are 65,536 times larger than float32's.
        bound = 0.1 * k * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b))
        if not (np.abs(product(route, a, b) - a.astype(np.float64) @ b) <= bound).all():
            return False
    return True


def gflops(among: Sequence[Blas], rounds: int = 9) -> dict[str, float]:
    """The median rates of some routes over the shapes of a small network, on one thread, in GFLOP/s.

    For people, who may want to know; nothing is chosen by it. The routes take turns after a round that is not counted,
    and the clock is that of the thread, which stands still while another process has the core: by the clock on the
    wall, rounds as short as a turn of the scheduler give one route half its rate and another all of it, in the median
    too.
    """
    rng = np.random.default_rng(0)
    work = [(rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)) for m, k, n in _SHAPES]
    times, flops = 100, sum(2 * m * k * n for m, k, n in _SHAPES)
    found: dict[str, list[float]] = {route.name: [] for route in among}
    with single_threaded():
        for turn in range(rounds + 1):
            for route in among:
                start = time.thread_time()
                for a, b in work:
                    product(route, a, b, times)
                if turn:
                    found[route.name].append(times * flops / (time.thread_time() - start) / 1e9)
    return {name: float(np.median(values)) for name, values in found.items()}


@contextmanager
def single_threaded() -> Iterator[None]:
    """Every product runs on the thread that asks for it; the libraries' settings are as before afterwards."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
