"""Files that lie, explode, never end or start programs: refused in one line, before they cost time or memory."""

import bz2
import gzip
import io
import lzma
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from initbench.data import SOURCES, DatasetSpec, files, images, load
from initbench.errors import InputError


def refused(source: str, path: Path, **options: object) -> str:
    """What is said of a file, by the reader and when work with it is planned."""
    with pytest.raises(InputError) as error:
        SOURCES[source](path=str(path), **options)
    with pytest.raises(InputError):
        load(DatasetSpec("own", source, (("path", str(path)), *options.items())))
    assert "\n" not in str(error.value)
    return str(error.value)


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


Y = header((4,)) + b"\0\1\0\1"


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 32nd of the one there is: the tests take a 32nd of the time."""
    assert files._UNPACKED_BYTES == 2**25
    monkeypatch.setattr(files, "_UNPACKED_BYTES", 2**20)


@pytest.mark.usefixtures("small_limit")
def test_an_archive_that_explodes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    n = 2**22
    bomb = archive(tmp_path / "a.npz", x=header((n, 1)) + bytes(n), y=Y)
    assert bomb.stat().st_size < 2**17
    tracemalloc.start()
    assert "unpacks to more than 1,048,576 bytes" in refused("npz", bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    # What is unpacked already may be as large as it is.
    np.savez(tmp_path / "b.npz", x=np.zeros((n, 1), np.uint8), y=np.arange(n, dtype=np.uint8) % 2)
    assert SOURCES["npz"](str(tmp_path / "b.npz")).n_classes == 2


@pytest.mark.full
@pytest.mark.parametrize(
    "x",
    [
        header((10**12, 10)), header((2**63, 2**63)), header((-4, -1)) + bytes(4), header((4, 1), "|O") + bytes(32),
        header((10**15, 1), "<U0"), header((4, *([1] * 70))) + bytes(4), header((4, 1)) + bytes(5),
        b"no array at all", b"",
        b"\x93NUMPY\x01\x00\x28\x23" + b"(" * 9000,
    ],
)  # fmt: skip
def test_an_array_that_is_none_or_lies_about_its_size_is_refused(tmp_path: Path, x: bytes) -> None:
    tracemalloc.start()
    assert "is not a readable .npz archive" in refused("npz", archive(tmp_path / "a.npz", x=x, y=Y))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_a_long_text_among_short_ones_costs_its_own_length_only(tmp_path: Path) -> None:
    n, x = 2**16, np.zeros((2**16, 1), np.uint8)
    long = np.array(["a" * 2**16, "b"])
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.array(["a", "b"] * (n // 2)), x_test=x[:2], y_test=long)
    assert "the texts of y differ too much in length" in refused("npz", tmp_path / "a.npz")
    (tmp_path / "a.csv").write_text("a,b\n" + "1,x\n2,y\n" * 10_000 + "3," + "z" * 2**20 + "\n")
    tracemalloc.start()
    arrays = SOURCES["csv"](str(tmp_path / "a.csv"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert arrays.classes == ("x", "y", "z" * 2**20)
    assert peak < 2**25


@pytest.mark.full
@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("line", [b"1,0\n2,1\n", b"11111111"])
@pytest.mark.usefixtures("small_limit")
def test_a_table_that_explodes_is_refused(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes], line: bytes
) -> None:
    table = tmp_path / f"a.csv{ending}"
    table.write_bytes(pack(b"a,y\n" + line * 2**18))
    assert "ten times its size or more; unpack it first" in refused("csv", table)
    table.write_bytes(pack(b"a,y\n" + b"1,0\n2,1\n" * 10))
    assert len(SOURCES["csv"](str(table)).y) == 20


@pytest.mark.full
def test_a_table_of_a_million_columns_is_refused(tmp_path: Path) -> None:
    n, table = 10**6, tmp_path / "a.csv"
    names, values = ",".join("c" * n) + "\n", ",".join("1" * n) + "\n"
    for content in (names + values * 4, "\n \n" + names + values, "a,b\n" + values * 4, '"a\n",' * n + "b\n" + values):
        table.write_text(content)
        assert "columns; a table may have 65,536" in refused("csv", table)
    table.write_text(values * 4)
    assert "columns; a table may have 65,536" in refused("csv", table, header=False)


@pytest.mark.parametrize("source", ["csv", "npz", "image_folder"])
def test_what_never_ends_is_no_file(tmp_path: Path, source: str) -> None:
    ending = {"csv": ".csv", "npz": ".npz", "image_folder": ".png"}[source]
    pipe, endless, folder, large = (
        tmp_path / name / "a" / f"1{ending}" for name in ("pipe", "zero", "folder", "large")
    )
    for path in (pipe, endless, folder, large):
        path.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    folder.mkdir()
    large.touch()
    os.truncate(large, 2**40)
    for path in (pipe, endless, folder):
        said = refused(source, path.parents[1] if source == "image_folder" else path)
        assert said == f"{path} is not a file"
    assert "has 1,099,511,627,776 bytes" in refused(source, large.parents[1] if source == "image_folder" else large)


def image(path: Path, content: bytes) -> Path:
    """A folder of images with one file in it."""
    (path / "a").mkdir(parents=True, exist_ok=True)
    (path / "a" / "1.png").write_bytes(content)
    return path


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)  # type: ignore[arg-type]
    return content.getvalue()


@pytest.mark.full
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_every_cut_image_is_refused(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    content = saved(Image.fromarray(pixels), kind)
    for length in (*range(0, len(content), 37), *range(len(content) - 30, len(content))):
        assert "is not a readable image" in refused("image_folder", image(tmp_path, content[:length]))
    assert "at least 2 classes" in refused("image_folder", image(tmp_path, content))


def test_no_image_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    eps = saved(Image.new("RGB", (4, 4)), "EPS")
    said = refused("image_folder", image(tmp_path / "images", eps))
    assert "1.png is not a readable image (UnidentifiedImageError: " in said
    assert not (tmp_path / "started").exists()


def test_images_that_explode_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    black = Image.new("1", (9000, 9000))
    assert "has 9000 x 9000 pixels; an image may have 67,108,864" in refused(
        "image_folder", image(tmp_path / "one", saved(black, "PNG"))
    )
    monkeypatch.setattr(images, "_DECODED_BYTES", 2**20)
    many = image(tmp_path / "many", saved(Image.new("1", (400, 400)), "PNG"))
    for number in (2, 3):
        (many / "a" / f"{number}.png").write_bytes((many / "a" / "1.png").read_bytes())
    for size in (None, 4):
        said = refused("image_folder", many, size=size)
        assert f"{many} decodes to more than 30 times its bytes, at {many}/a/3.png" in said


def test_a_picture_of_endless_scans_is_refused(tmp_path: Path) -> None:
    content = saved(Image.new("L", (64, 64)), "JPEG", progressive=True)
    last = content.rfind(b"\xff\xda")
    assert "at least 2 classes" in refused("image_folder", image(tmp_path, content))
    content = content[:last] + content[last:-2] * 200 + b"\xff\xd9"
    assert "has more than 40 scans" in refused("image_folder", image(tmp_path, content))
