"""Published data sets: read as torchvision reads them, and fetched from a server that does all that servers do."""

import gzip
import hashlib
import http.server
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from initbench.data import SOURCES, Arrays, downloads, fetch
from initbench.errors import InputError


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist(n_train: int = 60, n_test: int = 20) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {
        f"{part}-{kind}": idx_bytes(array)
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        for part, n in (("train", n_train), ("t10k", n_test))
        for array in [
            rng.integers(0, 256, (n, 28, 28), np.uint8) if "images" in kind else (np.arange(n) % 10).astype(np.uint8)
        ]
    }


FILES = small_mnist()
ARCHIVES = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in FILES.items()}
FIRST = "train-images-idx3-ubyte"


def published(mirrors: tuple[str, ...], known: bool = True, name: str = "FashionMNIST") -> downloads._Published:
    sums = {file: (md5(ARCHIVES[f"{file}.gz"]), md5(data) if known else None) for file, data in FILES.items()}
    return downloads._idx(name, mirrors, sums)


def write_raw(root: Path, files: dict[str, bytes], name: str = "FashionMNIST") -> Path:
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def fashion(root: Path) -> Arrays:
    return SOURCES["idx"](torchvision="FashionMNIST", root=str(root))


def left_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


class Server(http.server.ThreadingHTTPServer):
    """A web server with the small files; ``behaviour`` answers instead, ``asked`` is what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(ARCHIVES)
        self.behaviour: Callable[[Handler, bytes], None] = Handler.whole
        self.asked: list[str] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, *_: object) -> None:
        """A client that went away."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path.strip("/").split("/")[-1]
        self.server.asked.append(name)
        if name not in self.server.files:
            self.send_error(404)
        elif self.path.startswith("/elsewhere/"):
            self.whole(self.server.files[name])
        else:
            self.server.behaviour(self, self.server.files[name])

    def head(self, length: int | None, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def whole(self, content: bytes) -> None:
        self.head(len(content))
        self.wfile.write(content)

    def without_length(self, content: bytes) -> None:
        self.head(None)
        self.wfile.write(content)

    def redirected(self, content: bytes) -> None:
        self.head(0, 302, Location=f"/elsewhere{self.path}")

    def round_and_round(self, content: bytes) -> None:
        self.head(0, 302, Location=self.path)

    def to_a_file(self, content: bytes) -> None:
        self.head(0, 302, Location="file:///etc/passwd")

    def silent(self, content: bytes) -> None:
        self.server.over.wait()

    def stalled(self, content: bytes) -> None:
        self.head(len(content))
        self.wfile.write(content[: len(content) // 2])
        self.server.over.wait()

    def dripping(self, content: bytes) -> None:
        self.head(len(content))
        while not self.server.over.wait(0.02):
            self.wfile.write(b"x")

    def endless(self, content: bytes) -> None:
        self.head(None)
        while not self.server.over.is_set():
            self.wfile.write(content)

    def huge(self, content: bytes) -> None:
        self.head(10**12)

    def cut(self, content: bytes) -> None:
        self.head(len(content))
        self.wfile.write(content[:-5])

    def flipped(self, content: bytes) -> None:
        self.whole(content[:-20] + bytes([content[-20] ^ 4]) + content[-19:])

    def page(self, content: bytes) -> None:
        self.whole(b"<html>please log in</html>")

    def nothing(self, content: bytes) -> None:
        self.whole(b"")

    def error_500(self, content: bytes) -> None:
        self.send_error(500)

    def no_http(self, content: bytes) -> None:
        self.wfile.write(b"\x00\xff" * 50)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # urllib keeps the opener, and with it the proxies, of its first use.
    monkeypatch.setattr(urllib.request, "_opener", None)
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", published((server.url,)))
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", published(("http://127.0.0.1:9/",)))


@pytest.mark.usefixtures("no_server")
def test_idx_files_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    write_raw(tmp_path, FILES)
    arrays = fashion(tmp_path)
    train = torchvision.datasets.FashionMNIST(str(tmp_path), train=True)
    test = torchvision.datasets.FashionMNIST(str(tmp_path), train=False)
    assert arrays.n_test == 20
    assert arrays.sample_shape == (1, 28, 28)
    assert (arrays.x[:60] == train.data.flatten(1).numpy()).all()
    assert (arrays.x[60:] == test.data.flatten(1).numpy()).all()
    assert (arrays.y == np.concatenate([train.targets.numpy(), test.targets.numpy()])).all()


def test_names_sums_and_addresses_are_torchvisions() -> None:
    for name, ours in downloads._IDX_SETS.items():
        theirs = getattr(torchvision.datasets, name)
        assert list(ours.mirrors) == theirs.mirrors
        assert sorted((archive.name, archive.md5) for archive in ours.archives) == sorted(theirs.resources)
    theirs = torchvision.datasets.CIFAR10
    (ours,) = downloads._CIFAR10.archives
    assert downloads._CIFAR10.mirrors[0] + ours.name == theirs.url
    assert (ours.md5, ours.inside) == (theirs.tgz_md5, theirs.base_folder)
    assert list(ours.members.items()) == [(name, md5) for name, md5 in theirs.train_list + theirs.test_list]


@pytest.mark.parametrize(
    "behaviour", [Handler.whole, Handler.without_length, Handler.redirected], ids=lambda f: f.__name__
)
def test_a_missing_set_is_downloaded_once(
    tmp_path: Path, server: Server, behaviour: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    server.behaviour = behaviour
    root = tmp_path / "new" / "root"
    arrays = fashion(root)
    assert arrays.x.shape == (80, 784)
    assert left_in(root) == sorted(f"FashionMNIST/raw/{name}" for name in FILES)
    assert f"downloading {server.url}{FIRST}.gz" in capsys.readouterr().err
    asked = list(server.asked)
    assert fashion(root).sha256 == arrays.sha256
    assert server.asked == asked
    assert capsys.readouterr().err == ""


@pytest.mark.full
@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (Handler.silent, "timed out"),
        (Handler.stalled, "timed out"),
        (Handler.dripping, "too slow: "),
        (Handler.endless, "more than 100,000 bytes are too many"),
        (Handler.huge, "1,000,000,000,000 bytes are too many"),
        (Handler.cut, "ended after "),
        (Handler.flipped, "with the wrong checksum"),
        (Handler.page, "gave 26 bytes with the wrong checksum"),
        (Handler.nothing, "gave 0 bytes with the wrong checksum"),
        (Handler.error_500, "HTTP Error 500"),
        (Handler.round_and_round, "infinite loop"),
        (Handler.to_a_file, "is not allowed"),
        (Handler.no_http, f"{FIRST}.gz: "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_whatever_a_server_does_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    server: Server,
    behaviour: Callable[..., None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "_PATIENCE", 0.2)
    monkeypatch.setattr(fetch, "_SLOWEST", 2**20)
    monkeypatch.setattr(fetch, "_MOST_BYTES", 100_000)
    server.behaviour = behaviour
    with pytest.raises(InputError, match=rf"{FIRST}.gz is not in .* cannot be downloaded \(.*; connect to") as error:
        fashion(tmp_path / "root")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    server.behaviour = Handler.whole
    monkeypatch.setattr(fetch, "_PATIENCE", 30)
    assert fashion(tmp_path / "root").n_test == 20


def test_a_file_that_the_server_lacks_is_told_and_those_that_came_are_kept(tmp_path: Path, server: Server) -> None:
    last = server.files.pop("t10k-labels-idx1-ubyte.gz")
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte.gz is not in .*HTTP Error 404"):
        fashion(tmp_path)
    assert len(left_in(tmp_path)) == 3
    server.files["t10k-labels-idx1-ubyte.gz"] = last
    server.asked.clear()
    fashion(tmp_path)
    assert server.asked == ["t10k-labels-idx1-ubyte.gz"]


def test_the_next_mirror_is_asked(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors = ("http://127.0.0.1:9/", f"{server.url}", "http://127.0.0.1:9/")
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", published(mirrors))
    assert fashion(tmp_path).n_test == 20


def damaged(how: str, content: bytes) -> bytes:
    return {"cut": content[:-7], "empty": b"", "flipped": content[:40] + bytes([content[40] ^ 1]) + content[41:]}[how]


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "missing"])
@pytest.mark.parametrize("known", [True, False])
def test_a_damaged_file_is_fetched_again(
    tmp_path: Path, server: Server, how: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a data set whose extracted files have no published sum the archive is what lies there."""
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", published((server.url,), known))
    whole = FILES if known else ARCHIVES
    folder = write_raw(tmp_path, whole)
    bad = folder / next(iter(whole))
    if how == "missing":
        bad.unlink()
    else:
        bad.write_bytes(damaged(how, bad.read_bytes()))
    arrays = fashion(tmp_path)
    assert server.asked == [f"{FIRST}.gz"]
    assert left_in(folder) == sorted(whole)
    assert bad.read_bytes() == whole[bad.name]
    assert (arrays.x[0] == np.frombuffer(FILES[FIRST], np.uint8, 784, 16)).all()


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("how", ["cut", "flipped", "empty"])
def test_a_damaged_file_without_network_is_one_line_and_stays(tmp_path: Path, how: str) -> None:
    folder = write_raw(tmp_path, FILES)
    content = damaged(how, FILES[FIRST])
    (folder / FIRST).write_bytes(content)
    with pytest.raises(InputError, match=rf"{FIRST} is damaged .* cannot be downloaded .*; connect to the network"):
        fashion(tmp_path)
    assert (folder / FIRST).read_bytes() == content
    assert left_in(folder) == sorted(FILES)


@pytest.mark.usefixtures("no_server")
def test_an_archive_beside_a_damaged_file_is_used(tmp_path: Path) -> None:
    folder = write_raw(tmp_path, FILES | {f"{FIRST}.gz": ARCHIVES[f"{FIRST}.gz"]})
    (folder / FIRST).write_bytes(b"")
    assert fashion(tmp_path).n_test == 20


@pytest.mark.parametrize("content", [
    b"", b"\0\0\x08", FILES[FIRST][:15], FILES[FIRST][:-1], FILES[FIRST] + b"x",
    b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x",
    b"\0\0\x08\x03" + b"\xff" * 12, b"\0\0\x08\x03" + b"\0" * 12,
    # Found by tests/test_fuzz.py.
    b"\0\0\x08\x03\0\0\0\0\xff\xff\xff\xff\xff\xff\0\0", idx_bytes(np.zeros(60, np.uint8)),
    idx_bytes(np.zeros((59, 28, 28), np.uint8)), idx_bytes(np.zeros((60, 28, 27), np.uint8)),
])  # fmt: skip
@pytest.mark.usefixtures("no_server")
def test_an_idx_file_of_unknown_sum_is_read_with_care(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", published(("http://127.0.0.1:9/",), known=False))
    write_raw(tmp_path, FILES | {FIRST: content})
    with pytest.raises(InputError):
        fashion(tmp_path)


@pytest.mark.parametrize("source", [{"torchvision": "MNIST"}, {"torchvision": "KMNIST"}, {}])
def test_no_network_is_one_line_and_leaves_nothing(tmp_path: Path, source: dict[str, str]) -> None:
    root = tmp_path / "root"
    with pytest.raises(InputError, match=r"cannot be downloaded \(.+\); connect to the network, or set dataset.root"):
        SOURCES["idx" if source else "cifar10"](**source, root=str(root))
    assert not root.exists()


def test_a_data_set_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown dataset.torchvision 'KMNST', did you mean 'KMNIST'"):
        SOURCES["idx"](torchvision="KMNST", root=str(tmp_path))


def test_leftovers_of_killed_downloads_are_swept_and_those_of_others_are_not(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_raw(tmp_path, FILES)
    old = [tmp_path / ".download-ab3_x9zz", raw / ".download-01234567"]
    # A folder of an older release.
    (old[0] / "FashionMNIST").mkdir(parents=True)
    (old[0] / "FashionMNIST" / "part").write_bytes(b"x")
    old[1].write_bytes(b"x")
    young, foreign = raw / ".download-89abcdef", tmp_path / ".download-of-mine"
    for path in (young, foreign):
        path.write_bytes(b"x")
    for path in (*old, foreign):
        os.utime(path, (time.time() - 7200,) * 2)
    fashion(tmp_path)
    assert [path.exists() for path in (*old, young, foreign)] == [False, False, True, True]


@pytest.mark.full
def test_a_killed_download_leaves_nothing_and_the_next_is_whole(tmp_path: Path, server: Server) -> None:
    server.behaviour = Handler.stalled
    root = tmp_path / "root"
    code = textwrap.dedent("""
        import sys
        from initbench.data import SOURCES, downloads
        downloads._IDX_SETS["KMNIST"] = downloads._IDX_SETS["KMNIST"]._replace(mirrors=(sys.argv[1],))
        SOURCES["idx"]("KMNIST", sys.argv[2])
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(root)], env=environment)
    while not server.asked:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not root.exists()
    server.behaviour = Handler.whole
    assert fashion(root).n_test == 20


def python_2_pickle(pixels: bytes, labels: list[int]) -> bytes:
    """One of CIFAR-10's files as Python 2's cPickle, protocol 2, wrote it."""

    def text(content: bytes) -> bytes:
        return b"U" + bytes([len(content)]) + content

    def whole(number: int) -> bytes:
        return b"K" + bytes([number]) if number < 256 else b"M" + struct.pack("<H", number)

    n = len(labels)
    dtype = (
        b"cnumpy\ndtype\nq\x0a"
        + text(b"u1")
        + b"K\x00K\x01\x87Rq\x0b(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85" + text(b"b") + b"\x87Rq\x09"
    state = (
        b"(K\x01"
        + whole(n)
        + whole(3072)
        + b"\x86"
        + dtype
        + b"\x89T"
        + struct.pack("<I", len(pixels))
        + pixels
        + b"tb"
    )
    names = b"".join(text(b"leptodactylus_pentadactylus_s_%06d.png" % i) + b"q" + bytes([20 + i]) for i in range(n))
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03"
        + text(b"labels") + b"q\x04]q\x05(" + b"".join(map(whole, labels)) + b"e"
        + text(b"data") + b"q\x06" + array + state + text(b"filenames") + b"q\x0c]q\x0d(" + names + b"eu."
    )  # fmt: skip


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small ones, which initbench takes for CIFAR-10."""
    rng = np.random.default_rng(0)
    (archive,) = downloads._CIFAR10.archives
    contents = {
        name: python_2_pickle(rng.integers(0, 256, 20 * 3072, np.uint8).tobytes(), [i % 10 for i in range(20)])
        for name in archive.members
    }
    take_for_cifar10(contents, b"", "", monkeypatch)
    return contents


def take_for_cifar10(contents: dict[str, bytes], tar: bytes, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (archive,) = downloads._CIFAR10.archives
    sums: dict[str, str | None] = {name: md5(content) for name, content in contents.items()}
    ours = downloads._Published((url or "http://127.0.0.1:9/",), (archive._replace(md5=md5(tar), members=sums),))
    monkeypatch.setattr(downloads, "_CIFAR10", ours)


def write_batches(root: Path, contents: dict[str, bytes]) -> None:
    (root / "cifar-10-batches-py").mkdir()
    for name, content in contents.items():
        (root / "cifar-10-batches-py" / name).write_bytes(content)


@pytest.mark.filterwarnings("ignore:.*numpy.core")
def test_cifar10_is_read_as_torchvision_reads_it(
    tmp_path: Path, batches: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    write_batches(tmp_path, {**batches, "batches.meta": meta})
    theirs = torchvision.datasets.CIFAR10
    sums = [(name, md5(content)) for name, content in batches.items()]
    monkeypatch.setattr(theirs, "train_list", sums[:5])
    monkeypatch.setattr(theirs, "test_list", sums[5:])
    monkeypatch.setattr(theirs, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5(meta)})
    arrays = SOURCES["cifar10"](root=str(tmp_path))
    images = arrays.x.reshape(-1, *arrays.sample_shape)
    parts = theirs(tmp_path, train=True), theirs(tmp_path, train=False)
    for rows, part in zip((slice(100), slice(100, 120)), parts, strict=True):
        # Theirs has the channels last.
        assert (images[rows] == part.data.transpose(0, 3, 1, 2)).all()
        assert arrays.y[rows].tolist() == part.targets


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    "content", [pickle.dumps(Harmful(), 2), pickle.dumps({"labels": Harmful()}), b"", b"\x80", b"U", b"I\\s\n."]
)
def test_no_pickle_is_loaded(
    tmp_path: Path, batches: dict[str, bytes], content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = batches | {"data_batch_3": content}
    take_for_cifar10(contents, b"", "", monkeypatch)
    write_batches(tmp_path, contents)
    with pytest.raises(InputError, match=r"data_batch_3 is not a (readable )?batch of CIFAR-10"):
        SOURCES["cifar10"](root=str(tmp_path))
    assert not Path("harm").exists()


def tar_of(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-10-batches-py/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    return packed.getvalue()


def test_of_cifar10s_archive_only_the_known_files_are_written(
    tmp_path: Path, batches: dict[str, bytes], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = {f"cifar-10-batches-py/{name}": content for name, content in batches.items()}
    tar = tar_of({"../outside": b"x", "/tmp/initbench-outside": b"x", **inside, "cifar-10-batches-py/readme": b"x"})
    server.files = {"cifar-10-python.tar.gz": tar}
    take_for_cifar10(batches, tar, server.url, monkeypatch)
    root = tmp_path / "root"
    arrays = SOURCES["cifar10"](root=str(root))
    assert (len(arrays.y), arrays.n_test) == (120, 20)
    assert left_in(tmp_path) == sorted(f"root/{name}" for name in inside)
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    assert SOURCES["cifar10"](root=str(root)).sha256 == arrays.sha256
    assert server.asked == ["cifar-10-python.tar.gz"] * 2
    # As torchvision leaves it.
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    (root / "cifar-10-python.tar.gz").write_bytes(tar)
    assert SOURCES["cifar10"](root=str(root)).sha256 == arrays.sha256
    assert len(server.asked) == 2


def test_an_archive_that_lacks_a_file_is_told(
    tmp_path: Path, batches: dict[str, bytes], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tar in (tar_of({}), b"no archive"):
        server.files = {"cifar-10-python.tar.gz": tar}
        take_for_cifar10(batches, tar, server.url, monkeypatch)
        with pytest.raises(InputError, match=r"cifar-10-python.tar.gz holds no whole data_batch_1"):
            SOURCES["cifar10"](root=str(tmp_path))
