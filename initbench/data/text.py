"""A user's own text: windows of characters, each with the character that comes next."""

import numpy as np

from initbench.data.arrays import Arrays
from initbench.data.files import existing, reading, size_of, unpacked
from initbench.errors import InputError
from initbench.values import whole

# Of different characters; a network has an output for each.
_MOST_CHARACTERS = 20_000
# Windows are kept in memory.
_MOST_BYTES = 2**32


def text(path: str | None, context: int = 16) -> Arrays:
    """A text in UTF-8 as windows of ``context`` characters, one for every character that has so many before it.

    Args:
        path: the file; one that ends in .gz, .bz2 or .xz is unpacked.
        context: how many characters a network sees.

    Returns:
        ``x`` holds the numbers of the characters, in the order of their code points, and ``y`` that of the next one.

    Raises:
        InputError: it cannot be read as text, is shorter than ten windows, or has too many different characters.
    """
    whole("dataset.context", context, 1)
    file = existing(path, "text")
    size_of(file)
    with reading(file, "text in UTF-8"), unpacked(file) as stream:
        content = stream.read().decode("utf-8-sig")
    points = np.frombuffer(content.encode("utf-32-le"), np.uint32)
    if len(points) < context + 10:
        raise InputError(
            f"{file} has {len(points)} characters; windows of dataset.context={context} need {context + 10}"
        )
    known, codes = np.unique(points, return_inverse=True)
    if not 2 <= len(known) <= _MOST_CHARACTERS:
        raise InputError(f"{file} has {len(known):,} different characters; it may have 2 to {_MOST_CHARACTERS:,}")
    kind = np.uint8 if len(known) <= 256 else np.uint16
    n_bytes = len(points) * context * np.dtype(kind).itemsize
    if n_bytes > _MOST_BYTES:
        raise InputError(
            f"{file}: its windows of {context} characters take {n_bytes:,} bytes, and may take {_MOST_BYTES:,}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(codes.astype(kind), context)[:-1]
    names = tuple(chr(point) for point in known.tolist())
    return Arrays(np.ascontiguousarray(windows), codes[context:].astype(np.int64), classes=names, vocabulary=len(known))
