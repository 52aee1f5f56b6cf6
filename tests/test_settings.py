"""The table of settings, and what follows from it: listing, completion, and a request that travels as JSON."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, stored
from conftest import asked as asked_in
from handmade import csv_of, make_record, trials_of

from initbench.data import SOURCES
from initbench.errors import InputError
from initbench.experiment.plan import plan
from initbench.initializers import BIASES, LAWS
from initbench.initializers.plugins import law_of
from initbench.settings.catalogue import Catalogue, defaults
from initbench.settings.completion import complete
from initbench.settings.compose import compose
from initbench.settings.request import Request, request
from initbench.settings.schema import COMMON, GROUPS, KIND, SEARCH, SETTINGS, kinds, parameters

Initbench = Callable[..., Answer]
SMALL = ("dataset=synthetic", "epochs=2", "width=16", "batch_size=32", "seeds=2")


def ask(*overrides: str, catalogue: Catalogue = Catalogue()) -> Request:  # noqa: B008
    return request(compose(overrides, catalogue), catalogue)


def test_the_table_has_what_a_cell_has_and_what_config_yaml_has() -> None:
    assert set(compose([])[0]) == {*SETTINGS, "options"}
    assert set(defaults()) == set(SETTINGS)
    (cell,) = ask().cells
    identity = cell.identity(0, "x")
    parts = {name for name, setting in SETTINGS.items() if setting.identity} - {"seeds"} | {"seed"}
    assert parts <= set(identity)
    assert set(identity) - parts <= {"recipe", "precision", "protocol", "stage"}


def test_every_setting_of_a_trial_is_a_column_of_the_csv() -> None:
    header = csv_of(trials_of([make_record()])).splitlines()[0].split(",")
    parts = [name for name, setting in SETTINGS.items() if setting.identity and name != "seeds"]
    assert set(parts) <= set(header)


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if not setting.group])
def test_every_default_is_one_that_is_allowed(name: str) -> None:
    setting, default = SETTINGS[name], defaults()[name]
    assert setting.label
    assert setting.parameter.help
    setting.parameter.check(default, name)


@pytest.mark.parametrize("group", COMMON)
def test_every_parameter_of_every_option_may_be_set_to_its_default(group: str) -> None:
    laws = Catalogue().laws
    assert all(parameters(group, kind, laws) is not None for kind in kinds(group, laws))
    for name, node in Catalogue().options(group).items() if group != "experiment" else ():
        found = parameters(group, node[KIND.get(group, "name")], laws)
        assert found is not None
        searched = {key for key in node if group == "protocol" and key.startswith(SEARCH)}
        assert set(node) - searched <= {parameter.name for parameter in (*COMMON[group], *found)}
        for parameter in found:
            if not parameter.required:
                parameter.check(parameter.default, parameter.name)
                parameter.check(node[parameter.name], f"{name}.{parameter.name}")


def test_parameters_are_those_of_the_functions() -> None:
    laws = Catalogue().laws
    for name in LAWS:
        assert [p.name for p in parameters("init", name, laws) or ()] == list(LAWS[name].defaults)
    for name in BIASES:
        assert [p.name for p in parameters("bias", name, laws) or ()] == list(BIASES[name].defaults)
    for name, source in SOURCES.items():
        # The task is a setting of all data sets.
        own = [name for name in inspect.signature(source).parameters if name != "task"]
        assert [p.name for p in parameters("dataset", name, laws) or ()] == own


def test_a_users_data_set_that_lacks_what_its_source_needs_is_told(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text(
        "name: mine\nsource: idx\nval: 0.2\nstandardize: none\nepochs: 1\nsha256: null\n"
    )
    with pytest.raises(InputError, match="dataset 'mine' lacks 'torchvision'"):
        ask("dataset=mine", catalogue=Catalogue.of(config_dir=tmp_path))


@pytest.mark.parametrize(
    "text", ["${ oc.env:SECRET}", "${oc.env:SECRET}", "${now:%Y}", "${python_version:}", "${${a}}"]
)
def test_no_setting_reads_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(InputError, match="may only refer to its own keys") as error:
        ask(f"dataset.name='{text}'")
    assert "hunter2" not in str(error.value)


def test_a_preset_is_composed_without_a_trace_of_it_in_hydra(tmp_path: Path) -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra

    before = json.dumps(ConfigStore.instance().repo, default=repr)
    (tmp_path / "law.py").write_text("def mine(shape, rng):\n    return rng.random(shape)\n")
    ask("experiment=smoke", "init=mine,he_normal@keras,he", catalogue=Catalogue.of([tmp_path / "law.py"]))
    assert json.dumps(ConfigStore.instance().repo, default=repr) == before
    assert not GlobalHydra.instance().is_initialized()
    assert "mine" not in LAWS


PLUGIN = "def mylaw(shape, rng, *, k: int = 3):\n    return rng.standard_normal(shape) * {}\n"


def test_no_stale_byte_code_of_a_plugin_is_run(initbench: Initbench) -> None:
    # Of one size and one time of change, as a fast edit or a copy leaves it.
    stds = {}
    for std in ("0.1", "0.9"):
        Path("law.py").write_text(PLUGIN.format(std))
        os.utime("law.py", (1_700_000_000, 1_700_000_000))
        answer = initbench("run", "init=mylaw", *SMALL, f"results=r{std}", "--plugin", "law.py")
        assert answer.code == 0
        found = next(iter(stored(f"r{std}").values()))["certificate"]["layers.0.weight"][1]
        stds[float(std)] = found
    assert stds == {std: pytest.approx(std, rel=0.2) for std in stds}
    assert not Path("__pycache__").exists()


def test_a_law_is_found_by_its_file_and_the_hash_of_it() -> None:
    Path("law.py").write_text(PLUGIN.format("0.1"))
    (cell,) = ask("init=mylaw", catalogue=Catalogue.of(["law.py"])).cells
    assert cell.init.file == str(Path("law.py").absolute())
    first = law_of("mylaw", cell.init.code, cell.init.file)
    assert first is law_of("mylaw", cell.init.code, cell.init.file)
    assert law_of("he_normal") is LAWS["he_normal"]
    assert "file" not in cell.identity(0, "x")["init"]
    # What a command has loaded stays as it was; what it has not is refused.
    Path("law.py").write_text(PLUGIN.format("0.9"))
    assert law_of("mylaw", cell.init.code, cell.init.file) is first
    with pytest.raises(InputError, match="law.py has changed since the command began"):
        law_of("mylaw", "0" * 16, cell.init.file)


WORKER = """
import sys
from pathlib import Path
from initbench.errors import InputError
from initbench.experiment.plan import plan
from initbench.settings.request import Request
try:
    asked = Request.from_json(Path("request.json").read_bytes())
except InputError as error:
    sys.exit(str(error))
planned = plan(asked, {})
print(*(trial.key for trial in planned.trials))
if sys.argv[1:] == ["train"]:
    from initbench.experiment.execute import execute
    execute(asked, tell=lambda line: None, quiet=True)
assert "torch" not in sys.modules
"""


def worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WORKER, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.full
def test_a_request_means_the_same_in_another_process(initbench: Initbench) -> None:
    Path("own/init").mkdir(parents=True)
    Path("own/init/small.yaml").write_text("name: small\nlaw: normal\nstd: 0.01\n")
    Path("law.py").write_text(PLUGIN.format("0.1"))
    catalogue = Catalogue.of(["law.py"], "own")
    sweep = ("init=mylaw,small,he,lsuv", "init_output=mylaw,null", "width=[16,8]", "device=cpu", *SMALL[:2], *SMALL[3:])
    asked = ask(*sweep, catalogue=catalogue)
    again = Request.from_json(asked.to_json())
    whole = asked.with_whole_paths()
    assert again == whole
    assert repr(again) == repr(whole)
    assert repr(Request.from_json(asked.to_json(anywhere=False))) == repr(asked)
    tuned = ask(
        "protocol=tuned",
        "model=mlp,residual_mlp",
        "dataset=csv",
        "dataset.path='~/x.csv'",
        "seeds=[18446744073709551615]",
    )
    assert repr(Request.from_json(tuned.to_json(anywhere=False))) == repr(tuned)

    Path("request.json").write_bytes(asked.to_json())
    answer = worker("train")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split() == [trial.key for trial in plan(asked, {}).trials]
    theirs = stored()
    assert initbench("run", *sweep, "results=here", "--plugin", "law.py", "--config-dir", "own").code == 0
    ours = stored("here")
    assert theirs.keys() == ours.keys()
    for key, record in ours.items():
        other = {"asked": None, "init_cost": None}
        assert {**theirs[key], **other} == {**record, **other}
    assert {way.text() for way in asked_in("results")} == {way.text() for way in asked_in("here")}

    Path("law.py").write_text(PLUGIN.format("0.2"))
    refused = worker()
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("law.py has changed since the command began; run it again")
    assert len(refused.stderr.splitlines()) == 1
    Path("law.py").unlink()
    assert "law.py does not exist" in worker().stderr


def test_a_request_means_the_same_in_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.py").write_text("import torch.nn as nn\ndef net(shape, classes):\n    return nn.Linear(8, classes)\n")
    Path("table.csv").write_text("a,b,y\n" + "1,2,0\n3,4,1\n" * 40)
    asked = ask("dataset=csv", "dataset.path=table.csv", "model=module", "model.path=net.py:net", "seeds=1")
    encoded, keys = asked.to_json(), [trial.key for trial in plan(asked, {}).trials]
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    again = Request.from_json(encoded)
    assert [trial.key for trial in plan(again, {}).trials] == keys
    assert again.folder == Path.cwd().parent / asked.folder
    (file,) = {dict(cell.model.params)["path"] for cell in again.cells}
    assert file == str(Path.cwd().parent / "net.py")


def test_what_is_no_request_is_told() -> None:
    for text in (b"", b"{", b"[]", b'{"cells": 3}'):
        with pytest.raises(InputError, match="this is no request of initbench: "):
            Request.from_json(text)


def test_settings_are_listed(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    answer = initbench("list", "settings")
    assert answer.code == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in answer.out.splitlines() if line.strip()}
    assert set(SETTINGS) <= set(lines)
    assert lines["depth"] == (
        "depth whole number >= 0 2 yes hidden layers, convolutions or blocks; 0 is softmax regression"
    )
    assert lines["schedule"].startswith("schedule constant, cosine, linear cosine yes ")
    assert lines["device"].startswith("device text auto no ")
    assert lines["optimizer.momentum"].startswith("optimizer.momentum number >= 0 and < 1 0.9, 0 yes ")
    assert lines["model.norm"].startswith("model.norm layer, batch, none none yes ")
    assert "auto, torch, critical" in lines["init.gain"]
    Path("law.py").write_text(PLUGIN.format("0.1"))
    assert "of mylaw" in initbench("list", "settings", "--plugin", "law.py").out


def test_completion_of_an_options_own_settings_and_of_values(tmp_path: Path) -> None:
    assert complete([], "optimizer.n") == ["optimizer.name=", "optimizer.nesterov="]
    assert "init.gain=" in complete(["init=he"], "init.")
    assert "init.std=" not in complete(["init=he"], "init.")
    assert "init.std=" in complete(["init=gaussian"], "init.")
    assert "init_first.std=" in complete([], "init_first.")
    assert complete([], "schedule=c") == ["schedule=constant", "schedule=cosine"]
    assert complete([], "model.norm=") == ["model.norm=layer", "model.norm=batch", "model.norm=none"]
    assert complete([], "optimizer.nesterov=t") == ["optimizer.nesterov=true"]
    assert complete([], "init.gain=") == ["init.gain=auto", "init.gain=torch", "init.gain=critical"]
    assert complete([], "nothing.") == complete([], "depth=") == complete([], "nothing=") == []
    assert complete(["init=nothing"], "init.g") == ["init.gain="]
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "zzz.yaml").write_text("name: zzz\nlaw: normal\n")
    assert complete([], "init=zz", tmp_path) == ["init=zzz"]
    assert set(GROUPS) <= {word.rstrip("=") for word in complete([], "")}
    (tmp_path / "bias").mkdir()
    (tmp_path / "bias" / "zeros.yaml").write_text("name: zeros\n")
    assert complete([], "bias=z", tmp_path) == []


def test_settings_need_no_torch_and_no_compiler() -> None:
    code = (
        "import sys, initbench.settings.commandline, initbench.settings.completion, initbench.settings.request, "
        "initbench.commands.listing; print([m for m in ('torch', 'numba', 'scipy', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
