"""Data sets that torchvision downloads, read by us so that every byte is checked and planning needs no torch.

Files lie where torchvision puts and expects them, so an existing torchvision folder is used as it is.
"""

import contextlib
import gzip
import hashlib
import math
import pickle
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from initbench.cache import cache_folder
from initbench.data.arrays import Arrays
from initbench.errors import InputError


class _IdxFile(NamedTuple):
    """One of MNIST's four files: its name, the MD5 of the download, the MD5 of the extracted file if published."""

    name: str
    md5_gz: str
    md5: str | None = None


_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "t10k-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-labels-idx1-ubyte",
)

# The sums of the archives are torchvision's own; those of MNIST's extracted files are the canonical ones.
_IDX_SETS: dict[str, tuple[_IdxFile, ...]] = {
    "MNIST": tuple(
        map(
            _IdxFile,
            _IDX_NAMES,
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "9fb629c4189551a2d022fa330f9573f3",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            (
                "6bbc9ace898e44ae57da46a324031adb",
                "2646ac647ad5339dbf082846283269ea",
                "a25bea736e30d166cdddb491f175f624",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        )
    ),
    "FashionMNIST": tuple(
        map(
            _IdxFile,
            _IDX_NAMES,
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "bef4ecab320f06d8554ea6380940ec79",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        )
    ),
    "KMNIST": tuple(
        map(
            _IdxFile,
            _IDX_NAMES,
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "e144d726b3acfaa3e44228e80efcd344",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        )
    ),
}

_CIFAR10_FILES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def idx(torchvision: str, root: str | None = None) -> Arrays:
    """MNIST, FashionMNIST or KMNIST: 60,000 + 10,000 grey images of 28x28 pixels.

    Args:
        torchvision: torchvision's name of the data set, a key of ``_IDX_SETS``.
        root: torchvision's root folder; the user's cache folder if None.

    Raises:
        InputError: a file is damaged, or is missing and cannot be downloaded.
    """
    files = _IDX_SETS[torchvision]
    folder = _root(root) / torchvision / "raw"
    if not all((folder / file.name).exists() or (folder / f"{file.name}.gz").exists() for file in files):
        _download(torchvision, _root(root))
    parts = [_parse_idx(folder, file) for file in files]
    images, y = np.concatenate(parts[:2]), np.concatenate(parts[2:]).astype(np.int64)
    if images.ndim != 3 or len(images) != len(y):
        raise InputError(f"{folder}: images of shape {images.shape} and {len(y)} labels")
    n, height, width = images.shape
    return Arrays(images.reshape(n, -1), y, n_test=len(parts[1]), image=(1, height, width))


def cifar10(root: str | None = None) -> Arrays:
    """CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, channels first.

    Raises:
        InputError: a file is damaged, or is missing and cannot be downloaded.
    """
    folder = _root(root) / "cifar-10-batches-py"
    if not all((folder / name).exists() for name in _CIFAR10_FILES):
        _download("CIFAR10", _root(root))
    batches = []
    for name, md5 in _CIFAR10_FILES.items():
        content = (folder / name).read_bytes()
        _check(content, md5, folder / name)
        # A pickle, but one whose every byte was just compared with the published file.
        batches.append(pickle.loads(content, encoding="latin1"))
    x = np.concatenate([batch["data"] for batch in batches])
    y = np.concatenate([np.asarray(batch["labels"], np.int64) for batch in batches])
    return Arrays(x, y, n_test=len(batches[-1]["labels"]), image=(3, 32, 32))


def _root(root: str | None) -> Path:
    return (Path(root).expanduser() if root else cache_folder()).absolute()


def _check(content: bytes, md5: str, path: Path) -> None:
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise InputError(f"{path} is damaged (its checksum is wrong); delete it to have it downloaded again")


def _parse_idx(folder: Path, file: _IdxFile) -> NDArray[np.uint8]:
    """The uint8 array of one idx file, extracted or as downloaded; whichever has a known checksum comes first."""
    plain, archive = folder / file.name, folder / f"{file.name}.gz"
    if archive.exists() and not (plain.exists() and file.md5):
        path, content = archive, archive.read_bytes()
        _check(content, file.md5_gz, path)
        content = gzip.decompress(content)
    else:
        path, content = plain, plain.read_bytes()
        if file.md5:
            _check(content, file.md5, path)
    # Header: 0, 0, type (8 = uint8), number of dimensions; then each size as a big-endian uint32.
    n_dims = content[3] if len(content) > 3 and content[:3] == b"\0\0\x08" else 0
    sizes = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, n_dims + 1)]
    if not sizes or math.prod(sizes) != len(content) - 4 - 4 * n_dims:
        raise InputError(f"{path} is not a whole idx file of bytes; delete it to have it downloaded again")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * n_dims).reshape(sizes)


def _download(name: str, root: Path) -> None:
    """Let torchvision download into a folder of its own, then move the files in: a killed download leaves no part."""
    try:
        import torchvision.datasets
    except (ImportError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{name} is not in {root} and torchvision, which downloads it, cannot be imported "
            f"({_first_line(error)}); install torch and torchvision of one release from one index, e.g. "
            "pip install --force-reinstall torch torchvision"
        ) from error
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as folder:
            getattr(torchvision.datasets, name)(folder, download=True)
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    target = root / path.relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(target)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            for empty in made:
                empty.rmdir()
        raise InputError(
            f"{name} is not in {root} and cannot be downloaded ({_first_line(error)}); "
            "connect to the network, or set dataset.root=DIR to a torchvision folder that holds it"
        ) from error


def _first_line(error: BaseException) -> str:
    """An exception's message in one line; torchvision's download error names the cause in its last one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:120]
