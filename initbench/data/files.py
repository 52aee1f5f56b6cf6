"""A user's own data: NumPy archive, table, or folder of images."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from initbench.data.arrays import Arrays, checked, paired
from initbench.errors import InputError, one_line

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def _existing(path: str | None, source: str) -> Path:
    if not path:
        raise InputError(f"dataset={source} needs dataset.path=…")
    found = Path(path).expanduser()
    try:
        found.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"dataset.path={path} does not exist") from error
    except OSError as error:
        raise InputError(f"dataset.path={path} cannot be read: {error.strerror or error}") from error
    return found


@contextmanager
def _reading(file: Path, kind: str) -> Iterator[None]:
    """Whatever a damaged file makes its reader raise is the same news to the user."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{file} is not a readable {kind} ({one_line(error)[:100]})") from error


def npz(path: str | None) -> Arrays:
    """A NumPy archive with ``x`` and ``y``, or ``x_train``, ``y_train``, ``x_test``, ``y_test``. Never unpickled."""
    file = _existing(path, "npz")
    with (
        _reading(file, ".npz archive"),
        open(file, "rb") as stream,
        np.load(stream, allow_pickle=False) as archive,
    ):
        parts = {name: archive[name] for name in archive.files}
    if {"x_train", "y_train", "x_test", "y_test"} <= parts.keys():
        for part in ("train", "test"):
            paired(parts[f"x_{part}"], parts[f"y_{part}"], f"{file}, x_{part} and y_{part}")
        x, labels = (_with_test(parts, name, file) for name in ("x", "y"))
        return checked(x, labels, str(file), n_test=len(parts["x_test"]))
    if {"x", "y"} <= parts.keys():
        return checked(parts["x"], parts["y"], str(file))
    raise InputError(
        f"{file} holds {', '.join(sorted(parts)) or 'nothing'}; needed: x and y, or x_train, y_train, x_test, y_test"
    )


def _with_test(parts: Mapping[str, NDArray[np.generic]], name: str, file: Path) -> NDArray[np.generic]:
    train, test = parts[f"{name}_train"], parts[f"{name}_test"]
    try:
        return np.concatenate([train, test])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{file}: {name}_train and {name}_test differ: "
            f"{train.dtype} of shape {train.shape[1:]}, {test.dtype} of shape {test.shape[1:]}"
        ) from error


def csv(path: str | None, label: str | int | None = None, header: bool = True) -> Arrays:
    """A table of numbers with one column of class labels.

    Args:
        path: the file; compressed files are read by their ending.
        label: the column of the labels by name, or by number where there is no header; the last one if None.
        header: whether the first row names the columns.
    """
    import pandas as pd

    file = _existing(path, "csv")
    with _reading(file, "table"):
        table = pd.read_csv(file, header=0 if header else None)
    # Else pandas takes the first columns for names of the rows.
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{file}: rows have more values than the header has names")
    table.columns = [str(column) for column in table.columns]
    if header and len(table.columns) and all(_is_number(column) for column in table.columns):
        raise InputError(f"{file}: the first row holds numbers, not names; set dataset.header=false")
    column = str(label) if label is not None else (table.columns[-1] if len(table.columns) else "")
    if column not in table.columns:
        raise InputError(f"{file} has no column '{column}' for dataset.label; it has {', '.join(table.columns[:20])}")
    features = table.drop(columns=column)
    texts = [name for name, dtype in features.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    if texts:
        raise InputError(f"{file}: column '{texts[0]}' holds values that are not numbers")
    # A matrix of numbers and truth values would be one of objects.
    features = features.astype(dict.fromkeys(features.select_dtypes(bool), int))
    if table[column].isna().any():
        raise InputError(f"{file}: row {int(table[column].isna().argmax())} has no label")
    labels = table[column].to_numpy()
    return checked(features.to_numpy(), labels if labels.dtype.kind in "biuf" else labels.astype(str), str(file))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def image_folder(path: str | None, size: int | None = None, gray: bool = False) -> Arrays:
    """Images sorted into one folder per class, below ``train/`` and ``test/`` or directly below ``path``.

    Args:
        path: the folder.
        size: edge length in pixels to which every image is resized; None: all must have one size already.
        gray: one grey channel instead of three colours.
    """
    folder = _existing(path, "image_folder")
    parts = [folder / "train", folder / "test"] if (folder / "train").is_dir() else [folder]
    pixels: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    counts = []
    for part in parts:
        for label, file in _images(part):
            pixels.append(_read_image(file, size, gray))
            labels.append(label)
            if pixels[-1].shape != pixels[0].shape:
                raise InputError(f"{file} differs in size from the first image; set dataset.size=PIXELS to resize all")
        counts.append(len(labels))
    if not labels:
        raise InputError(f"{folder} holds no images in class folders ({', '.join(sorted(_IMAGES))})")
    return checked(np.stack(pixels), np.array(labels), str(folder), n_test=counts[-1] - counts[0])


def _images(folder: Path) -> Iterator[tuple[str, Path]]:
    """The class and path of every image below ``folder``, in an order that depends on names only."""
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []:
        for file in sorted(class_folder.rglob("*")):
            if file.suffix.lower() in _IMAGES:
                yield class_folder.name, file


def _read_image(file: Path, size: int | None, gray: bool) -> NDArray[np.uint8]:
    """One image as bytes, ``[height, width]`` if grey, else ``[height, width, 3]``."""
    from PIL import Image

    with _reading(file, "image"), Image.open(file) as image:
        pixels = image.convert("L" if gray else "RGB")
        if size is not None and pixels.size != (size, size):
            pixels = pixels.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.uint8)
