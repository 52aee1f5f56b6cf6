"""The command line as a user meets it: exit codes, the one line, what is on disk before and after."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, stored

from initbench import records
from initbench.settings.options import option_files

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=2", "width=16", "batch_size=32")


def test_run_trains_ten_seeds_and_a_second_run_nothing(initbench: Initbench) -> None:
    first = initbench("run", "init=he", "activation=relu", "seeds=10", *SMALL)
    assert first.code == 0
    assert "10 trials: 0 already done, 10 to train" in first.err
    files = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*.jsonl")}
    second = initbench("run", "init=he", "activation=relu", "seeds=10", *SMALL)
    assert second.code == 0
    assert "nothing to train: all 10 trials have their records in results" in second.err
    assert second.out == first.out
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("*.jsonl")} == files


def test_only_what_is_missing_is_trained(initbench: Initbench) -> None:
    initbench("run", "init=he", "seeds=2", *SMALL)
    before = stored()
    wider = initbench("run", "init=he,xavier", "depth=2,10", "seeds=3", *SMALL)
    assert "12 trials: 2 already done, 10 to train" in wider.err
    after = stored()
    assert len(after) == 12
    assert {key: after[key] for key in before} == before
    assert len(re.findall("synthetic · mlp depth (2|10), width 16", wider.out)) == 2


@pytest.mark.full
def test_a_trial_is_the_same_alone_and_among_ten(initbench: Initbench) -> None:
    setting = ("dataset=digits", "epochs=3", "width=[50,30]", "batch_size=50")
    initbench("run", "init=he,constant,sparse", "seeds=10", "results=many", *setting)
    initbench("run", "init=he", "seeds=[7]", "results=one", *setting)
    (key,) = alone = stored("one")
    assert stored("many")[key] == alone[key]
    assert alone[key]["weights"]["initial"] != alone[key]["weights"]["final"]


def test_a_record_says_all_that_happened(initbench: Initbench) -> None:
    initbench("run", "init=he", "seeds=[4]", *SMALL)
    (record,) = stored().values()
    assert record["trial"]["seed"] == 4
    assert record["trial"]["init"] == {"law": "he_normal", "gain": 2**0.5, "mode": "fan_in"}
    assert record["trial"]["bias"] == {"law": "zeros"}
    assert (record["asked"]["init"], record["asked"]["dataset"]) == ("he", "synthetic")
    assert record["trial"]["init_first"] is None is record["trial"]["init_output"]
    assert record["n_total"] == {"train": 256, "val": 64, "test": 80}
    assert record["n_majority"] == 20
    assert len(record["history"]["val_correct"]) == 3
    assert record["history"]["val_correct"][-1] == record["n_correct"]["val"]
    assert all(isinstance(n, int) for n in record["n_correct"].values())
    assert record["n_correct"]["test"] > 40
    # Standard deviations, asked for and found: √(2/16) for 16 features and 16 units in every layer.
    asked, found = zip(*record["certificate"].values(), strict=True)
    assert list(record["certificate"]) == [f"layers.{i}.weight" for i in range(3)]
    assert asked == (0.3536, 0.3536, 0.3536)
    assert found == pytest.approx(asked, rel=0.3)
    (header,) = records.load([Path("results")]).headers.values()
    assert header.environment.device == "cpu"
    assert header.environment.threads


def test_a_diverged_trial_is_a_result(initbench: Initbench) -> None:
    answer = initbench("run", "init=he", "lr=1e30", "seeds=2", *SMALL)
    assert answer.code == 0
    assert {record["outcome"] for record in stored().values()} == {"diverged"}
    assert all(record["n_correct"] is None and record["diverged_at"] >= 1 for record in stored().values())
    assert "div" in answer.out
    assert "2/2" in answer.out


def test_reproduce_is_the_ten_techniques_beside_the_article(initbench: Initbench) -> None:
    answer = initbench("reproduce", "epochs=1", "seeds=2")
    assert answer.code == 0
    assert len(stored()) == 20
    assert list(Path("results").iterdir()) == [Path("results/d4")]
    assert "97.55 ± 0.30" in answer.out
    assert "Order of the means, measured:" in " ".join(answer.out.split())


def test_the_smoke_preset_runs(initbench: Initbench) -> None:
    assert initbench("run", "experiment=smoke").code == 0
    assert len(stored()) == 12


def test_report_formats_and_files(initbench: Initbench) -> None:
    initbench("run", "init=he,xavier", "seeds=2", *SMALL)
    shown = initbench("report")
    assert "he" in shown.out
    markdown = initbench("report", "init=he", "--format", "markdown")
    assert "| run | he |" in markdown.out
    assert initbench("report", "results=results", "--format", "csv", "--out", "trials.csv").out == ""
    assert len(Path("trials.csv").read_text().splitlines()) == 5
    assert initbench("report", "results/run", "--out", "report.txt").code == 0
    assert "he" in Path("report.txt").read_text()


def test_dry_run_shows_the_plan_and_does_nothing(initbench: Initbench) -> None:
    initbench("run", "init=he", "seeds=2", *SMALL)
    files = sorted(Path().rglob("*"))
    answer = initbench("run", "init=he,xavier", "seeds=3", "--dry-run", *SMALL)
    assert "init=he sgd lr=0.1: 2 done, 1 to do" in answer.out
    assert "2 cells, 6 trials: 2 done, 4 to do" in answer.out
    assert sorted(Path().rglob("*")) == files


def test_config_prints_the_resolved_settings(initbench: Initbench) -> None:
    import yaml

    cells = list(yaml.safe_load_all(initbench("run", "init=he,xavier", "lr=0.3", "--config").out))
    assert [(cell["init"]["name"], cell["lr"]) for cell in cells] == [("he", 0.3), ("xavier", 0.3)]
    own = yaml.safe_load_all(initbench("run", "optimizer=sgd,adam", "--config").out)
    assert [(cell["lr"], cell["epochs"]) for cell in own] == [(0.1, 30), (0.01, 30)]
    assert not Path("results").exists()


def test_multirun_is_accepted_and_changes_nothing(initbench: Initbench) -> None:
    plain = initbench("run", "depth=1,2", "--dry-run", *SMALL)
    assert initbench("run", "-m", "depth=1,2", "--dry-run", *SMALL) == plain


def test_a_users_folder(initbench: Initbench, tmp_path: Path) -> None:
    (tmp_path / "mine" / "init").mkdir(parents=True)
    (tmp_path / "mine" / "init" / "half.yaml").write_text("name: half\nlaw: normal\nstd: 0.5\n")
    answer = initbench("run", "init=half", "seeds=1", "--config-dir", "mine", *SMALL)
    assert answer.code == 0
    assert "half" in answer.out
    assert "half" in initbench("list", "init", "--config-dir", "mine").out


@pytest.mark.full
def test_own_data(initbench: Initbench) -> None:
    rows = "".join(f"{i % 3 + 0.1 * (i % 7)},{i % 5},{'abc'[i % 3]}\n" for i in range(120))
    Path("wine.csv").write_text("acid,sugar,kind\n" + rows)
    answer = initbench("run", "dataset=csv", "dataset.path=wine.csv", "init=he", "seeds=2", "epochs=20", "width=16")
    assert answer.code == 0
    assert "wine · mlp depth 2" in answer.out
    assert min(record["n_correct"]["test"] for record in stored().values()) > 15


@pytest.mark.parametrize(
    "group",
    ["initializers", "init", "frameworks", "biases", "activations", "datasets", "models", "optimizers", "experiments"],
)
def test_list(initbench: Initbench, group: str) -> None:
    answer = initbench("list", group)
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80


def test_list_shows_formula_source_defaults_and_tier(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lines = {line.split()[0]: line for line in initbench("list", "initializers").out.splitlines() if line.strip()}
    assert len(lines) > 35
    for text in ("N(0, gain² / fan)", "gain=1.41421", "He et al. 2015", " 1 "):
        assert text in lines["he"]
    assert " 3 " in lines["critical"]
    assert "√0.05" in initbench("list", "bias").out


# Command line, exit code, and what the one line must say. Nothing may be on disk afterwards.
BAD = [
    ("run init=xaver", 2, "unknown init 'xaver', did you mean 'xavier'?"),
    ("run depht=3", 2, "unknown setting 'depht', did you mean 'depth'?"),
    ("run lr=fast", 2, "lr must be a finite number > 0; got 'fast'"),
    ("run seeds=-1", 2, "seeds must be a whole number >= 1; got -1"),
    ("run seeds=[]", 2, "seeds is an empty list"),
    ("run depth=-1", 2, "depth must be a whole number >= 0; got -1"),
    ("run lr=nan", 2, "lr must be a finite number > 0; got NaN"),
    ("run epochs=0", 2, "epochs must be a whole number >= 1; got 0"),
    ("reproduce epochs=0", 2, "epochs must be a whole number >= 1; got 0"),
    ("run dataset=csv dataset.path=none.csv", 2, "dataset.path=none.csv does not exist"),
    ("run dataset=npz", 2, "dataset=npz needs dataset.path=…"),
    ("run dataset=mnist", 2, "ubyte.gz is not in"),
    ("run dataset=cifar10 dataset.root=data", 2, "cannot be downloaded"),
    ("run device=cuda:7", 2, "device=cuda:7: torch finds"),
    (
        "run init=sparse width=8 depth=2",
        2,
        "init 'sparse' on layers.1.weight of shape (8, 8): k must be between 1 and fan_in, here 8",
    ),
    ("run dataset.val=5000", 2, "data set 'digits' (1797 samples): the train split is empty"),
    ("run results=/proc/initbench epochs=1", 4, "cannot write to results folder /proc/initbench/run/records"),
    ("run --config-dir none", 2, "'none' does not exist"),
    ("run --fast", 2, "No such option: --fast"),
    ("train", 2, "unknown command 'train'; write initbench run."),
    ("list initialisers", 2, "unknown name or group 'initialisers', did you mean 'initializers'?"),
    ("report", 2, "there is no results folder results; 'initbench reproduce' makes one"),
    ("report --format pdf", 2, "'--format': 'pdf' is not one of 'rich', 'markdown', 'csv', 'latex', 'html'"),
]


@pytest.mark.full
@pytest.mark.parametrize(("line", "code", "message"), BAD, ids=[line for line, *_ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(initbench: Initbench, line: str, code: int, message: str) -> None:
    answer = initbench(*line.split())
    assert answer.code == code
    # Each mirror of a data set is named when it is asked.
    (error,) = [text for text in answer.err.splitlines() if not text.startswith("initbench: downloading ")]
    assert error.startswith("initbench: error: ")
    assert message in error
    assert answer.out == ""
    assert not list(Path().iterdir())


def test_a_malformed_file_is_one_line(initbench: Initbench) -> None:
    Path("bad.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    answer = initbench("run", "dataset=csv", "dataset.path=bad.csv")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert "bad.csv is not a readable table" in answer.err


def test_a_results_folder_that_is_a_file(initbench: Initbench) -> None:
    Path("taken").write_text("")
    answer = initbench("run", "results=taken", *SMALL)
    assert answer.code == 4
    assert "cannot write to results folder taken/run/records: Not a directory" in answer.err


def test_reports_on_nothing(initbench: Initbench) -> None:
    Path("results").mkdir()
    empty = initbench("report")
    assert (empty.code, len(empty.err.splitlines())) == (2, 1)
    assert "no records in results" in empty.err
    initbench("run", "init=he", "seeds=1", *SMALL)
    selected = initbench("report", "init=xavier")
    assert (selected.code, selected.out) == (2, "")
    assert "no records with init=xavier; there are records with init: he" in selected.err
    assert initbench("report", "--format", "csv", "--out", "none/x.csv").code == 4


def test_a_damaged_record_is_told_and_trained_again(initbench: Initbench) -> None:
    initbench("run", "init=he", "seeds=2", *SMALL)
    before = stored()
    (file,) = Path("results").rglob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    again = initbench("run", "init=he", "seeds=2", *SMALL)
    assert again.code == 0
    assert f"{file} is damaged" in again.err
    assert stored() == before


@pytest.mark.full
def test_a_closed_pipe_is_no_error(initbench: Initbench) -> None:
    initbench("run", "init=glob(*normal*)", "seeds=1", *SMALL)
    for command in (["report"], ["list"], ["report", "--format", "csv"]):
        reader, writer = os.pipe()
        os.close(reader)
        answer = subprocess.run(script(*command), stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (answer.returncode, answer.stderr) == (0, "")


def test_verbose_tells_how_the_training_is_done(initbench: Initbench) -> None:
    answer = initbench("run", "--verbose", *SMALL)
    assert "1 chunk of" in answer.err
    assert "threads, a network each; products by" in answer.err
    (blas,) = {header.environment.blas for header in records.load([Path("results")]).headers.values()}
    assert f"products by {blas} (" in answer.err


def test_help_has_examples(initbench: Initbench) -> None:
    for command in ("run", "reproduce", "report", "list"):
        answer = initbench(command, "--help")
        assert answer.code == 0
        assert f"initbench {command}" in answer.out.split("Example:")[1]


def script(*arguments: str) -> list[str]:
    return [sys.executable, "-c", f"from initbench.commands.app import main; main({list(arguments)!r})"]


def test_completion_offers_groups_and_options() -> None:
    import typer

    from initbench.commands.app import app
    from initbench.commands.arguments import complete

    context = typer.main.get_command(app).make_context("initbench", ["run"])
    context.params = {"overrides": []}
    assert complete(context, "in") == ["init=", "init_first=", "init_output="]
    assert complete(context, "init=xavier_n") == ["init=xavier_normal"]
    assert complete(context, "init_output=zero") == ["init_output=zero", "init_output=zero_hadamard"]
    assert complete(context, "init=he,zero_") == ["init=he,zero_hadamard"]
    context.params = {"overrides": ["init"]}
    assert complete(context, "=") == list(option_files("init"))
    context.params = {"overrides": ["init", "="]}
    assert complete(context, "he,zero_") == ["he,zero_hadamard"]
    context.params = {"overrides": []}
    assert "seeds=" in complete(context, "se")
