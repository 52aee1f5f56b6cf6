"""The matrix product: which BLAS of this machine the compiled engine calls.

Two are at hand wherever initbench is installed: the one inside torch (on x86 that is MKL) and the one inside SciPy
(OpenBLAS). Both are called by address from compiled code, each call on one thread. A route must be as accurate as
float32 arithmetic is (on some processors a BLAS may silently multiply in bfloat16); among those the fastest is taken.
"""

import ctypes
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import get_cython_function_address, intrinsic
from numpy.typing import NDArray

from initbench.cache import cache_folder

# Fortran's letters, as the numbers of their characters.
KEEP, TURN = ord("N"), ord("T")

# The products of one layer of 128 units and of one that reads MNIST: rows, inputs, units.
_SHAPES = ((128, 128, 128), (128, 784, 128))


# How much faster than the first route another must be.
_MARGIN = 1.2


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


def routes() -> list[Blas]:
    """Every route there is on this machine."""
    return [route for route in (_of_torch(), _of_scipy()) if route is not None]


@njit
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

    The routes take turns, so that whatever else the machine does slows all of them.
    """
    rng = np.random.default_rng(0)
    work = [(rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)) for m, k, n in _SHAPES]
    flops = sum(2 * m * k * n for m, k, n in _SHAPES)
    rates: dict[str, list[float]] = {route.name: [] for route in among}
    for _ in range(rounds):
        for route in among:
            start = time.perf_counter()
            for a, b in work:
                product(route, a, b, times=20)
            rates[route.name].append(20 * flops / (time.perf_counter() - start) / 1e9)
    return {name: float(np.median(values)) for name, values in rates.items()}


@cache
def rates() -> dict[str, float]:
    """The rate of every accurate route in GFLOP/s; timed once per machine and version.

    Raises:
        RuntimeError: no route multiplies with float32's accuracy.
    """
    import scipy
    import torch

    machine = f"{platform.node()} {processor()} torch {torch.__version__} scipy {scipy.__version__}"
    file = cache_folder() / "blas.json"
    accurate = {route.name: route for route in routes() if is_accurate(route)}
    if not accurate:
        raise RuntimeError("no accurate float32 matrix product here; tried " + ", ".join(r.name for r in routes()))
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text())
        if kept["machine"] == machine and set(kept["gflops"]) == set(accurate):
            return {name: float(kept["gflops"][name]) for name in accurate}
    with single_threaded():
        result = gflops(list(accurate.values()))
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{os.getpid()}.{file.name}")
        temporary.write_text(json.dumps({"machine": machine, "gflops": result}))
        os.replace(temporary, file)
    return result


@cache
def chosen() -> Blas:
    """The fastest accurate route; the first of :func:`routes` unless another is faster by a clear margin.

    The margin keeps the choice, and with it the last bits of every number, the same from one timing to the next.
    """
    measured = rates()
    found = [route for route in routes() if route.name in measured]
    best = max(found, key=lambda route: measured[route.name])
    return best if measured[best.name] > _MARGIN * measured[found[0].name] else found[0]


def processor() -> str:
    """The name of this machine's processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Every product runs on the thread that asks for it; the libraries' settings are as before afterwards."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
