"""Published data sets: looked for where torchvision keeps them, fetched where they are missing or damaged.

Every byte is compared with a published sum before it is used. Nothing is unpickled, and of an archive only the files
that are known by name are read.
"""

import gzip
import io
import math
import os
import pickletools
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from initbench.cache import cache_folder
from initbench.data.arrays import Arrays, paired
from initbench.data.fetch import FetchError, fetch, md5_of, store, sweep
from initbench.data.files import reading
from initbench.errors import InputError, unknown


class _Archive(NamedTuple):
    """A file to download, and the files inside it.

    Attributes:
        name: of the file at each mirror, which is also where it lies below the root, in ``folder``.
        md5: its sum, torchvision's own.
        folder: below the root, of the archive; ``inside`` that of the files it holds.
        members: file name to its sum, None where it is not published: then the archive is what is kept.
    """

    name: str
    md5: str
    folder: str
    inside: str
    members: dict[str, str | None]


class _Published(NamedTuple):
    mirrors: tuple[str, ...]
    archives: tuple[_Archive, ...]


def _idx(name: str, mirrors: tuple[str, ...], sums: dict[str, tuple[str, str | None]]) -> _Published:
    raw = f"{name}/raw"
    archives = tuple(_Archive(f"{file}.gz", packed, raw, raw, {file: plain}) for file, (packed, plain) in sums.items())
    return _Published(mirrors, archives)


# The sums of the archives are torchvision's own; those of the extracted files are of what these archives hold.
_IDX_SETS = {
    "MNIST": _idx(
        "MNIST",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
            "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
            "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
            "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
        },
    ),
    "FashionMNIST": _idx(
        "FashionMNIST",
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
            "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
            "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
            "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
        },
    ),
    "KMNIST": _idx(
        "KMNIST",
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        {
            "train-images-idx3-ubyte": ("bdb82020997e1d708af4cf47b453dcf7", None),
            "t10k-images-idx3-ubyte": ("5c965bf0a639b31b8f53240b1b52f4d7", None),
            "train-labels-idx1-ubyte": ("e144d726b3acfaa3e44228e80efcd344", None),
            "t10k-labels-idx1-ubyte": ("7320c461ea6c1c855c0b718fb2a4b134", None),
        },
    ),
}

_CIFAR10 = _Published(
    ("https://www.cs.toronto.edu/~kriz/",),
    (
        _Archive(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "",
            "cifar-10-batches-py",
            {
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
            },
        ),
    ),
)

# None of these files has more; CIFAR-10 has 170 million.
_MOST_BYTES = 2**28


def idx(torchvision: str, root: str | None = None) -> Arrays:
    """MNIST, FashionMNIST or KMNIST: 60,000 + 10,000 grey images of 28x28 pixels.

    Args:
        torchvision: torchvision's name of the data set, a key of ``_IDX_SETS``.
        root: torchvision's root folder; the user's cache folder if None.

    Raises:
        InputError: a file is missing or damaged and cannot be downloaded.
    """
    if torchvision not in _IDX_SETS:
        raise unknown("dataset.torchvision", torchvision, _IDX_SETS)
    parts = [
        _parsed(path, content, 3 if "idx3" in path.name else 1)
        for path, content in _contents(_IDX_SETS[torchvision], _root(root))
    ]
    folder = str(_root(root) / torchvision)
    for images, labels in ((parts[0], parts[2]), (parts[1], parts[3])):
        paired(images, labels, folder)
    if parts[0].shape[1:] != parts[1].shape[1:]:
        raise InputError(f"{folder}: training images of shape {parts[0].shape[1:]}, test images {parts[1].shape[1:]}")
    images, y = np.concatenate(parts[:2]), np.concatenate(parts[2:]).astype(np.int64)
    n, height, width = images.shape
    return Arrays(images.reshape(n, -1), y, n_test=len(parts[1]), image=(1, height, width))


def cifar10(root: str | None = None) -> Arrays:
    """CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, channels first.

    Raises:
        InputError: a file is missing or damaged and cannot be downloaded.
    """
    batches = [_batch(path, content) for path, content in _contents(_CIFAR10, _root(root))]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Arrays(x, y.astype(np.int64), n_test=len(batches[-1][1]), image=(3, 32, 32))


def _root(root: str | None) -> Path:
    return (Path(root).expanduser() if root else cache_folder()).absolute()


def _contents(published: _Published, root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of a data set, in the order of the table, from the folder or from the network."""
    for archive in published.archives:
        for folder in {root, root / archive.folder, root / archive.inside}:
            sweep(folder)
        paths = {root / archive.inside / name: md5 for name, md5 in archive.members.items()}
        yield from (_here(archive, paths, root) or _unpacked(archive, paths, root, published.mirrors)).items()


def _here(archive: _Archive, paths: dict[Path, str | None], root: Path) -> dict[Path, bytes]:
    """The files as they lie there, if all are; those whose sum is not known only where the archive is not there."""
    found = {}
    for path, md5 in paths.items():
        content = _read(path) if md5 or not os.path.exists(root / archive.folder / archive.name) else None
        if content is None or (md5 and md5_of(content) != md5):
            return {}
        found[path] = content
    return found


def _read(path: Path) -> bytes | None:
    """What a file holds; None if there is none or it is larger than any of ours."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _unpacked(
    archive: _Archive, paths: dict[Path, str | None], root: Path, mirrors: tuple[str, ...]
) -> dict[Path, bytes]:
    """The files out of their archive, which is fetched where it is missing or damaged, and kept as the table says."""
    packed = root / archive.folder / archive.name
    content = _read(packed)
    fetched = content is None or md5_of(content) != archive.md5
    if fetched:
        content = _fetched(archive, [*paths, packed], root, mirrors)
    assert content is not None
    found = {path: _member(archive, path.name, content) for path in paths}
    for path, md5 in paths.items():
        if md5 and md5_of(found[path]) != md5:
            raise InputError(f"{path.name} in {archive.name} is not the published one")
    keep = {path: found[path] for path, md5 in paths.items() if md5} or {packed: content}
    try:
        for path, whole in keep.items() if fetched else ():
            store(path, whole)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or root}: {error.strerror or error}") from error
    return found


def _fetched(archive: _Archive, paths: list[Path], root: Path, mirrors: tuple[str, ...]) -> bytes:
    damaged = [path for path in paths if os.path.exists(path)]
    try:
        return fetch([mirror + archive.name for mirror in mirrors], archive.md5)
    except FetchError as error:
        news = f"{damaged[0]} is damaged (its checksum is wrong)" if damaged else f"{archive.name} is not in {root}"
        raise InputError(
            f"{news} and cannot be downloaded ({error}); "
            "connect to the network, or set dataset.root=DIR to a torchvision folder that holds it"
        ) from error


def _member(archive: _Archive, name: str, content: bytes) -> bytes:
    """One file of an archive; nothing is written by a name that the archive has."""
    packed = io.BytesIO(content)
    try:
        if not archive.name.endswith(".tar.gz"):
            with gzip.open(packed) as stream:
                return stream.read(_MOST_BYTES)
        with tarfile.open(fileobj=packed, mode="r:gz") as tar:
            member = tar.extractfile(f"{archive.inside}/{name}")
            assert member is not None
            return member.read(_MOST_BYTES)
    except (OSError, EOFError, KeyError, AssertionError, tarfile.TarError) as error:
        raise InputError(f"{archive.name} holds no whole {name}") from error


def _parsed(path: Path, content: bytes, n_dims: int) -> NDArray[np.uint8]:
    """The array of one idx file: 0, 0, type (8 = uint8), number of sizes; the sizes as big-endian uint32; bytes."""
    start = 4 + 4 * n_dims
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if content[:4] != bytes([0, 0, 8, n_dims]) or 0 in sizes or math.prod(sizes) != len(content) - start:
        raise InputError(
            f"{path} is not a whole idx file of bytes in {n_dims} dimensions; delete it to have it downloaded again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _batch(path: Path, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels and labels of one of CIFAR-10's files, a pickle of Python 2, of which only the constants are read.

    It is a dictionary: the whole numbers after the text ``labels`` are the labels, the longest text is the pixels.
    """
    labels = bytearray()
    pixels, last = "", ""
    with reading(path, "batch of CIFAR-10"):
        for opcode, value, _ in pickletools.genops(content):
            if isinstance(value, str):
                pixels, last = max(pixels, value, key=len), value
            elif last == "labels" and isinstance(value, int) and opcode.name == "BININT1":
                labels.append(value)
    if not labels or len(pixels) != 3072 * len(labels):
        raise InputError(f"{path} is not a batch of CIFAR-10")
    x = np.frombuffer(pixels.encode("latin-1"), np.uint8).reshape(len(labels), 3072)
    return x, np.frombuffer(labels, np.uint8)
