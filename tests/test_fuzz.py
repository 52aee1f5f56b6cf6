"""Every reader of files on files that hypothesis makes, right, almost right and wrong: arrays, or one line.

``CASES`` is how many each reader sees; ``pytest -m slow tests/test_fuzz.py`` shows it many more.
"""

import gzip
import hashlib
import io
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from initbench.data import SOURCES, Arrays, downloads
from initbench.errors import InputError, StorageError
from initbench.records import store
from initbench.records.entries import Damaged
from initbench.records.packed import read_pack

CASES = 100
MANY = 170_000

FOLDER = Path(__file__).parents[1] / "results" / "published"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def damage(content: bytes, random: Random) -> bytes:
    """The content, often with some bytes changed, put in, cut out or doubled."""
    changed = bytearray(content)
    for _ in range(random.choice([0, 1, 1, 2, 4])):
        how, at = random.randrange(5), random.randrange(len(changed) + 1)
        if how == 0:
            changed[at : at + 1] = bytes(byte ^ 1 << random.randrange(8) for byte in changed[at : at + 1])
        elif how == 1:
            value = random.choice([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
            changed[at : at + len(value)] = value
        elif how == 2:
            del changed[at : at + random.choice([1, 4, 1000])]
        elif how == 3:
            changed[at:at] = random.randbytes(random.randrange(9))
        else:
            changed += changed[at:]
    return bytes(changed)


def damaged(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda content, seed: damage(content, Random(seed)), contents, st.integers(0, 2**32))


# Tables.

CELLS = st.one_of(
    st.integers(-3, 300).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["", "NaN", "inf", "-0", "1e999", "True", '"', '"a\nb"', "=1+1", "\x1b[31m", "é", "0x1", " ", "a,b"]
    ),
    st.text(max_size=4),
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=8)
ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", ",\n"])


def text_of(rows: list[list[str]], end: str) -> bytes:
    return end.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


# Half of them are right, which damage then makes almost right.
RIGHT = st.builds(
    lambda width, rows, end: text_of(
        [list("abcdef"[:width]), *([str(i)] * (width - 1) + [str(i % 2)] for i in rows)], end
    ),
    st.integers(1, 5),
    st.lists(st.integers(0, 5), min_size=4, max_size=8),
    ENDS,
)
TABLES = damaged(RIGHT | st.builds(text_of, ROWS, ENDS))


def read_csv(case: tuple[bytes, str, bool, Any], folder: Path) -> Arrays:
    content, ending, header, label = case
    file = folder / f"a.csv{ending}"
    file.write_bytes(content)
    return SOURCES["csv"](str(file), label=label, header=header)


CSV = st.one_of(
    st.tuples(TABLES, st.just(""), st.booleans(), st.sampled_from([None, "a", "1", 0])),
    st.tuples(damaged(TABLES.map(lambda c: gzip.compress(c, 1, mtime=0))), st.just(".gz"), st.booleans(), st.none()),
    st.tuples(TABLES, st.sampled_from([".xz", ".bz2", ".zip"]), st.booleans(), st.none()),
)

# Archives.

DTYPES = st.one_of(nps.scalar_dtypes(), nps.unicode_string_dtypes(max_len=3), st.just(np.dtype("i4,f8")))
DESCRIPTIONS = st.sampled_from(
    [
        "<f8",
        "|u1",
        "|O",
        "<U0",
        "<U99999999",
        "<M8[D]",
        "|V0",
        "<c16",
        ">f4",
        "(2,3)<f8",
        "?",
        "bad",
        "|S2147483647",
        "O8",
    ]
)
SIZES = st.lists(st.sampled_from([0, 1, 2, 3, 10**6, 2**31, 2**63, 10**30, -1, True, 1.5, "2"]), max_size=70)


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def header(descr: str, shape: list[Any], order: Any, body: bytes) -> bytes:
    text = repr({"descr": descr, "fortran_order": order, "shape": tuple(shape)}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


MEMBERS = st.one_of(
    nps.arrays(DTYPES, nps.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)).map(npy),
    st.builds(header, DESCRIPTIONS, SIZES, st.sampled_from([True, False, 3]), st.binary(max_size=48)),
    st.sampled_from([100, 9_000, 65_535]).map(lambda n: b"\x93NUMPY\x01\x00" + struct.pack("<H", n) + b"(" * n),
    st.binary(max_size=20),
)
X = nps.arrays(st.sampled_from([np.uint8, np.float32, np.int64]), nps.array_shapes(min_dims=2, max_side=6)).map(npy)


def pair(array: bytes) -> bytes:
    n = np.load(io.BytesIO(array)).shape[0]
    return npy(np.arange(n) % 2)


def zipped(parts: dict[str, bytes], compression: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part, compression)
    return content.getvalue()


NAMES = ["x.npy", "y.npy", "x_train.npy", "y_train.npy", "x_test.npy", "y_test.npy"]
PARTS = st.one_of(
    X.map(lambda x: {"x.npy": x, "y.npy": pair(x)}),
    st.tuples(X, X).map(lambda p: dict(zip(NAMES[2:], (p[0], pair(p[0]), p[1], pair(p[1])), strict=True))),
    st.tuples(damaged(X), damaged(X.map(pair))).map(lambda p: dict(zip(NAMES, p, strict=False))),
    st.tuples(MEMBERS, MEMBERS).map(lambda p: dict(zip(NAMES, p, strict=False))),
    st.tuples(*[MEMBERS | X] * 4).map(lambda p: dict(zip(NAMES[2:], p, strict=True))),
    st.dictionaries(st.sampled_from([*NAMES, "x", "y", "../x.npy", "\n", ""]), MEMBERS),
)
NPZ = damaged(st.builds(zipped, PARTS, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])))


def read_npz(content: bytes, folder: Path) -> Arrays:
    (folder / "a.npz").write_bytes(content)
    return SOURCES["npz"](str(folder / "a.npz"))


# idx files, and CIFAR-10's.


@st.composite
def idx_files(draw: st.DrawFn) -> bytes:
    sizes = draw(
        st.lists(st.integers(0, 4) | st.just(2**32 - 1), max_size=4) | st.lists(st.just(1), min_size=65, max_size=255)
    )
    n_dims = draw(st.just(len(sizes)) | st.integers(0, 255))
    body = draw(st.binary(max_size=64))
    if draw(st.booleans()):
        body = bytes(min(int(np.prod(sizes, dtype=object)), 1000))
    return (
        bytes([0, 0, draw(st.sampled_from([8, 8, 8, 9, 13])), n_dims]) + struct.pack(f">{len(sizes)}I", *sizes) + body
    )


IDX = st.tuples(damaged(idx_files()), st.sampled_from([1, 3]))


def read_idx(case: tuple[bytes, int], folder: Path) -> Any:
    return downloads._parsed(folder, *case)


OPCODES = [
    b"\x80\x02", b"}", b"q\x01", b"(", b"]", b"e", b"u", b".", b"K\x05", b"M\x00\x0c", b"U\x06labels", b"U\x04data",
    b"R", b"T\x00\x0c\x00\x00" + bytes(3072), b"T\xff\xff\xff\xff", b"cos\nsystem\n", b"U\x04true", b"tb",
    b"X\x02\0\0\0\xc3\xa9", b"I5\n",
]  # fmt: skip
CIFAR = damaged(st.lists(st.sampled_from(OPCODES), max_size=12).map(b"".join) | st.binary(max_size=20))


def read_cifar(content: bytes, folder: Path) -> Any:
    return downloads._batch(folder, content)


# Images.


def picture(kind: str, mode: str, width: int, height: int) -> bytes:
    content = io.BytesIO()
    image = Image.frombytes("RGB", (width, height), bytes(i % 251 for i in range(3 * width * height))).convert(mode)
    try:
        image.save(content, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" and width % 2 else {}))
    except (OSError, ValueError):
        image.convert("RGB").save(content, kind)
    return content.getvalue()


KINDS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "EPS"]
PICTURES = damaged(
    st.builds(
        picture, st.sampled_from(KINDS), st.sampled_from(["L", "RGB", "P", "1"]), st.integers(1, 9), st.integers(1, 9)
    )
    | st.binary(max_size=30)
)
IMAGES = st.tuples(PICTURES, st.sampled_from([".png", ".jpg", ".tif"]), st.sampled_from([None, 1, 5]), st.booleans())


def read_image(case: tuple[bytes, str, int | None, bool], folder: Path) -> Arrays:
    content, ending, size, gray = case
    classes = folder / f"images{ending}"
    for label in ("a", "b"):
        (classes / label).mkdir(parents=True, exist_ok=True)
        for number in (1, 2):
            (classes / label / f"{number}{ending}").write_bytes(content)
    return SOURCES["image_folder"](str(classes), size=size, gray=gray)


# Records.

PACKS = [path for folder in FOLDER.iterdir() for path in store.files([folder])]
RECORDS = sorted((content for path in PACKS for _, content in read_pack(path, print)), key=len)[:3]


def signed(body: bytes) -> bytes:
    return body + b'{"sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def without_footer(content: bytes) -> bytes:
    # A header and the first record are enough, and faster.
    return b"".join(content.splitlines(keepends=True)[:2])


RECORD = damaged(st.sampled_from(RECORDS)) | damaged(st.sampled_from(RECORDS).map(without_footer)).map(signed)


def read_record(content: bytes, folder: Path) -> Any:
    (folder / "a.jsonl").write_bytes(content)
    return store.read(folder / "a.jsonl")


READERS = {
    "csv": (CSV, read_csv),
    "npz": (NPZ, read_npz),
    "idx": (IDX, read_idx),
    "cifar": (CIFAR, read_cifar),
    "image": (IMAGES, read_image),
    "record": (RECORD, read_record),
}


def check(reader: str, case: Any, folder: Path) -> None:
    """Arrays, or an error in one line; whatever else is raised is told as it is."""
    said = ""
    result = None
    try:
        result = READERS[reader][1](case, folder)
    except (InputError, Damaged, StorageError) as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2000
    if isinstance(result, Arrays):
        assert len(result.x) == len(result.y) > 0
        assert result.x.dtype == np.uint8 or np.isfinite(result.x).all()
        assert result.n_classes >= 2


def show(reader: str, cases: int, seen: Callable[[Any], None], derandomize: bool) -> None:
    """Show something the cases of a reader."""

    @settings(
        max_examples=cases, deadline=None, database=None, derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(READERS[reader][0])
    def shown(case: Any) -> None:
        seen(case)

    shown()


@pytest.mark.full
@pytest.mark.parametrize("reader", READERS)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(reader: str, folder: Path) -> None:
    show(reader, CASES, lambda case: check(reader, case, folder), derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_the_same_for_long(reader: str, folder: Path) -> None:
    """Cases of hypothesis, damaged again and again: it makes some dozens in a second, and readers refuse thousands."""
    cases: list[Any] = []
    show(reader, MANY // 200, cases.append, derandomize=False)
    random = Random(time.time_ns())
    for _ in range(MANY):
        case = random.choice(cases)
        whole = isinstance(case, bytes)
        content = damage(case if whole else case[0], random)
        case = content if whole else (content, *case[1:])
        try:
            check(reader, case, folder)
        except BaseException:
            print(f"{reader}: {case!r}")
            raise
