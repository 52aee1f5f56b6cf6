"""A user's own files: archives, tables, folders of images, and what is said of those that cannot serve."""

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from initbench.data import SOURCES, Arrays, DatasetSpec, load, pinned, samples, split
from initbench.data.arrays import checked
from initbench.errors import InputError
from initbench.experiment.plan import Trial, plan
from initbench.experiment.start import starts
from initbench.settings.compose import compose
from initbench.settings.request import request


def test_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3, 4)), np.array(["cat", "dog"] * 10)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    arrays = SOURCES["npz"](str(tmp_path / "a.npz"))
    assert arrays.x.shape == (20, 12)
    assert arrays.y.tolist() == [0, 1] * 10
    assert arrays.sample_shape == (1, 3, 4)
    np.savez(tmp_path / "b.npz", x_train=x[:15], y_train=y[:15], x_test=x[15:], y_test=y[15:])
    both = SOURCES["npz"](str(tmp_path / "b.npz"))
    assert both.n_test == 5
    assert (both.x == arrays.x).all()


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((7,), None), ((5, 6), (1, 5, 6)), ((5, 6, 3), (3, 5, 6)), ((3, 5, 6), (3, 5, 6)), ((1, 5, 6), (1, 5, 6)),
        ((2, 6, 3), (3, 2, 6)), ((5, 6, 7), (7, 5, 6)), ((2, 3, 4, 5), None),
    ],
)  # fmt: skip
def test_images_are_told_by_their_shape_and_get_their_channels_first(
    shape: tuple[int, ...], image: tuple[int, int, int] | None
) -> None:
    x = np.random.default_rng(0).random((20, *shape), np.float32)
    arrays = checked(x, np.arange(20) % 2, "x")
    assert arrays.image == image
    assert arrays.sample_shape == (image or (math.prod(shape),))
    channels_last = len(shape) == 3 and image != shape
    expected = np.moveaxis(x, 3, 1) if channels_last else x
    assert (arrays.x == expected.reshape(20, -1)).all()


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,kind,b\n" + "1,x,2.5\n3,y,4\n" * 5)
    arrays = SOURCES["csv"](str(tmp_path / "a.csv"), label="kind")
    assert arrays.x[:2].tolist() == [[1, 2.5], [3, 4]]
    assert arrays.y.tolist() == [0, 1] * 5
    (tmp_path / "b.csv").write_text("1,2,7\n3,4,8\n" * 5)
    assert SOURCES["csv"](str(tmp_path / "b.csv"), header=False).y.tolist() == [0, 1] * 5
    by_number = [f"dataset.path={tmp_path / 'b.csv'}", "dataset.header=false", "dataset.label=0"]
    (cell,) = request(compose(["dataset=csv", *by_number])).cells
    assert load(cell.dataset).x[:2].tolist() == [[2, 7], [4, 8]]
    (tmp_path / "c.csv").write_text("a,b,c,y\n" + "True,1.5,2,0\nFalse,2.5,3,1\n" * 5)
    assert SOURCES["csv"](str(tmp_path / "c.csv")).x[:2].tolist() == [[1, 1.5, 2], [0, 2.5, 3]]


def test_a_class_goes_by_the_users_name_for_it() -> None:
    arrays = checked(np.zeros((19, 2)), np.array(["cat"] * 18 + ["dog"]), "x")
    with pytest.raises(InputError, match="class 'dog' has no training sample"):
        split(arrays, DatasetSpec("own", "npz", val=0.9))


@pytest.mark.full
def test_whatever_byte_of_a_file_is_damaged_no_other_error_comes_of_it(tmp_path: Path) -> None:
    """A reader of archives or images may raise anything; what it reads all the same need not be wrong."""
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(40.0).reshape(20, 2), y=np.arange(20) % 2)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tif", compression="tiff_lzw")
    rng = np.random.default_rng(0)
    for source, file in (("npz", tmp_path / "a.npz"), ("image_folder", tmp_path / "a.tif")):
        content = file.read_bytes()
        folder = tmp_path / source / "class"
        folder.mkdir(parents=True)
        for _ in range(150):
            damaged = bytearray(content)
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
            (folder / file.name).write_bytes(damaged)
            with contextlib.suppress(InputError):
                SOURCES[source](str(folder / file.name if source == "npz" else folder.parent))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 1}, "dataset.classes must be a whole number >= 2; got 1"),
        ({"noise": -1.0}, "dataset.noise must be a finite number >= 0; got -1.0"),
        ({"noise": 1e300}, "dataset.noise=1e+300 makes values that are not finite"),
    ],
)
def test_clouds_that_cannot_serve_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as error:
        SOURCES["synthetic"](**settings)
    assert message in str(error.value)


def test_image_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for i in range(4 if part == "train" else 2):
                Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).save(folder / f"{i}.png")
    arrays = SOURCES["image_folder"](str(tmp_path))
    assert arrays.x.shape == (12, 108)
    assert arrays.x.dtype == np.uint8
    assert arrays.n_test == 4
    assert arrays.y.tolist() == [0] * 4 + [1] * 4 + [0, 0, 1, 1]
    expected = torchvision.datasets.ImageFolder(str(tmp_path / "train"))
    assert (arrays.x[0].reshape(3, 6, 6) == np.asarray(expected[0][0]).transpose(2, 0, 1)).all()
    assert arrays.sample_shape == (3, 6, 6)
    small = SOURCES["image_folder"](str(tmp_path), size=3, gray=True)
    assert (small.x.shape, small.sample_shape) == ((12, 9), (1, 3, 3))
    assert SOURCES["image_folder"](str(tmp_path), size=4).sample_shape == (3, 4, 4)


def bad_files(folder: Path) -> list[tuple[str, dict[str, object], str]]:
    """Source, arguments and what the message must say, for files that cannot serve."""
    np.savez(folder / "names.npz", a=np.zeros(3))
    np.savez(folder / "sizes.npz", x=np.zeros((4, 2)), y=np.zeros(3))
    np.savez(folder / "text.npz", x=np.array([["a"], ["b"]] * 2), y=np.arange(4) % 2)
    np.savez(folder / "nan.npz", x=np.array([[1.0], [np.nan], [2], [3]]), y=np.arange(4) % 2)
    np.savez(folder / "one.npz", x=np.zeros((4, 2)), y=np.zeros(4))
    np.savez(folder / "object.npz", x=np.array([{}, {}], object), y=np.arange(2))
    np.savez(folder / "huge.npz", x=np.array([[1.0], [1e300], [2], [3]]), y=np.arange(4) % 2)
    x, y = np.zeros((8, 2)), np.arange(8) % 2
    dates = y.astype("M8[D]")
    for name, test in {
        "shifted": {"x_train": x[:3], "y_train": y[:4], "x_test": x[:5], "y_test": y[:4]},
        "no_test": {"x_test": x[:0], "y_test": y[:0]},
        "no_axis": {"x_test": x[:1], "y_test": np.zeros(())},
        "one_hot": {"y_test": np.zeros((8, 2))},
        "dates": {"y_test": dates},
        "wider": {"x_test": np.zeros((8, 3))},
    }.items():
        np.savez(folder / f"{name}.npz", **({"x_train": x, "y_train": y, "x_test": x, "y_test": y} | test))
    whole = (folder / "sizes.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.npz").write_bytes(b"")
    with open(folder / "single.npz", "wb") as file:
        np.save(file, np.zeros((4, 2)))
    (folder / "empty.csv").write_text("")
    (folder / "text.csv").write_text("a,b,y\n1,x,0\n2,y,1\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    (folder / "gap.csv").write_text("a,y\n1,0\n,1\n2,0\n3,1\n")
    (folder / "nolabel.csv").write_text("a,y\n1,0\n2,\n3,1\n")
    (folder / "regression.csv").write_text("a,y\n1,0.1\n2,0.2\n3,0.3\n")
    (folder / "header.csv").write_text("1,2\n3,4\n")
    (folder / "bytes.csv").write_bytes(bytes(range(256)))
    (folder / "short.csv").write_text("a,y\n" + "1,2,0\n3,4,1\n" * 4)
    (folder / "commas.csv").write_text("a,b,y\n" + "1,2,0,\n3,4,1,\n" * 4)
    for ending in ("xz", "zip", "zst", "tar"):
        (folder / f"bad.csv.{ending}").write_bytes(b"not an archive")
    (folder / "none").mkdir()
    (folder / "images" / "a").mkdir(parents=True)
    (folder / "images" / "a" / "1.png").write_bytes(b"not an image")
    for number, size in enumerate([(4, 4), (4, 5)]):
        (folder / "sizes" / "ab"[number]).mkdir(parents=True)
        Image.new("L", size).save(folder / "sizes" / "ab"[number] / "1.png")
    cases = [
        ("npz", "names.npz", "holds a; needed: x and y"),
        ("npz", "sizes.npz", "got shapes"),
        ("npz", "text.npz", "samples must be numbers"),
        ("npz", "nan.npz", "sample 1 holds a value that is missing"),
        ("npz", "one.npz", "at least 2 classes"),
        ("npz", "object.npz", "not a readable .npz"),
        ("npz", "cut.npz", "not a readable .npz"),
        ("npz", "empty.npz", "not a readable .npz"),
        ("npz", "single.npz", "not a readable .npz"),
        ("npz", "missing.npz", "does not exist"),
        ("npz", "huge.npz", "sample 1 holds a value that is missing or not finite"),
        ("npz", "shifted.npz", "x_train and y_train: need samples [n, ...] and labels [n], got shapes (3, 2) and (4,)"),
        ("npz", "no_test.npz", "x_test and y_test: need samples [n, ...] and labels [n], got shapes (0, 2) and (0,)"),
        ("npz", "no_axis.npz", "x_test and y_test: need samples"),
        ("npz", "one_hot.npz", "got shapes (8, 2) and (8, 2)"),
        ("npz", "dates.npz", "y_train and y_test differ: int64 of shape (), datetime64[D] of shape ()"),
        ("npz", "wider.npz", "x_train and x_test differ: float64 of shape (2,), float64 of shape (3,)"),
        ("csv", "short.csv", "rows have more values than the header has names"),
        ("csv", "commas.csv", "rows have more values than the header has names"),
        *(("csv", f"bad.csv.{ending}", "not a readable table (") for ending in ("xz", "zip", "zst", "tar")),
        ("csv", "empty.csv", "not a readable table"),
        ("csv", "text.csv", "column 'b' holds values that are not numbers"),
        ("csv", "ragged.csv", "not a readable table"),
        ("csv", "gap.csv", "sample 1 holds a value that is missing"),
        ("csv", "nolabel.csv", "row 1 has no label"),
        ("csv", "regression.csv", "3 classes in 3 samples"),
        ("csv", "header.csv", "set dataset.header=false"),
        ("csv", "bytes.csv", "not a readable table"),
        ("image_folder", "none", "holds no images in class folders"),
        ("image_folder", "images", "1.png is not a readable image"),
        ("image_folder", "sizes", "set dataset.size=PIXELS"),
        ("image_folder", "empty.csv", "holds no images"),
    ]
    return [(source, {"path": str(folder / name)}, message) for source, name, message in cases]


def test_files_that_cannot_serve_are_told_in_one_line(tmp_path: Path) -> None:
    for source, arguments, message in [
        *bad_files(tmp_path),
        ("npz", {"path": None}, "needs dataset.path"),
        (
            "csv",
            {"path": str(tmp_path / "text.csv"), "label": "z"},
            "has no column 'z' for dataset.label; it has a, b, y",
        ),
    ]:
        with pytest.raises(InputError) as error:
            SOURCES[source](**arguments)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def planned(*overrides: str) -> Trial:
    (trial,) = plan(request(compose([*overrides, "seeds=1"])), {}).trials
    return trial


def write_table(path: Path, *columns: float) -> None:
    path.write_text("a,b,kind\n" + "".join(f"{columns[i % 2]},{columns[i % 2]},{i % 2}\n" for i in range(20)))


@pytest.mark.parametrize("init", ["he", "lsuv"])
def test_a_table_that_is_rewritten_is_another_data_set_to_the_same_process(tmp_path: Path, init: str) -> None:
    asked = ("dataset=csv", f"dataset.path={tmp_path / 'a.csv'}", f"init={init}", "dataset.standardize=none")
    write_table(tmp_path / "a.csv", 1, 2)
    first = planned(*asked)
    assert planned(*asked).key == first.key
    (start,) = starts([first])
    # As long as before, within the resolution of the file system's clock.
    write_table(tmp_path / "a.csv", 3, 4)
    second = planned(*asked)
    assert second.key != first.key
    assert set(samples(second.cell.dataset).x.flat) == {3, 4}
    (restart,) = starts([second])
    drawn_alike = all((start.params[name] == restart.params[name]).all() for name in start.params)  # type: ignore[union-attr]
    assert drawn_alike == (init == "he")
    write_table(tmp_path / "a.csv", 1, 2)
    assert planned(*asked).key == first.key


def test_a_folder_of_images_that_is_changed_is_another_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(10):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(folder / f"{i}.png")
    spec = DatasetSpec("own", "image_folder", (("path", str(tmp_path)),))
    before = load(spec)
    assert load(spec) is before
    Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(tmp_path / "a" / "new.png")
    assert len(load(spec).y) == 11


def test_a_file_that_changes_between_plan_and_training_does_not_change_the_trial(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", 1, 2)
    asked = ("dataset=csv", f"dataset.path={tmp_path / 'a.csv'}")
    seen, unseen = planned(*asked).cell.dataset, planned(*asked, "dataset.val=0.3").cell.dataset
    assert set(load(seen).x.flat) == {1, 2}
    write_table(tmp_path / "a.csv", 3, 4)
    assert set(load(seen).x.flat) == {1, 2}
    with pytest.raises(InputError, match="have changed since the work was planned"):
        load(unseen)


def test_a_data_set_of_known_content_is_not_read_to_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    def idx(torchvision: str, root: str | None = None) -> Arrays:
        raise AssertionError

    monkeypatch.setitem(SOURCES, "idx", idx)
    spec = planned("dataset=mnist", "dataset.root=nowhere").cell.dataset
    assert spec.content == spec.sha256 == pinned(spec).sha256
