"""A user's own folder of images."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from initbench.data.arrays import Arrays, checked
from initbench.data.files import existing, reading, size_of
from initbench.errors import InputError

# By ending; whatever a file is called, only these decoders see it. Others start programs: EPS runs Ghostscript.
_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# One image; a camera's have 12 to 50 million pixels.
_MOST_PIXELS = 2**26
# All of them, decoded: at least this, or so much times their files. Photographs are ten to twenty times as large.
_DECODED_BYTES, _DECODED_TIMES = 2**28, 30
# A progressive JPEG is decoded once per scan and has about ten.
_MOST_SCANS = 40
_PNG_END = b"IEND\xaeB`\x82"


def image_folder(path: str | None, size: int | None = None, gray: bool = False) -> Arrays:
    """Images sorted into one folder per class, below ``train/`` and ``test/`` or directly below ``path``.

    Args:
        path: the folder.
        size: edge length in pixels to which every image is resized; None: all must have one size already.
        gray: one grey channel instead of three colours.

    Raises:
        InputError: an image is damaged, cut, or not as large as the others; there are none; or they are tiny files that
            decode to very large images.
    """
    folder = existing(path, "image_folder")
    parts = [folder / "train", folder / "test"] if (folder / "train").is_dir() else [folder]
    pixels: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    counts = []
    read = decoded = 0
    for part in parts:
        for label, file in _images(part):
            content = _content(file)
            read += len(content)
            image, width, height = _decoded(file, content, size, gray)
            decoded += 3 * width * height
            if decoded > max(_DECODED_BYTES, _DECODED_TIMES * read):
                raise InputError(
                    f"{folder} decodes to more than {_DECODED_TIMES} times its bytes, at {file}; "
                    "make the images smaller, or an .npz archive of them"
                )
            pixels.append(image)
            labels.append(label)
            if image.shape != pixels[0].shape:
                raise InputError(f"{file} differs in size from the first image; set dataset.size=PIXELS to resize all")
        counts.append(len(labels))
    if not labels:
        raise InputError(f"{folder} holds no images in class folders ({', '.join(sorted(_FORMATS))})")
    return checked(np.stack(pixels), np.array(labels), str(folder), n_test=counts[-1] - counts[0])


def _images(folder: Path) -> Iterator[tuple[str, Path]]:
    """The class and path of every image below ``folder``, in an order that depends on names only."""
    with reading(folder, "folder"):
        class_folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    for class_folder in class_folders:
        with reading(class_folder, "folder"):
            files = sorted(p for p in class_folder.rglob("*") if p.suffix.lower() in _FORMATS)
        for file in files:
            yield class_folder.name, file


def _content(file: Path) -> bytes:
    with reading(file, "image"):
        size_of(file)
        return file.read_bytes()


def _decoded(file: Path, content: bytes, size: int | None, gray: bool) -> tuple[NDArray[np.uint8], int, int]:
    """One image as bytes, ``[height, width]`` if grey, else ``[height, width, 3]``; the width and height it had."""
    from PIL import Image

    formats = sorted(set(_FORMATS.values()))
    with reading(file, "image"):
        # Decoding does not miss the last bytes of a file that was cut.
        if content.startswith(b"\x89PNG") and _PNG_END not in content:
            raise ValueError("it is cut")
        with Image.open(io.BytesIO(content), formats=formats) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise InputError(f"{file} has {width} x {height} pixels; an image may have {_MOST_PIXELS:,}")
            if image.format == "JPEG" and content.count(b"\xff\xda") > _MOST_SCANS:
                raise InputError(f"{file} has more than {_MOST_SCANS} scans; save it as an ordinary JPEG")
            pixels = image.convert("L" if gray else "RGB")
        if size is not None and pixels.size != (size, size):
            pixels = pixels.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(pixels, np.uint8), width, height
