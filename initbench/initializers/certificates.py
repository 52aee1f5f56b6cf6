"""What a law promises of a weight, and the certificate that says whether a weight kept it."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.initializers.distributions import KURTOSIS
from initbench.initializers.paired import MIRRORS, periodic_identity

# Standard errors that a sample moment may be off: a correct law fails once in 500 million tensors.
_STANDARD_ERRORS = 6.0


@dataclass(frozen=True)
class Promise:
    """What holds of every weight that a law draws, for one shape and one set of parameters.

    Attributes:
        mean: of an entry.
        std: of an entry, zeros included.
        distribution: of the entries that are not fixed to zero, a key of ``KURTOSIS``; None where none is drawn.
        bound: no entry is larger.
        zeros: exactly so many entries are zero, where the law says how many.
        magnitudes: the absolute values there are and how many entries have each, where the law fixes them.
        gain: the weight is this multiple of a matrix with orthonormal rows or columns.
        low_rank: the matrix is meant to have a small stable rank; said, not warned of.
        mirror: a key of ``MIRRORS``: what of the weight is there a second time with the other sign; ``gain`` is then of
            the part that is there once.
        diagonal: what was added to the drawn entries where row ≡ column modulo the shorter side. What is said of
            entries, and measured, is of what was drawn.
        blocks: so many matrices of which this is true lie on top of each other.
    """

    mean: float = 0.0
    std: float = 0.0
    distribution: str | None = None
    bound: float | None = None
    zeros: int | None = None
    magnitudes: tuple[tuple[float, int], ...] | None = None
    gain: float | None = None
    low_rank: bool = False
    mirror: str = "none"
    diagonal: float = 0.0
    blocks: int = 1

    @property
    def has_alike_rows(self) -> bool:
        """Whether rows that are zero, or another row but for the sign, are what the law is about."""
        return self.low_rank or self.magnitudes is not None or MIRRORS[self.mirror][0] > 1

    def of_blocks(self, n: int) -> "Promise":
        """The promise of ``n`` such weights in one tensor, along its first dimension."""
        counts = self.magnitudes and tuple((magnitude, n * count) for magnitude, count in self.magnitudes)
        return replace(self, zeros=self.zeros and n * self.zeros, magnitudes=counts, blocks=n)

    def times(self, factor: float) -> "Promise":
        """The promise of such a weight, multiplied by a factor >= 0."""
        if factor == 1:
            return self
        if factor == 0:
            return Promise(bound=0.0, low_rank=True)
        return replace(
            self,
            mean=factor * self.mean,
            std=factor * self.std,
            bound=self.bound and factor * self.bound,
            magnitudes=self.magnitudes and tuple((factor * value, count) for value, count in self.magnitudes),
            gain=self.gain and factor * self.gain,
            diagonal=factor * self.diagonal,
        )


def fixed(shape: Sequence[int], magnitudes: dict[float, int], positive: int) -> Promise:
    """The promise of a law without random numbers.

    Args:
        shape: of the weight.
        magnitudes: absolute value to number of entries; what is missing from the shape's entries are zeros.
        positive: how many more entries are positive than negative, of the one magnitude that is not zero.
    """
    n = math.prod(shape)
    counts = Counter({magnitude: count for magnitude, count in magnitudes.items() if count})
    counts[0.0] += n - sum(counts.values())
    mean = max(magnitudes) * positive / n
    second = sum(count * magnitude**2 for magnitude, count in counts.items()) / n
    return Promise(
        mean=mean,
        std=math.sqrt(max(0.0, second - mean**2)),
        magnitudes=tuple(sorted((+counts).items())),
        zeros=counts[0.0],
        low_rank=True,
    )


@dataclass(frozen=True)
class Certificate:
    """What was measured on one tensor, beside what was asked for.

    Attributes:
        law: what drew it.
        shape: of the tensor.
        promise: what the law promises of it; None for a law that promises nothing.
        mean: of its entries.
        std: of its entries.
        maximum: the largest absolute value.
        zeros: the fraction of its entries that is zero.
        orthogonality: the largest entry of ``W Wᵀ / gain² − I`` (or of ``Wᵀ W``) where orthogonality is promised.
        stable_rank: ``‖W‖²_F / ‖W‖²_2`` of the matrix ``[out, in·kernel]``; None for a vector and for zeros.
        faults: what breaks the promise; a tensor without faults passed.
        notes: what keeps it and is still worth knowing.
    """

    law: str
    shape: tuple[int, ...]
    promise: Promise | None
    mean: float
    std: float
    maximum: float
    zeros: float
    orthogonality: float | None
    stable_rank: float | None
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the tensor is what its law says."""
        return not self.faults


def certify(law: str, weight: NDArray[Any], promise: Promise | None = None, rounding: float = 0.0) -> Certificate:
    """Measure a tensor and hold it against a promise.

    Args:
        law: the name to put on the certificate.
        weight: ``[out, in, *kernel]``, or a vector.
        promise: of the law that drew it, for this shape.
        rounding: the largest relative error of an entry that is held in less than float32.
    """
    values = weight.astype(np.float64)
    finite = bool(np.isfinite(values).all())
    matrix = values.reshape(len(values), -1) if values.ndim > 1 else None
    rank = _stable_rank(matrix) if matrix is not None and finite and matrix.any() else None
    if promise and promise.diagonal:
        identity = periodic_identity((len(values) // promise.blocks, *values.shape[1:]))
        values = values - promise.diagonal * np.concatenate([identity] * promise.blocks)
    mean = float(values.mean()) if finite else math.nan
    centred = (values - mean).ravel()
    std = math.sqrt(float(centred @ centred) / values.size)
    maximum, zeros = float(np.abs(values).max()), values.size - int(np.count_nonzero(values))
    blocks = np.split(values, promise.blocks) if promise and matrix is not None and finite else []
    orthogonality = None
    if promise and promise.gain and blocks:
        orthogonality = max(_orthogonality(_once(block, promise.mirror), promise.gain) for block in blocks)
    faults: list[str] = [] if finite else ["not every entry is finite"]
    notes: list[str] = []
    if promise and finite:
        faults = _faults(values, mean, std, maximum, zeros, promise, orthogonality, rounding)
        faults += [f"its {fault}" for fault in {_unmirrored(block, promise.mirror) for block in blocks} if fault]
        if rank is not None and matrix is not None and not promise.low_rank and not promise.mean:
            out, fan_in = matrix.shape
            # Of a matrix with independent entries, in the limit of Marchenko and Pastur.
            usual = out * fan_in / (math.sqrt(out) + math.sqrt(fan_in)) ** 2
            if rank < usual / 2:
                notes.append(f"nearly low rank: stable rank {rank:.3g}, {usual:.3g} with independent entries")
    if rank is not None and matrix is not None and not (promise and promise.has_alike_rows):
        notes += _alike_rows(matrix)
    return Certificate(
        law=law,
        shape=tuple(weight.shape),
        promise=promise,
        mean=mean,
        std=std,
        maximum=maximum,
        zeros=zeros / values.size,
        orthogonality=orthogonality,
        stable_rank=rank,
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _faults(
    values: NDArray[np.float64],
    mean: float,
    std: float,
    maximum: float,
    zeros: int,
    promise: Promise,
    orthogonality: float | None,
    rounding: float,
) -> list[str]:
    """What of a promise does not hold, each in a few words with the figure that was found."""
    faults, n = [], values.size
    # About the promised mean: the spread of signs ±s, for one, is then exact.
    std = math.hypot(std, mean - promise.mean)
    # Of an entry, and of what a float32 computation gets wrong.
    relative = 1e-6 + rounding
    of_mean = of_std = relative * math.hypot(promise.mean, promise.std)
    if promise.distribution is not None:
        # Zeros among the drawn entries leave the fourth moment as it is and lower the variance.
        kurtosis = KURTOSIS[promise.distribution] * n / (n - (promise.zeros or 0))
        # Mirror images are no draws of their own.
        n //= math.prod(MIRRORS[promise.mirror])
        of_mean += _STANDARD_ERRORS * promise.std / math.sqrt(n)
        of_std += _STANDARD_ERRORS * promise.std * math.sqrt((kurtosis - 1) / (4 * n))
    if abs(mean - promise.mean) > of_mean:
        faults.append(f"mean {mean:.6g} instead of {promise.mean:.6g} ± {of_mean:.2g}")
    if abs(std - promise.std) > of_std:
        faults.append(f"std {std:.6g} instead of {promise.std:.6g} ± {of_std:.2g}")
    if promise.bound is not None and maximum > promise.bound * (1 + relative):
        faults.append(f"|w| up to {maximum:.6g}, more than {promise.bound:.6g}")
    if promise.zeros is not None and zeros != promise.zeros:
        faults.append(f"{zeros} zeros instead of {promise.zeros}")
    if promise.magnitudes is not None:
        found = np.sort(np.abs(values).ravel())
        wanted = np.repeat(*map(np.array, zip(*promise.magnitudes, strict=True)))
        if np.abs(found - wanted).max() > relative * wanted[-1]:
            faults.append("the magnitudes are not those of the law")
    # Entries are rounded to float32 once; the products of rows then err by some 1e-7, and by less than two roundings.
    if orthogonality is not None and orthogonality > 1e-5 + 2.1 * rounding:
        faults.append(f"off orthogonality by {orthogonality:.2g}")
    return faults


def _stable_rank(matrix: NDArray[np.float64]) -> float:
    # The Gram matrix of the shorter side has the squared singular values; dividing first keeps it from overflowing.
    # Six digits are more than anyone reads, and in float32 the product costs half.
    scaled = (matrix / np.abs(matrix).max()).astype(np.float32)
    gram = scaled @ scaled.T if scaled.shape[0] <= scaled.shape[1] else scaled.T @ scaled
    # The largest eigenvalue by power iteration: 30 products instead of a full decomposition. On a flat spectrum it ends
    # a few percent low, which no verdict rests on. Not by BLAS, whose threads cost more than so small a product.
    vector = gram[np.argmax(np.diag(gram))]
    for _ in range(30):
        vector = np.einsum("ij,j->i", gram, vector / np.linalg.norm(vector))
    return float(np.trace(gram, dtype=np.float64) / np.linalg.norm(vector))


def _orthogonality(matrix: NDArray[np.float64], gain: float) -> float:
    """The largest entry of the Gram matrix of the shorter side, less I; empty taps of a convolution do not count."""
    matrix = matrix[:, matrix.any(axis=0)] / gain
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return float(np.abs(gram - np.eye(len(gram))).max(initial=0.0))


def _once(block: NDArray[np.float64], mirror: str) -> NDArray[np.float64]:
    """The part of a mirrored weight that is drawn, as a matrix."""
    rows, columns = MIRRORS[mirror]
    part = block[: len(block) // rows, : block.shape[1] // columns]
    return part.reshape(len(part), -1)


def _unmirrored(block: NDArray[np.float64], mirror: str) -> str:
    """Which sides are not mirrored that should be; empty if they are."""
    for axis, times in enumerate(MIRRORS[mirror]):
        if times == 2:
            half, other = np.split(block, 2, axis)
            if (half != -other).any():
                return f"{('rows', 'columns')[axis]} are not mirrored"
    return ""


def _alike_rows(matrix: NDArray[np.float64]) -> list[str]:
    """How many rows are zero, and how many are another one but for the sign, where there are any."""
    signs = np.take_along_axis(matrix, np.argmax(matrix != 0, axis=1)[:, None], axis=1)
    rows = np.where(signs < 0, -matrix, matrix) + 0.0
    n_zero = int((~rows.any(axis=1)).sum())
    counts = Counter(row.tobytes() for row in rows)
    n_alike = sum(count for row, count in counts.items() if count > 1) - (n_zero if n_zero > 1 else 0)
    notes = [f"{n_zero} of {len(rows)} rows are zero"] if n_zero else []
    return [*notes, *([f"{n_alike} of {len(rows)} rows are another row but for the sign"] if n_alike else [])]
