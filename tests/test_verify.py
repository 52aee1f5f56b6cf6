"""Recorded trials trained again: a record gives its trial back, equal ones are equal, and what differs is told."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, stored
from handmade import failed_record, make_record, recorded, write_lines
from test_report_command import SWEEPS

import initbench as library
from initbench import InputError, records
from initbench.data import spec
from initbench.engine.compiled.blas import ROUTES
from initbench.experiment.plan import plan
from initbench.experiment.verify import sampled
from initbench.records import index
from initbench.records.columns import from_records
from initbench.settings.compose import compose
from initbench.settings.recorded import request_of
from initbench.settings.request import request
from initbench.trial import Asked, trial_key

Initbench = Callable[..., Answer]
PUBLISHED = Path(__file__).parents[1] / "results" / "published"
SMALL = ("dataset=synthetic", "epochs=1", "width=8")


@pytest.mark.full
def test_every_published_record_gives_its_trial_back() -> None:
    loaded = records.load([folder for folder in PUBLISHED.iterdir() if folder.is_dir()])
    assert len(loaded) > 4000
    for key, record in loaded.records.items():
        wanted = request_of(record.trial, record.asked)
        (trial,) = plan(wanted, {}).trials
        assert (trial.key, trial.identity) == (key, record.trial)
        # Whoever asked for it so has it under these names.
        assert trial.cell.init.name == record.asked.init


@pytest.mark.full
@pytest.mark.parametrize("name", SWEEPS)
def test_every_setting_comes_back(name: str) -> None:
    for trial in plan(request(compose(SWEEPS[name].split())), {}).trials[::7]:
        # As JSON has it: without tuples.
        (again,) = plan(request_of(json.loads(json.dumps(trial.identity)), trial.cell.asked()), {}).trials
        assert again.key == trial.key


def test_a_record_that_says_nothing_of_how_it_was_asked_for_gives_its_trial_back() -> None:
    (trial, *_) = plan(request(compose(["init=he", "bias=critical", "activation=tanh"])), {}).trials
    (again,) = plan(request_of(trial.identity, Asked(dataset="digits")), {}).trials
    assert again.key == trial.key


def test_what_cannot_be_trained_here_says_why() -> None:
    (trial, *_) = plan(request(compose(["init=he"])), {}).trials

    def refused(asked: Asked | None = None, **changed: Any) -> str:
        with pytest.raises(InputError) as error:
            request_of(trial.identity | changed, asked or Asked(dataset="digits"))
        return str(error.value)

    assert refused(recipe=1) == "it was trained by recipe 1, and this initbench has recipe 2"
    law = {"law": "mine", "code": "0123456789abcdef"}
    assert refused(init=law) == "its init 'mine' is of a plugin that is not here; name it with --plugin"
    assert "its init is not here as it was" in refused(init=trial.identity["init"] | {"code": "0" * 16})
    assert "unknown dataset 'nothing'" in refused(Asked(dataset="nothing"))
    assert "unknown activation 'x'" in refused(activation={"name": "x"})
    assert refused(precision="float16") == "its precision cannot be asked for in this version"


def test_a_sample_is_spread_over_the_settings_and_always_the_same() -> None:
    made = [make_record("he", seed, 90, lr=lr) for lr in (0.1, 0.2, 0.3) for seed in range(5)]
    made = [record | {"key": f"{number:032}"} for number, record in enumerate(made)]
    made.append(failed_record("he", 9) | {"key": "f" * 32})
    columns = from_records(recorded(made))
    keys = dict(zip(np.char.decode(columns.keys).tolist(), columns.numbers["cell"].tolist(), strict=True))
    for n in range(1, 20):
        chosen = sampled(columns, n)
        assert len(chosen) == min(n, 15)
        counts = [sum(keys[key] == cell for key in chosen) for cell in range(3)]
        assert max(counts) - min(counts) <= 1
        assert chosen == sampled(from_records(recorded(made[::-1])), n)
        assert chosen >= sampled(columns, n - 1)


@pytest.fixture
def trained(initbench: Initbench) -> Path:
    assert initbench("run", *SMALL, "init=he,xavier", "depth=1,2", "seeds=2").code == 0
    return Path("results")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.full
def test_equal_trials_are_one_line_and_nothing_is_left(
    initbench: Initbench, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = files(trained)
    answer = initbench("verify")
    assert (answer.code, answer.out) == (
        0,
        "8 of 8 trials trained again are equal: initial weights, final weights and counts\n",
    )
    assert files(trained) == before
    assert not list((tmp_path / "temporary").iterdir())
    answer = initbench("verify", "results", "init=he", "depth=2", "--sample", "1")
    assert (answer.code, answer.out.partition(" trials")[0]) == (0, "1 of 1")
    assert initbench("verify", "init=nothing").code == 2
    assert initbench("verify", "nowhere").code == 2
    assert initbench("verify", "--sample", "0").code == 2


@pytest.mark.full
def test_what_differs_is_named_with_the_environment(initbench: Initbench, trained: Path) -> None:
    """Records that were made elsewhere, and of which two say something else."""
    for path in trained.rglob("records/*.jsonl"):
        header, *lines, _ = map(json.loads, path.read_text().splitlines())
        header["environment"] |= {"torch": "1.0", "blas": "another"}
        for line in lines:
            if line["trial"]["depth"] == 1 and line["trial"]["seed"] == 1 and line["asked"]["init"] == "he":
                line["weights"]["final"], line["n_correct"]["test"] = "0" * 16, 0
            if line["trial"]["depth"] == 2 and line["trial"]["seed"] == 0 and line["asked"]["init"] == "xavier":
                line["weights"]["initial"] = "0" * 16
        write_lines(path, header, *lines)
    answer = initbench("verify")
    first, second, total, environments, why = answer.out.splitlines()
    assert answer.code == 3
    assert first.startswith("synthetic mlp depth=1 width=8 relu init=he lr=0.1 seed=1 (")
    assert first.endswith("): final weights, correct answers differ")
    assert second.startswith("synthetic mlp depth=2 width=8 relu init=xavier lr=0.1 seed=0 (")
    assert second.endswith("): initial weights differ")
    assert total.startswith("6 of 8 trials trained again are equal")
    assert environments.startswith("the environments differ in torch: 1.0 there, ")
    assert "blas: another there, " in environments
    assert "matrix product" in why


LAW = "def mine(shape, rng, *, std=0.1):\n    return std * rng.normal(size=shape)\n"
MODULE = "from torch import nn\n\n\ndef net(shape, n):\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(n))\n"


@pytest.mark.full
def test_code_is_found_where_it_is_said_to_be(initbench: Initbench) -> None:
    Path("law.py").write_text(LAW)
    assert initbench("run", *SMALL, "init=mine,he", "depth=1", "seeds=1", "--plugin", "law.py").code == 0
    answer = initbench("verify")
    assert answer.code == 0
    assert "1 of 1 trials trained again are equal" in answer.out
    assert answer.out.endswith("; 1 could not be trained here\n")
    assert "init=mine lr=0.1 seed=0" in answer.err
    assert "is of a plugin that is not here; name it with --plugin" in answer.err
    assert initbench("verify", "--plugin", "law.py").out.startswith("2 of 2")
    Path("law.py").write_text(LAW.replace("0.1", "0.2"))
    answer = initbench("verify", "init=mine", "--plugin", "law.py")
    assert (answer.code, answer.out) == (2, "")
    assert "none of 1 trials can be trained here; the first: the code of its init is not here as it was" in answer.err


@pytest.mark.full
def test_data_and_modules_are_found_where_they_are_said_to_be(initbench: Initbench, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60))
    Path("d.csv").write_text(f"a,b,y\n{rows}")
    Path("net.py").write_text(MODULE.replace("LazyLinear(n)", "Linear(2, n)"))
    line = ("dataset=csv", "dataset.path=d.csv", "epochs=1", "seeds=1", "init=he")
    assert initbench("run", *line, "width=8").code == 0
    assert initbench("run", *line, "model=module", "model.path=net.py:net").code == 0
    assert initbench("verify").out.startswith("2 of 2 trials trained again are equal")
    (tmp_path / "there").mkdir()
    # As another process would: this one holds what it has read.
    spec._content.cache_clear()
    Path("d.csv").rename("there/e.csv")
    Path("net.py").rename("there/n.py")
    answer = initbench("verify")
    assert (answer.code, answer.out) == (2, "")
    answer = initbench("verify", "dataset.path=there/e.csv", "model.path=there/n.py:net")
    assert answer.out.startswith("2 of 2 trials trained again are equal")
    spec._content.cache_clear()
    Path("there/e.csv").write_text(f"a,b,y\n{rows}1,1,1\n")
    answer = initbench("verify", "dataset.path=there/e.csv", "model.path=there/n.py:net")
    assert answer.code == 2
    assert "has content hash" in answer.err


@pytest.mark.full
def test_python_has_it_too(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = library.verify("results", filters="init=he", depth=2, sample=5, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert len(found) == 2
    for one in found:
        assert one.again is not None
        assert (one.differing, one.environments, one.reason) == ([], {}, "")
        assert one.again.weights == one.recorded.weights
        assert stored()[one.recorded.key]["weights"]["final"] == one.again.weights.final
    with pytest.raises(InputError, match="sample must be"):
        library.verify(sample=0)


@pytest.mark.full
def test_published_trials_are_equal_here_or_the_environment_says_why() -> None:
    columns, _ = index.load([PUBLISHED / "d4"])
    assert len(columns) == 300
    for one in library.verify(PUBLISHED / "d4", filters="dataset=digits", sample=5, quiet=True):
        assert one.again is not None
        assert not one.differing or {"blas", "processor", "device", "cpu_capability"} & one.environments.keys()
        assert one.again.weights.initial == one.recorded.weights.initial


def test_trials_that_all_failed_are_nothing_to_compare(initbench: Initbench) -> None:
    records.publish(Path("results/run/records"), recorded([failed_record("he", 0)]))
    answer = initbench("verify")
    assert (answer.code, answer.out) == (2, "")
    assert "there is nothing to compare" in answer.err


def test_a_key_is_that_of_the_identity_that_is_asked_for() -> None:
    (trial, *_) = plan(request(compose(["init=he"])), {}).trials
    wanted = request_of(trial.identity, trial.cell.asked())
    assert trial_key(wanted.cells[0].identity(0, trial.identity["dataset"]["sha256"])) == trial.key
    assert wanted.seeds == (trial.seed,)


@pytest.mark.full
def test_a_trial_is_trained_again_with_the_product_that_it_was_trained_with(initbench: Initbench) -> None:
    if "scipy" not in (there := {key for key, find in ROUTES.items() if find() is not None}) or len(there) < 2:
        pytest.skip("there is one product here")
    for blas in ("mkl", "scipy"):
        settings = ("init=he", "dataset=digits", "epochs=5", "seeds=2", f"blas={blas}", f"results={blas}")
        assert initbench("run", *settings).code == 0
    finals = [{key: record["weights"]["final"] for key, record in stored(name).items()} for name in ("mkl", "scipy")]
    assert finals[0].keys() == finals[1].keys()
    assert finals[0] != finals[1]
    for name in ("mkl", "scipy"):
        answer = initbench("verify", name)
        assert (answer.code, answer.out[:7]) == (0, "2 of 2 "), answer.out
