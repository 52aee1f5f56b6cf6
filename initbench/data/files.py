"""A user's own NumPy archive or table, and what every reader of a user's files asks of a file before it reads it.

A file costs memory in proportion to its size: what it says that it unpacks to is looked at before anything is.
"""

import bz2
import csv as rows_of_text
import gzip
import io
import lzma
import math
import re
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from initbench.data.arrays import Arrays, checked, paired
from initbench.errors import InputError, one_line

if TYPE_CHECKING:
    import pandas as pd

# No file may be larger: all of it is kept in memory.
MOST_BYTES = 2**32
# What a compressed file unpacks to may be this much, or ten times the file: MNIST is five times as a .npz, eight times
# as a .csv.gz.
_UNPACKED_BYTES, _UNPACKED_TIMES = 2**25, 10
# That of an array of numbers has 128 characters; NumPy takes seconds for nested ones.
_MOST_HEADER = 2**10
# A table of genes has 60,000 columns; pandas takes seconds for this many.
_MOST_COLUMNS = 2**16
_MOST_CHARACTERS = 2**22

_SEPARATORS = (",", ";", "\t")
# With fewer rows a column may well hold the numbers from 1 by chance.
_FEW_ROWS = 10

# Of an object in memory, in the message of a library.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")

_UNPACK: dict[str, Callable[[Path], IO[bytes]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}  # type: ignore[dict-item]
# What else pandas would unpack by its ending, at any size.
_OTHER_ENDINGS = (".tar", ".tgz", ".zip", ".zst")


def existing(path: str | None, source: str) -> Path:
    """The file or folder that ``dataset.path`` names.

    Raises:
        InputError: there is none, or it cannot be looked at.
    """
    if not path:
        raise InputError(f"dataset={source} needs dataset.path=…")
    found = Path(path).expanduser()
    try:
        found.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"dataset.path={path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"dataset.path={path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return found


def size_of(file: Path) -> int:
    """The bytes of a file that can be read as one.

    Raises:
        InputError: it is a folder, a pipe or a device, which may never end, or too large to be kept in memory.
    """
    about = file.stat()
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{file} is not a file")
    if about.st_size > MOST_BYTES:
        raise InputError(f"{file} has {about.st_size:,} bytes; it is kept in memory and may have {MOST_BYTES:,}")
    return about.st_size


@contextmanager
def reading(file: Path, kind: str) -> Iterator[None]:
    """Whatever a damaged file makes its reader raise is the same news to the user, and one line of it is enough."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{file} is not a readable {kind} ({_ADDRESS.sub('', one_line(error))[:100]})") from error


def brief(names: Iterable[object]) -> str:
    """Names that come from a file: there may be a million of them, of any length, with line ends in them."""
    return ", ".join(" ".join(str(name).split())[:40] for name in islice(names, 20))


def _fits(file: Path, unpacked: int, remedy: str) -> None:
    """Refuse a file that unpacks to more than it may."""
    most = max(_UNPACKED_BYTES, _UNPACKED_TIMES * size_of(file))
    if unpacked > most:
        raise InputError(f"{file} unpacks to more than {most:,} bytes, ten times its size or more; {remedy}")


def npz(path: str | None, task: str | None = None) -> Arrays:
    """A NumPy archive with ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``. Never unpickled.

    Args:
        path: the file.
        task: as :func:`initbench.data.arrays.checked` takes it.

    Raises:
        InputError: it is damaged or holds something else.
    """
    file = existing(path, "npz")
    size_of(file)
    with reading(file, ".npz archive"), zipfile.ZipFile(file) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        for wanted in (("x_train", "y_train", "x_test", "y_test"), ("x", "y")):
            if members.keys() >= set(wanted):
                _fits(file, sum(members[name].file_size for name in wanted), "save it with numpy.savez, uncompressed")
                parts = {name: _array(archive, members[name]) for name in wanted}
                break
        else:
            raise InputError(
                f"{file} holds {brief(sorted(members)) or 'nothing'}; "
                "needed: x and y, or x_train, y_train, x_test, y_test"
            )
    if "x" in parts:
        return checked(parts["x"], parts["y"], str(file), task=task)
    for part in ("train", "test"):
        paired(parts[f"x_{part}"], parts[f"y_{part}"], f"{file}, x_{part} and y_{part}")
    x, labels = (_with_test(parts, name, file) for name in ("x", "y"))
    return checked(x, labels, str(file), n_test=len(parts["x_test"]), task=task)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.generic]:
    """One array; what its header promises must be what the archive holds, before memory is asked for it."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{brief([member.filename])} is compressed in a way that NumPy does not write")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream, max_header_size=_MOST_HEADER)
        promised = stream.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject or not dtype.itemsize or promised != member.file_size:
        raise ValueError(f"{brief([member.filename])} is not a whole array of numbers or texts")
    with archive.open(member) as stream:
        array: NDArray[np.generic] = npy.read_array(stream, allow_pickle=False)
        # At the end the sum of the content is compared.
        stream.read()
    return array


def _with_test(parts: Mapping[str, NDArray[np.generic]], name: str, file: Path) -> NDArray[np.generic]:
    train, test = parts[f"{name}_train"], parts[f"{name}_test"]
    try:
        # One long text would make all as long.
        itemsize = np.result_type(train, test).itemsize
        _fits(file, (train.size + test.size) * itemsize // 8, f"the texts of {name} differ too much in length")
        return np.concatenate([train, test])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{file}: {name}_train and {name}_test differ: "
            f"{train.dtype} of shape {train.shape[1:]}, {test.dtype} of shape {test.shape[1:]}"
        ) from error


def csv(
    path: str | None,
    label: str | int | None = None,
    header: bool = True,
    drop: Sequence[str | int] | None = None,
    task: str | None = None,
) -> Arrays:
    """A table of numbers with one column of class labels, or of numbers to predict.

    Columns are separated by commas, semicolons or tabs. A first column without a name that numbers the rows, as pandas
    writes one, is no feature.

    Args:
        path: the file; one that ends in .gz, .bz2 or .xz is unpacked.
        label: the column of the labels by name, or by number where there is no header; the last one if None.
        header: whether the first row names the columns.
        drop: columns that are no features; None: none, and columns that may be numbers of the rows are refused.
        task: as :func:`initbench.data.arrays.checked` takes it.

    Raises:
        InputError: it is damaged, too wide, or no such table.
    """
    file = existing(path, "csv")
    table = _table(file, header)
    unnamed = bool(len(table.columns)) and header and str(table.columns[0]).startswith("Unnamed: ")
    table.columns = [str(column) for column in table.columns]
    if header and len(table.columns) and all(_is_number(column) for column in table.columns):
        raise InputError(f"{file}: the first row holds numbers, not names; set dataset.header=false")
    for name in map(str, drop or ()):
        if name not in table.columns:
            raise InputError(f"{file} has no column '{brief([name])}' for dataset.drop; it has {brief(table.columns)}")
        table = table.drop(columns=name)
    if unnamed and table.columns[:1].tolist() == ["Unnamed: 0"] and _numbers_rows(table["Unnamed: 0"]):
        table = table.drop(columns="Unnamed: 0")
    column = str(label) if label is not None else (table.columns[-1] if len(table.columns) else "")
    if column not in table.columns:
        raise InputError(f"{file} has no column '{brief([column])}' for dataset.label; it has {brief(table.columns)}")
    labels = table.pop(column)
    _check_features(table, file, header, drop)
    flags = table.columns[[dtype.kind == "b" for dtype in table.dtypes]]
    # A matrix of numbers and truth values would be one of objects.
    features = table.astype(dict.fromkeys(flags, int)) if len(flags) else table
    if labels.isna().any():
        raise InputError(f"{file}: row {int(labels.isna().argmax())} has no label")
    if labels.dtype.kind in "biuf" or task == "regression":
        return checked(features.to_numpy(), labels.to_numpy(), str(file), task=task)
    # Not as an array of texts, in which one long text would make all as long.
    codes, names = labels.astype(str).factorize(sort=True)
    found = checked(features.to_numpy(), codes, str(file), task="classification")
    return replace(found, classes=tuple(map(str, names)))


def _check_features(table: "pd.DataFrame", file: Path, header: bool, drop: object) -> None:
    """Refuse columns that are no features, and a first row that is none of names."""
    if not len(table.columns):
        raise InputError(f"{file} has one column; they are separated by commas, semicolons or tabs")
    texts = [name for name, dtype in zip(table.columns, table.dtypes, strict=True) if dtype.kind not in "biuf"]
    if texts:
        name = brief(texts[:1])
        raise InputError(
            f"{file}: column '{name}' holds values that are not numbers, as '{brief([_odd(table[texts[0]])])}'; "
            f"dataset.drop=[{name}] leaves it out"
        )
    numbers = [name for name in table.columns if _is_number(name)]
    if header and numbers and not _counts(numbers):
        raise InputError(
            f"{file}: the first row holds numbers, as the name '{brief(numbers[:1])}'; if it is a row of data, set "
            "dataset.header=false"
        )
    rows = [name for name in table.columns if drop is None and _numbers_rows(table[name])]
    if rows and len(table.columns) > 1:
        name = brief(rows[:1])
        raise InputError(
            f"{file}: column '{name}' numbers the rows; dataset.drop=[{name}] leaves it out, dataset.drop=[] learns "
            "from it"
        )


def _odd(column: "pd.Series") -> object:
    """The first value of a column that is no number."""
    return next((value for value in column if not _is_number(str(value))), column.iloc[0])


def _counts(names: Sequence[str]) -> bool:
    """Whether names that are numbers count the columns, as pandas names them."""
    first = names[0]
    return first.isdecimal() and list(names) == [str(int(first) + i) for i in range(len(names))]


def _numbers_rows(column: "pd.Series") -> bool:
    """Whether a column holds the numbers of the rows, from 0 or 1, in any order; a few rows tell nothing."""
    values = column.to_numpy()
    if values.dtype.kind not in "iu" or len(values) < _FEW_ROWS or values.min() not in (0, 1):
        return False
    return bool((np.sort(values) == np.arange(len(values)) + values.min()).all())


def _table(file: Path, header: bool) -> "pd.DataFrame":
    import pandas as pd

    if file.suffix.lower() in _OTHER_ENDINGS:
        raise InputError(f"{file} is not a readable table (of compressed ones {', '.join(_UNPACK)} are read)")
    size_of(file)
    with reading(file, "table"), unpacked(file) as stream:
        separator, widths = _layout(stream)
        if max(widths, default=0) > _MOST_COLUMNS:
            raise InputError(f"{file} has {max(widths):,} columns; a table may have {_MOST_COLUMNS:,}")
        stream.seek(0)
        wrong = header and widths[1:] > widths[:1]
        table = None if wrong else pd.read_csv(stream, sep=separator, header=0 if header else None)
    # Else pandas takes the first columns for names of the rows.
    if table is None or not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{file}: rows have more values than the header has names")
    return table


def unpacked(file: Path) -> IO[bytes]:
    """The bytes of a file, unpacked by its ending; one that unpacks to more than it may is refused."""
    unpack = _UNPACK.get(file.suffix.lower())
    if unpack is None:
        return open(file, "rb")
    most = max(_UNPACKED_BYTES, _UNPACKED_TIMES * size_of(file))
    content = io.BytesIO()
    with unpack(file) as packed:
        while content.tell() <= most and (block := packed.read(2**20)):
            content.write(block)
    _fits(file, content.tell(), "unpack it first")
    content.seek(0)
    return content


def _layout(stream: IO[bytes]) -> tuple[str, list[int]]:
    """What separates the columns, and how many values the first two rows have: what pandas makes of a table."""
    found = {}
    for separator in _SEPARATORS:
        stream.seek(0)
        text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
        found[separator] = _widths(iter(partial(_line, text), ""), separator)
        text.detach()
    # Values may hold the others.
    even = [separator for separator, (first, *more) in found.items() if first > 1 and all(n == first for n in more)]
    best = max(even, key=lambda separator: found[separator][0], default=_SEPARATORS[0])
    return best, found[best]


def _widths(lines: Iterator[str], separator: str) -> list[int]:
    widths: list[int] = []
    try:
        for row in rows_of_text.reader(lines, delimiter=separator):
            if "".join(row).strip() or len(row) > 1:
                widths.append(len(row))
            if len(widths) == 2:
                break
    except rows_of_text.Error:
        # A value of so many characters is no value.
        if separator == _SEPARATORS[0]:
            raise
        return [0]
    return widths or [0]


def _line(text: IO[str]) -> str:
    line = text.readline(_MOST_CHARACTERS)
    if len(line) == _MOST_CHARACTERS:
        raise ValueError(f"one of its first lines has more than {_MOST_CHARACTERS:,} characters")
    return line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
