"""Splitting and checking data; downloads run torchvision's real code against a local server."""

import functools
import gzip
import hashlib
import http.server
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from initbench.data import SOURCES, STANDARDIZE, Arrays, DatasetSpec, downloads, load, samples, split, statistics
from initbench.errors import InputError


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def small_mnist(n_train: int = 60, n_test: int = 20) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    return {
        f"{part}-{kind}": idx_bytes(array)
        for part, n in (("train", n_train), ("t10k", n_test))
        for kind, array in (
            ("images-idx3-ubyte", rng.integers(0, 256, (n, 28, 28), np.uint8)),
            ("labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8)),
        )
    }


def write_raw(root: Path, name: str, files: dict[str, bytes]) -> None:
    (root / name / "raw").mkdir(parents=True)
    for file, content in files.items():
        (root / name / "raw" / file).write_bytes(content)


def test_idx_files_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    write_raw(tmp_path, "FashionMNIST", small_mnist())
    arrays = SOURCES["idx"](torchvision="FashionMNIST", root=str(tmp_path))
    train = torchvision.datasets.FashionMNIST(str(tmp_path), train=True)
    test = torchvision.datasets.FashionMNIST(str(tmp_path), train=False)
    assert arrays.n_test == 20
    assert arrays.sample_shape == (1, 28, 28)
    assert (arrays.x[:60] == train.data.flatten(1).numpy()).all()
    assert (arrays.x[60:] == test.data.flatten(1).numpy()).all()
    assert (arrays.y == np.concatenate([train.targets.numpy(), test.targets.numpy()])).all()


def test_cifar10_is_read_as_torchvision_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    folder, sums = tmp_path / "cifar-10-batches-py", {}
    folder.mkdir()
    for name in downloads._CIFAR10_FILES:
        batch = {"data": rng.integers(0, 256, (20, 3072), np.uint8), "labels": [i % 10 for i in range(20)]}
        content = pickle.dumps(batch)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(downloads, "_CIFAR10_FILES", sums)
    theirs = torchvision.datasets.CIFAR10
    monkeypatch.setattr(theirs, "train_list", [(name, sums[name]) for name in list(sums)[:5]])
    monkeypatch.setattr(theirs, "test_list", [("test_batch", sums["test_batch"])])
    md5 = hashlib.md5(meta, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(theirs, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5})
    arrays = SOURCES["cifar10"](root=str(tmp_path))
    images = arrays.x.reshape(-1, *arrays.sample_shape)
    for rows, part in ((slice(100), theirs(tmp_path, train=True)), (slice(100, 120), theirs(tmp_path, train=False))):
        # Theirs has the channels last.
        assert (images[rows] == part.data.transpose(0, 3, 1, 2)).all()
        assert arrays.y[rows].tolist() == part.targets


def test_a_file_of_mnist_that_is_not_mnist_is_refused(tmp_path: Path) -> None:
    write_raw(tmp_path, "MNIST", small_mnist())
    with pytest.raises(InputError, match="train-images-idx3-ubyte is damaged .* delete it"):
        SOURCES["idx"](torchvision="MNIST", root=str(tmp_path))


def test_an_archive_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    write_raw(tmp_path, "KMNIST", {f"{name}.gz": gzip.compress(data) for name, data in small_mnist().items()})
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.gz is damaged"):
        SOURCES["idx"](torchvision="KMNIST", root=str(tmp_path))


@pytest.mark.parametrize("length", [0, 3, 4, 15, 16, 200, 60 * 784 + 15])
def test_a_cut_idx_file_is_refused(tmp_path: Path, length: int) -> None:
    files = small_mnist()
    files["train-images-idx3-ubyte"] = files["train-images-idx3-ubyte"][:length]
    write_raw(tmp_path, "FashionMNIST", files)
    with pytest.raises(InputError, match="is not a whole idx file"):
        SOURCES["idx"](torchvision="FashionMNIST", root=str(tmp_path))


@pytest.fixture
def fashion_server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A web server with four small files that torchvision and initbench take for Fashion-MNIST."""
    folder = tmp_path_factory.mktemp("server")
    archives = {f"{name}.gz": gzip.compress(data) for name, data in small_mnist().items()}
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in archives.items()}
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # urllib keeps the opener, and with it the proxies, of its first use.
    monkeypatch.setattr(urllib.request, "_opener", None)
    fashion = torchvision.datasets.FashionMNIST
    monkeypatch.setattr(fashion, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(fashion, "resources", [(name, sums[name]) for name, _ in fashion.resources])
    files = tuple(file._replace(md5_gz=sums[f"{file.name}.gz"]) for file in downloads._IDX_SETS["FashionMNIST"])
    monkeypatch.setitem(downloads._IDX_SETS, "FashionMNIST", files)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("fashion_server")
def test_a_missing_set_is_downloaded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "new" / "root"
    arrays = SOURCES["idx"](torchvision="FashionMNIST", root=str(root))
    assert arrays.x.shape == (80, 784)
    assert "%" in capsys.readouterr().err
    assert sorted(path.name for path in root.iterdir()) == ["FashionMNIST"]
    again = SOURCES["idx"](torchvision="FashionMNIST", root=str(root))
    assert again.sha256 == arrays.sha256
    assert "%" not in capsys.readouterr().err


@pytest.mark.parametrize("source", [{"torchvision": "MNIST"}, {"torchvision": "KMNIST"}, {}])
def test_no_network_is_one_line_and_leaves_nothing(tmp_path: Path, source: dict[str, str]) -> None:
    root = tmp_path / "root"
    with pytest.raises(InputError, match=r"cannot be downloaded \(.+\); connect to the network, or set dataset.root"):
        SOURCES["idx" if source else "cifar10"](**source, root=str(root))
    assert not root.exists()


@pytest.mark.full
def test_a_torchvision_that_cannot_be_imported_is_told_with_the_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    code = textwrap.dedent("""
        import sys
        from initbench.commands.app import main
        main(["run", "dataset=mnist", f"dataset.root={sys.argv[1]}/none"])
    """)
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}", "PATH": "", "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    errors = [line for line in answer.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "operator torchvision::nms does not exist" in errors[0]
    assert "pip install --force-reinstall torch torchvision" in errors[0]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    arrays = SOURCES["digits"]()
    assert arrays.x.dtype == np.uint8
    assert (arrays.x == load_digits().data).all()
    assert (arrays.y == load_digits().target).all()


def test_synthetic_clouds_are_those_that_records_name() -> None:
    arrays = load(DatasetSpec("synthetic", "synthetic"))
    # Part of the key of every trial on them.
    assert arrays.sha256 == "2fd6356e6a721c08a8572d687ea8db5f22ca430797a22f0e9d24bada5fb55706"
    # Around the mean of its class a cloud has the deviation asked for, 1.
    centres = np.stack([arrays.x[arrays.y == label].mean(0) for label in range(4)])
    assert (arrays.x - centres[arrays.y]).std() == pytest.approx(1, abs=0.03)


def test_content_that_is_not_the_expected_is_refused() -> None:
    spec = DatasetSpec("digits", "digits", sha256="0" * 64)
    with pytest.raises(InputError, match="not the expected 0000"):
        load(spec)


def test_the_content_hash_sees_values_types_shapes_and_the_test_set() -> None:
    x, y = np.zeros((6, 2), np.uint8), np.array([0, 1] * 3)
    variants = [
        Arrays(x, y),
        Arrays(x.astype(np.float32), y),
        Arrays(x.reshape(3, 4), y[:3]),
        Arrays(x, y, n_test=2),
        Arrays(x, 1 - y),
        Arrays(x + 1, y),
        Arrays(x, y, image=(1, 1, 2)),
        Arrays(x, y, image=(1, 2, 1)),
    ]
    assert len({arrays.sha256 for arrays in variants}) == len(variants)
    assert Arrays(x.copy(order="F"), y).sha256 == variants[0].sha256


def test_splits_are_disjoint_whole_and_stratified() -> None:
    spec = DatasetSpec("digits", "digits", val=0.25, test=100)
    arrays = load(spec)
    parts = split(arrays, spec)
    assert sorted(np.concatenate([parts.train, parts.val, parts.test])) == list(range(1797))
    assert len(parts.test) == 100
    assert len(parts.val) == round(0.25 * 1697)
    share = np.bincount(arrays.y) / len(arrays.y)
    for rows in (parts.train, parts.val, parts.test):
        assert np.abs(np.bincount(arrays.y[rows], minlength=10) - share * len(rows)).max() <= 1


def test_the_only_sample_of_a_class_is_trained_on() -> None:
    arrays = Arrays(np.arange(20, dtype=np.float32).reshape(10, 2), np.array([0] * 9 + [1]))
    parts = split(arrays, DatasetSpec("own", "npz", val=0.2, test=0.2))
    assert 9 in parts.train
    assert (len(parts.val), len(parts.test)) == (2, 2)


def test_a_test_set_that_the_data_brings_is_kept() -> None:
    arrays = Arrays(np.arange(40, dtype=np.float32).reshape(20, 2), np.arange(20) % 2, n_test=6)
    parts = split(arrays, DatasetSpec("own", "npz", val=4))
    assert parts.test.tolist() == list(range(14, 20))
    assert (len(parts.train), len(parts.val)) == (10, 4)


@pytest.mark.parametrize(
    ("y", "val", "test", "message"),
    [
        ([0, 1] * 10, 20, 0.1, "the train split is empty"),
        ([0, 1] * 10, 0.01, 0.1, "the val split is empty"),
        ([0] * 18 + [1], 0.9, 0.2, "class 1 has no training sample"),
    ],
)
def test_an_impossible_split_is_told(y: list[int], val: float, test: float, message: str) -> None:
    arrays = Arrays(np.zeros((len(y), 2), np.float32), np.array(y))
    with pytest.raises(InputError, match=message):
        split(arrays, DatasetSpec("own", "npz", val=val, test=test))


@pytest.mark.parametrize("how", STANDARDIZE)
def test_training_rows_are_standardised(how: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((9000, 5)) * [1, 2, 3, 4, 0] + [0, 1, 2, 3, 4]).astype(np.float32)
    rows = np.arange(0, 9000, 2)
    mean, std = statistics(x, rows, how)
    z = (x[rows] - mean) / std
    if how == "global":
        assert z.mean() == pytest.approx(0, abs=1e-6)
        assert z.std() == pytest.approx(1, abs=1e-6)
    elif how == "feature":
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
        np.testing.assert_allclose(z.std(0), [1, 1, 1, 1, 0], atol=1e-6)
    else:
        assert (z == x[rows]).all()


def test_nothing_but_training_rows_decides_how_samples_are_standardised(tmp_path: Path) -> None:
    x = np.arange(40, dtype=np.float32).reshape(20, 2)
    # What is far from everything else is in the test set that the data brings.
    x[14:] += 1000
    np.savez(tmp_path / "own.npz", x_train=x[:14], y_train=np.arange(14) % 2, x_test=x[14:], y_test=np.arange(6) % 2)
    spec = DatasetSpec("own", "npz", (("path", str(tmp_path / "own.npz")),), val=4, standardize="feature")
    data = samples(spec)
    assert (len(data.train), len(data.val), len(data.test)) == (10, 4, 6)
    np.testing.assert_allclose(data.mean, x[data.train].mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.std, x[data.train].std(0), rtol=1e-6)
    # Validation rows would change it too.
    assert not np.allclose(data.mean, x[:14].mean(0), rtol=1e-6)
