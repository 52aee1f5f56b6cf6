"""Folders for TensorBoard, MLflow and W&B, each read back by its own library."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer
from handmade import failed_record, make_record, publish

import initbench as api
from initbench import records

# Two settings; one trial that diverged, and one that could not be trained.
MADE = [
    *(make_record(init, seed, 80 + seed, depth=depth, std=std)
        for depth in (2, 10) for init, std in (("he", 0.1), ("zero", 0.2)) for seed in (0, 1)),
    make_record("xavier", 0, None, depth=10, std=0.3),
    failed_record("mine", 0),
]  # fmt: skip
NAMES = {
    *(f"digits · mlp depth {depth}, width 128 · relu · lr 0.1 · {init} · seed {seed}"
      for depth in (2, 10) for init in ("he", "zero") for seed in (0, 1)),
    "digits · mlp depth 10, width 128 · relu · lr 0.1 · xavier · seed 0",
    "digits · mlp depth 2, width 128 · relu · lr 0.1 · mine · seed 0",
}  # fmt: skip
# Of make_record: 600 training and 200 validation samples.
CURVES = {
    "train/loss": [(1, 1.0), (2, 0.5)],
    "train/accuracy": [(1, 0.5), (2, 0.75)],
    "val/loss": [(0, 2.3), (1, 0.4), (2, 0.3)],
    "val/accuracy": [(0, 0.1), (1, 0.75), (2, 0.7)],
}


@pytest.fixture
def exported(initbench: Callable[..., Answer]) -> Callable[[str], Path]:
    def export(form: str) -> Path:
        publish(Path("results/run/records"), MADE)
        answer = initbench("report", "--format", form, "--out", "runs")
        assert answer.code == 0, answer.err
        return Path("runs")

    return export


@pytest.mark.full
def test_tensorboard_shows_curves_settings_results_and_histograms(exported: Callable[[str], Path]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    shown = (
        EventMultiplexer(size_guidance={"histograms": 0}).AddRunsFromDirectory(str(exported("tensorboard"))).Reload()
    )
    runs = {name for name in shown.Runs() if "/seed-" in name}
    assert {name.replace("/seed-", " · seed ").replace("/", " · ") for name in runs} == NAMES
    run = "digits · mlp depth 10, width 128 · relu · lr 0.1/he/seed-1"
    assert {tag for tag in shown.Runs()[run]["scalars"] if not tag.startswith("results/")} == set(CURVES)
    for tag, curve in CURVES.items():
        assert [(event.step, pytest.approx(event.value)) for event in shown.Scalars(run, tag)] == curve
    (result,) = shown.Scalars(run, "results/test_accuracy")
    assert result.value == pytest.approx(0.81)
    content = shown.SummaryMetadata(run, metadata.SESSION_START_INFO_TAG).plugin_data.content
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    assert (found["init"].string_value, found["depth"].number_value, found["seed"].number_value) == ("he", 10, 1)
    # Per epoch, over the runs of a technique.
    (histogram, *_) = shown.Histograms("digits · mlp depth 10, width 128 · relu · lr 0.1/he", "val/loss of all runs")
    assert (histogram.histogram_value.num, histogram.histogram_value.sum) == (2, pytest.approx(4.6))
    mine = "digits · mlp depth 2, width 128 · relu · lr 0.1/mine/seed-0"
    assert {tag for tag in shown.Runs()[mine]["scalars"] if not tag.startswith("results/")} == set()


# SQLAlchemy's, of what MLflow does.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.full
def test_mlflow_finds_runs_by_their_parameters_with_metrics_by_epoch(exported: Callable[[str], Path]) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{exported('mlflow').absolute()}/mlflow.db")
    experiments = {one.experiment_id: one.name for one in client.search_experiments() if one.name != "Default"}
    found = client.search_runs(list(experiments))
    assert {f"{experiments[one.info.experiment_id]} · {one.info.run_name}" for one in found} == NAMES
    (run,) = client.search_runs(list(experiments), "params.init = 'he' and params.depth = '10' and params.seed = '1'")
    for name, curve in CURVES.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert sorted((one.step, one.value) for one in history) == curve
    assert run.data.metrics["results/test_accuracy"] == 0.81
    ended = {one.data.tags["outcome"]: one.info.status for one in found}
    assert ended == {"slow": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}


@pytest.mark.full
def test_wandb_has_offline_runs_with_config_history_and_summary(exported: Callable[[str], Path]) -> None:
    pytest.importorskip("wandb")

    files = sorted(exported("wandb").glob("wandb/offline-run-*/run-*.wandb"))
    found = [offline_run(file) for file in files]
    assert {one["name"] for one in found} == NAMES
    (run,) = [one for one in found if one["name"].endswith("depth 10, width 128 · relu · lr 0.1 · he · seed 1")]
    assert (run["config"]["init"], run["config"]["depth"], run["config"]["technique"]) == ("he", 10, "he")
    for name, curve in CURVES.items():
        assert [(row["epoch"], row[name]) for row in run["history"] if name in row] == curve
    assert (run["summary"]["test_accuracy"], run["summary"]["outcome"]) == (0.81, "slow")
    assert sorted(one["exit"] for one in found) == [0] * 8 + [1, 1]


def offline_run(file: Path) -> dict[str, Any]:
    """What W&B's own protocol buffers make of a file."""
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    run: dict[str, Any] = {"history": [], "summary": {}}
    for content in log(file.read_bytes()):
        record = Record.FromString(content)
        if record.HasField("run"):
            run["name"] = record.run.display_name
            run["config"] = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif record.HasField("history"):
            items = record.history.item
            run["history"].append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
        elif record.HasField("summary"):
            items = record.summary.update
            run["summary"] |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
        elif record.HasField("exit"):
            run["exit"] = record.exit.exit_code
    return run


def log(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, behind W&B's header of seven bytes."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        rest = 32768 - place % 32768
        if rest < 7:
            place += rest
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        # Whole, or the last of several parts.
        if kind in (1, 4):
            yield whole
            whole = b""


def test_without_the_library_the_extra_is_named(initbench: Callable[..., Answer], monkeypatch: Any) -> None:
    import sys

    publish(Path("results/run/records"), MADE)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "initbench.export.wandb", raising=False)
    answer = initbench("report", "--format", "wandb", "--out", "runs")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "pip install 'initbench[wandb]'" in answer.err
    assert not Path("runs").exists()


def test_a_folder_with_something_in_it_is_refused(initbench: Callable[..., Answer]) -> None:
    pytest.importorskip("tensorboard")
    publish(Path("results/run/records"), MADE)
    answer = initbench("report", "--format", "tensorboard", "--out", "results")
    assert answer.code == 2
    assert "must be a folder that is new or empty" in answer.err
    assert initbench("report", "--format", "tensorboard").code == 2


def test_a_run_says_of_a_trial_what_the_table_says() -> None:
    from initbench.export.runs import runs

    publish(Path("results/run/records"), MADE)
    loaded, results = records.load([Path("results")]), api.load()
    found, table = list(runs(results.trials, loaded)), results.frame()
    assert [run.key for run in found] == table["key"].to_list()
    assert [run.results.get("test_accuracy") for run in found] == [
        None if value != value else value for value in table["test_accuracy"]
    ]
    assert {run.settings["init_formula"] for run in found} == {"N(0, std²)"}
    assert found[0].finished == 1767225600
