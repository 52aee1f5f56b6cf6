"""Data of the user's in Python, kept as a file that every trial can be trained from again."""

import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initbench.errors import InputError, in_one_line
from initbench.files import write

# Far more than a race is for; what is no data set may never end.
_MOST_SAMPLES = 2_000_000


def keep(data: Any, folder: Path) -> list[str]:
    """Write samples and targets to a file below a folder, once for each content, and give the settings that name it.

    Args:
        data: a pair of arrays or tensors ``[n, …]`` and ``[n]``; a ``Dataset`` of such pairs, or a ``DataLoader`` of
            batches of them, of which one pass is taken; or a function that gives one of these.
        folder: of the results.

    Raises:
        InputError: it is none of these, it fails, or its samples differ in shape.
        StorageError: the file cannot be written.
    """
    with in_one_line("data"):
        x, y = _arrays(data() if callable(data) and not hasattr(data, "__getitem__") else data)
    # The bytes of an archive have the time in them; those of its arrays do not.
    digest = hashlib.sha256(repr((x.dtype.str, x.shape, y.dtype.str, y.shape)).encode())
    digest.update(np.ascontiguousarray(x).data)
    digest.update(np.ascontiguousarray(y).data)
    file = folder / "data" / f"{digest.hexdigest()[:16]}.npz"
    if not file.exists():
        held = io.BytesIO()
        np.savez_compressed(held, x=x, y=y)
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, held.getvalue())
    task = ["dataset.task=regression"] if y.dtype.kind == "f" else []
    return ["dataset=npz", f"dataset.path={file}", *task]


def _arrays(data: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    if isinstance(data, tuple | list) and len(data) == 2 and all(hasattr(one, "shape") for one in data):
        return _array(data[0]), _array(data[1])
    if not hasattr(data, "__getitem__") and not hasattr(data, "__iter__"):
        raise InputError(f"data must be a pair (x, y), a Dataset or a DataLoader; got {type(data).__name__}")
    in_batches = type(data).__name__ == "DataLoader"
    parts_x, parts_y, n = list[NDArray[Any]](), list[NDArray[Any]](), 0
    for x, y in _pairs(data, in_batches):
        parts_x.append(_array(x))
        parts_y.append(np.asarray(_array(y)))
        n += len(parts_x[-1]) if in_batches else 1
        if n > _MOST_SAMPLES:
            raise InputError(f"data has more than {_MOST_SAMPLES} samples; give fewer")
    if not parts_x:
        raise InputError("data has no sample")
    join: Callable[..., Any] = np.concatenate if in_batches else np.stack
    return join(parts_x), join(parts_y)


def _pairs(data: Any, in_batches: bool) -> Iterable[Any]:
    """A ``Dataset`` has a length and is asked for each sample; not every one ends by itself."""
    return data if in_batches or not hasattr(data, "__len__") else (data[i] for i in range(len(data)))


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
