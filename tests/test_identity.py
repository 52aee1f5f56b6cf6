"""What was released stays: the keys of trials, and the numbers of a recipe. Run as a script it writes both anew."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initbench
from initbench import records
from initbench.experiment.plan import Trial, plan
from initbench.experiment.start import starts
from initbench.records import schema
from initbench.seeding import stream
from initbench.settings.compose import compose
from initbench.settings.options import option_files
from initbench.settings.request import request
from initbench.trial import RECIPE, trial_key

TOP = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"

# Every option of every group, and every setting of a cell once more with another value.
RELEASED = [
    ["init=glob(*)", "model=mlp"], ["init=fixup,skipinit,rezero,torch_default", "model=residual_mlp,residual_cnn"],
    ["init=dirac,delta_orthogonal", "model=cnn"],
    ["init=he_normal@keras,xavier@caffe,default@torch,kaiming_uniform"],
    ["activation=glob(*)"], ["activation=leaky_relu", "activation.negative_slope=0.2"], ["optimizer=glob(*)"],
    ["bias=glob(*)"], ["init_first=xavier", "init_output=zero"],
    ["init=orthogonal", "init.gain=auto", "activation=tanh"],
    ["dataset=glob(*)"], ["dataset.val=0.3", "dataset.test=100", "dataset.standardize=feature"],
    ["depth=0,1,3", "width=64"], ["depth=3", "width=[64,32,16]"], ["lr=0.02,1e-7", "schedule=linear,constant"],
    ["warmup=0.5", "epochs=3", "batch_size=64"],
    ["optimizer=sgd", "optimizer.momentum=0", "optimizer.weight_decay=0.1"],
    ["activation=tat", "depth=50"],
    ["dataset=text", "model=lstm", "width=64"], ["dataset=breast_cancer", "dataset.task=binary"],
    ["model.norm=batch"], ["protocol=tuned"], ["init=gaussian", "init.std=0.5", "init.mean=-1"],
    ["dataset=digits,mnist,text", "dataset.split=seed"],
]  # fmt: skip


def keys() -> dict[str, dict[str, str]]:
    """Command lines to the keys of seed 0 of their cells, by what tells the cells apart."""
    found = {}
    for line in RELEASED:
        # All others were released when every split was fixed.
        split = [] if "dataset.split=seed" in line else ["dataset.split=fixed"]
        cells = request(compose([*line, *split])).cells
        found[" ".join(line)] = {
            " ".join(f"{key}={value}" for key, value in cell.settings if key.partition(".")[0] in varied(line)): (
                trial_key(cell.identity(0, cell.dataset.sha256 or "unknown"))
            )
            for cell in cells
        }
    return found


def varied(line: Iterable[str]) -> set[str]:
    return {"init", *(text.partition("=")[0].partition(".")[0] for text in line)}


@pytest.mark.full
def test_released_keys_are_what_the_same_commands_give() -> None:
    released = json.loads((GOLDEN / "keys.json").read_text(encoding="utf-8"))
    found = keys()
    assert found.keys() == released.keys()
    for line, cells in released.items():
        # New options join, and none leaves or changes.
        assert found[line] | cells == found[line], line


def test_every_option_has_a_released_key() -> None:
    released = json.loads((GOLDEN / "keys.json").read_text(encoding="utf-8"))
    words = {word for line, cells in released.items() for cell in (line, *cells) for word in cell.split()}
    for group in ("init", "activation", "optimizer", "bias", "dataset", "model"):
        # A module is the user's, and so is its own start.
        for name in option_files(group).keys() - {"module", "own", "csv", "npz", "image_folder"}:
            assert f"{group}={name}" in words, f"{group}={name}: python tests/test_identity.py adds it"


@pytest.mark.full
def test_published_records_have_the_keys_that_their_settings_give() -> None:
    published = records.load([TOP / "results" / "published"]).records
    assert len(published) > 800
    asked: dict[tuple[str, ...], list[schema.TrialRecord]] = {}
    for key, record in published.items():
        assert trial_key(record.trial) == key
        split = {"dataset.split": record.trial["dataset"].get("split", "fixed")}
        settings = tuple(f"{name}={value}" for name, value in (record.asked.settings | split).items())
        asked.setdefault(settings, []).append(record)
    # A command of each initializer and optimizer.
    some = {(record[0].asked.init, record[0].trial["optimizer"]["name"]): line for line, record in asked.items()}
    assert len(some) > 10
    for line in some.values():
        (cell,) = request(compose(line)).cells
        for record in asked[line]:
            content = record.trial["dataset"]["sha256"]
            # What a search tries, or trains shorter, its command does not name.
            searched = record.asked.protocol["name"] == "tuned"
            own = cell.with_values({name: record.trial[name] for name in ("lr", "epochs")} if searched else {})
            assert trial_key(own.identity(record.trial["seed"], content)) == record.key


TINY = ("dataset=digits", "depth=2", "width=16", "epochs=1", "seeds=1", "device=cpu")
# Both engines, every kernel and every rule.
TRAINED = [
    ["activation=glob(*)"], ["optimizer=glob(*)"], ["schedule=linear,constant", "warmup=0.5", "depth=0"],
    ["optimizer=sgd", "optimizer.nesterov=true", "optimizer.weight_decay=0.01"], ["dataset.standardize=feature"],
    ["model=residual_mlp"], ["model=cnn", "depth=1", "model.channels=4"], ["bias=normal,log_prior"],
    ["model.norm=batch"],
]  # fmt: skip


def trials(*overrides: str) -> tuple[Trial, ...]:
    return plan(request(compose([*TINY, *overrides])), {}).trials


def initial() -> dict[str, list[float]]:
    """Of every initializer and every policy for biases what the network starts from, each tensor as one number."""
    found = {}
    lines = [
        ["init=glob(*,exclude=metainit)"], ["init=metainit", "init.steps=2"], ["bias=glob(*)"],
        ["init=fixup,he,skipinit,rezero", "model=residual_mlp"],
        ["init=dirac,delta_orthogonal", "model=cnn", "model.channels=4", "depth=1"],
    ]  # fmt: skip
    for line in lines:
        drawn = trials(*line)
        for trial, start in zip(drawn, starts(drawn), strict=True):
            assert not isinstance(start, Exception), start
            name = f"{trial.cell.model.name} {trial.cell.init.name} {trial.cell.bias.name}"
            found[name] = [_number(key, values) for key, values in start.params.items()]
    return found


def _number(name: str, values: np.ndarray[Any, Any]) -> float:
    """A sum of all entries, each with a factor of its own, so that a value, a place and a sign count."""
    factors = stream(0, "recipe", name).standard_normal(values.size)
    return float(values.ravel().astype(np.float64) @ factors)


def trained(folder: Path) -> dict[str, list[float]]:
    """Losses before and after an epoch, in float64: of every pass over the data a number."""
    found = {}
    for number, line in enumerate(TRAINED):
        results = folder / str(number)
        initbench.run(*TINY, *line, results=str(results), quiet=True)
        for record in records.load([results]).records.values():
            assert record.loss is not None
            settings = " ".join(f"{key}={value}" for key, value in record.asked.settings.items())
            losses = [*record.history.val_loss, *record.history.train_loss, record.loss.test]
            found[settings] = [float(loss) for loss in losses if loss is not None]
    return found


def golden() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "recipe.json").read_text(encoding="utf-8")))


def same(found: dict[str, list[float]], frozen: dict[str, list[float]]) -> None:
    """Nothing that was frozen has changed by more than machines differ."""
    assert golden()["recipe"] == RECIPE, "a new recipe: python tests/test_identity.py writes its numbers"
    assert frozen.keys() <= found.keys()
    changed = {
        what: (found[what], old)
        for what, old in frozen.items()
        if found[what] != pytest.approx(old, rel=ROUNDING, abs=ROUNDING)
    }
    assert not changed, f"numbers changed: raise RECIPE in trial.py, then python tests/test_identity.py\n{changed}"


# Draws are the same everywhere; products and factorisations round differently. MKL and OpenBLAS differed by 1.3e-8 in
# losses after an epoch; the number of torch's threads changed weights set by pretraining by 1.4e-6.
ROUNDING = 1e-5


@pytest.mark.full
def test_a_recipe_starts_from_the_same_weights() -> None:
    same(initial(), golden()["initial"])


@pytest.mark.full
def test_a_recipe_trains_to_the_same_numbers(tmp_path: Path) -> None:
    same(trained(tmp_path), golden()["trained"])


def test_there_is_one_zero() -> None:
    cells = request(compose(["init=gaussian", "init.mean=0,-0.0,0.0"])).cells
    assert len({trial_key(cell.identity(0, "x")) for cell in cells}) == 1
    (zero,) = request(compose(["bias=constant", "bias.value=-0.0"])).cells
    assert str(dict(zero.bias.params)["value"]) == "0.0"


def test_a_data_file_may_be_renamed_and_moved(tmp_path: Path) -> None:
    rows = "".join(f"{3 * i},{i % 7},{i % 2}\n" for i in range(40))
    found = []
    for file in (tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "deep" / "a.csv"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("x,z,label\n" + rows, encoding="utf-8")
        asked = request(compose(["dataset=csv", f"dataset.path='{file}'", "seeds=1"]))
        found += [trial.key for trial in plan(asked, {}).trials]
    assert len(found) == 3
    assert len(set(found)) == 1


if __name__ == "__main__":
    import tempfile

    for file, content in (
        ("keys", keys),
        ("recipe", lambda: {"recipe": RECIPE, "initial": initial(), "trained": trained(Path(tempfile.mkdtemp()))}),
    ):
        (GOLDEN / f"{file}.json").write_text(json.dumps(content(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
