"""Tables as people have them: what is recognised, and what is refused in one line rather than taken for something."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris

from initbench.data import load
from initbench.data.arrays import Arrays
from initbench.errors import InputError
from initbench.settings.compose import compose
from initbench.settings.request import request

IRIS = load_iris(as_frame=True).frame
DIABETES = load_diabetes(as_frame=True, scaled=False).frame


def read(file: Path, *settings: str) -> Arrays:
    (cell,) = request(compose(["dataset=csv", f"dataset.path='{file}'", *settings])).cells
    return load(cell.dataset)


def written(folder: Path, frame: pd.DataFrame, **options: Any) -> Path:
    frame.to_csv(folder / "own.csv", **options)
    return folder / "own.csv"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("index", [False, True])
def test_separators_and_the_index_of_pandas_are_recognised(tmp_path: Path, separator: str, index: bool) -> None:
    arrays = read(written(tmp_path, IRIS, sep=separator, index=index))
    np.testing.assert_array_equal(arrays.x, IRIS.to_numpy(np.float32)[:, :4])
    np.testing.assert_array_equal(arrays.y, IRIS["target"])


def test_an_index_in_another_order_is_none_of_the_features_either(tmp_path: Path) -> None:
    shuffled = IRIS.sample(frac=1, random_state=0)
    assert read(written(tmp_path, shuffled)).x.shape == (150, 4)


def test_values_may_hold_the_other_separators(tmp_path: Path) -> None:
    names = IRIS.assign(target=IRIS["target"].map({0: "a;b", 1: "c;d", 2: "e\tf;g"}))
    assert read(written(tmp_path, names, index=False)).classes == ("a;b", "c;d", "e\tf;g")


def test_a_number_to_predict_is_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, DIABETES, index=False)
    arrays = read(file, "dataset.task=regression")
    np.testing.assert_array_equal(arrays.y, DIABETES["target"])
    assert arrays.n_classes == 0
    with pytest.raises(InputError, match="the labels are 214 numbers in 442 samples; dataset.task=regression predicts"):
        read(file)
    # Whoever says so may have them as classes.
    assert read(file, "dataset.task=classification").n_classes == 214


def test_a_table_and_an_archive_of_the_same_numbers_are_the_same_data(tmp_path: Path) -> None:
    file = written(tmp_path, DIABETES.astype(np.float32), index=False)
    x, y = DIABETES.to_numpy(np.float32)[:, :-1], DIABETES["target"].to_numpy()
    np.savez(tmp_path / "own.npz", x=x, y=y)
    more = ["dataset=npz", f"dataset.path={tmp_path / 'own.npz'}"]
    (cell,) = request(compose([*more, "dataset.task=regression"])).cells
    assert load(cell.dataset).sha256 == read(file, "dataset.task=regression").sha256
    (cell,) = request(compose(more)).cells
    with pytest.raises(InputError, match="214 numbers in 442 samples"):
        load(cell.dataset)


def test_what_may_be_meant_is_said_in_one_line(tmp_path: Path) -> None:
    named = IRIS.rename(columns={"target": "kind"})
    cases: list[tuple[pd.DataFrame, dict[str, Any], list[str], str]] = [
        (
            named,
            {"header": False, "index": False},
            [],
            "the first row holds numbers, not names; set dataset.header=false",
        ),
        (
            named.assign(kind="a" + named["kind"].astype(str)),
            {"header": False, "index": False},
            [],
            "the first row holds numbers, as the name '5.1'; if it is a row of data, set dataset.header=false",
        ),
        (
            named,
            {"index_label": "id"},
            [],
            "column 'id' numbers the rows; dataset.drop=[id] leaves it out, dataset.drop=[] learns from it",
        ),
        (
            named.assign(kind=named["kind"]),
            {"header": False},
            ["dataset.header=false"],
            "column '0' numbers the rows; dataset.drop=[0] leaves it out",
        ),
        (
            named.assign(town="Köln")[["town", *named.columns]],
            {"index": False},
            [],
            "column 'town' holds values that are not numbers, as 'Köln'; dataset.drop=[town] leaves it out",
        ),
        (
            named,
            {"index": False, "sep": ";", "decimal": ","},
            [],
            "column 'sepal length (cm)' holds values that are not numbers, as '5,1'",
        ),
        (named, {"index": False}, ["dataset.drop=[colour]"], "has no column 'colour' for dataset.drop; it has sepal"),
        (named, {"index": False, "sep": "|"}, [], "has one column; they are separated by commas, semicolons or tabs"),
        (
            named.assign(kind="a"),
            {"index": False},
            ["dataset.task=regression"],
            "dataset.task=regression needs numbers to predict",
        ),
    ]
    for frame, options, settings, message in cases:
        with pytest.raises(InputError) as error:
            read(written(tmp_path, frame, **options), *settings)
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_columns_are_left_out_or_learned_from_as_asked(tmp_path: Path) -> None:
    file = written(tmp_path, IRIS.assign(town="Köln")[["town", *IRIS.columns]], index_label="id")
    assert read(file, "dataset.drop=[id,town]").x.shape == (150, 4)
    file = written(tmp_path, IRIS, index_label="id")
    assert read(file, "dataset.drop=[]").x.shape == (150, 5)
    file = written(tmp_path, IRIS, header=False)
    assert read(file, "dataset.header=false", "dataset.drop=0").x.shape == (150, 4)


def test_names_that_count_the_columns_are_names(tmp_path: Path) -> None:
    frame = IRIS.rename(columns=dict(zip(IRIS.columns[:4], "0123", strict=True)))
    assert read(written(tmp_path, frame, index=False)).x.shape == (150, 4)


def test_few_numbers_are_classes_whatever_they_are(tmp_path: Path) -> None:
    frame = IRIS.assign(target=IRIS["target"] / 2)
    assert read(written(tmp_path, frame, index=False)).classes == ("0.0", "0.5", "1.0")
    # Years are whole, and many of each.
    frame = pd.concat([IRIS] * 4).assign(target=1990 + np.arange(600) % 30)
    assert read(written(tmp_path, frame, index=False)).n_classes == 30
