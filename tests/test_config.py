"""From override texts to typed requests."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from initbench.data import SOURCES
from initbench.data_driven import DATA_LAWS
from initbench.engine.optimizers import OPTIMIZERS
from initbench.errors import InputError
from initbench.models import MODELS
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.options import config_folder, option_files
from initbench.settings.request import Request, request
from initbench.trial import Asked, Cell, trial_key


def ask(*overrides: str, config_dir: Path | None = None) -> Request:
    catalogue = Catalogue.of(config_dir=config_dir)
    return request(compose(overrides, catalogue), catalogue)


def test_defaults() -> None:
    (cell,) = ask().cells
    assert (cell.dataset.name, cell.init.name, cell.activation.name, cell.optimizer.name) == (
        "digits",
        "he",
        "relu",
        "sgd",
    )
    assert (cell.depth, cell.width, cell.lr, cell.epochs) == (2, (128, 128), 0.1, 30)
    assert ask().seeds == tuple(range(10))
    assert ask().name == "run"


def test_comma_lists_are_axes_and_the_last_override_wins() -> None:
    cells = ask("init=he,xavier", "depth=2,10", "lr=1", "lr=0.5").cells
    assert [(c.init.name, c.depth, c.lr) for c in cells] == [
        ("he", 2, 0.5), ("he", 10, 0.5), ("xavier", 2, 0.5), ("xavier", 10, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "depths"),
    [("depth=range(1,6,2)", [1, 3, 5]), ("depth=choice(2,4)", [2, 4]), ("depth=3", [3]), ("depth=2,2", [2])],
)
def test_hydras_sweeps(override: str, depths: list[int]) -> None:
    assert [cell.depth for cell in ask(override).cells] == depths


@pytest.mark.full
def test_glob_takes_every_option_it_matches() -> None:
    plain, residual, flat = (
        [cell.init.name for cell in ask("init=glob(*)", model).cells]
        for model in ("model=mlp", "model=residual_mlp", "depth=0")
    )
    # What is a module's own start is for no model of ours.
    assert set(plain) | set(residual) == set(option_files("init")) - {"own"}
    assert plain == sorted(plain)
    assert set(plain) - set(residual) == set(DATA_LAWS)
    assert set(residual) - set(plain) == {"fixup", "rezero", "skipinit"}
    assert set(plain) - set(flat) == {name for name, law in DATA_LAWS.items() if law.hidden}
    assert [cell.init.name for cell in ask("init=glob([x*,he],exclude=*uniform)").cells] == [
        "he", "xavier", "xavier_d0", "xavier_d3_code", "xavier_d3_text", "xavier_normal", "xavier_truncated",
    ]  # fmt: skip


def test_a_parameter_reaches_the_swept_options_that_have_it() -> None:
    cells = ask("init=he,gaussian,zero", "init.std=0.5,0.1").cells
    assert [(c.init.name, dict(c.init.params).get("std")) for c in cells] == [
        ("he", None), ("gaussian", 0.5), ("gaussian", 0.1), ("zero", None),
    ]  # fmt: skip


def test_the_first_and_the_output_layer_have_initializers_of_their_own() -> None:
    (cell,) = ask("init=he", "init_output=gaussian", "init_output.std=0.3").cells
    assert cell.init_first is None
    assert cell.init_output is not None
    assert (cell.init_output.name, dict(cell.init_output.params)) == ("gaussian", {"mean": 0.0, "std": 0.3})
    cells = ask("init=he,xavier", "init_output=null,zero,sparse", "init_output.k=3").cells
    outputs = [(c.init.name, c.init_output and (c.init_output.name, dict(c.init_output.params))) for c in cells]
    assert outputs == [
        (init, output)
        for init in ("he", "xavier")
        for output in (None, ("zero", {"value": 0.0}), ("sparse", {"k": 3, "std": 1.0}))
    ]
    assert ask("init_first=null").cells == ask().cells
    (auto,) = ask("init_first=orthogonal", "init_first.gain=auto", "activation=tanh").cells
    assert auto.init_first is not None
    assert dict(auto.init_first.params)["gain"] == pytest.approx(1.5925, abs=1e-4)


def test_biases_are_the_initializers_own_unless_named() -> None:
    own = {cell.init.name: cell.bias for cell in ask("init=he,torch_default,critical", "activation=tanh").cells}
    assert {name: bias.name for name, bias in own.items()} == {
        "he": "zeros", "torch_default": "uniform_fan_in", "critical": "critical",
    }  # fmt: skip
    assert dict(own["critical"].params)["std"] == pytest.approx(0.05**0.5)
    assert {cell.bias.name for cell in ask("init=he,torch_default", "bias=zeros").cells} == {"zeros"}
    swept = ask("bias=null,normal,constant", "bias.std=0.5").cells
    assert [(c.bias.name, dict(c.bias.params)) for c in swept] == [
        ("zeros", {}), ("normal", {"std": 0.5}), ("constant", {"value": 0.01}),
    ]  # fmt: skip


def test_the_critical_gain_goes_with_the_biases() -> None:
    def gain(*overrides: str) -> float:
        return float(dict(ask("init=critical", *overrides).cells[0].init.params)["gain"])

    assert gain("activation=tanh") ** 2 == pytest.approx(1.761, abs=1e-3)
    assert gain("activation=tanh", "bias=zeros") == pytest.approx(1)
    assert gain("activation=tanh", "bias=normal", "bias.std=0.2") == pytest.approx(1.3041, abs=1e-4)
    # relu is critical without biases only, and there critical is he.
    assert gain() == pytest.approx(2**0.5)
    (orthogonal,) = ask("init=orthogonal", "init.gain=critical", "activation=gelu").cells
    assert dict(orthogonal.init.params)["gain"] == pytest.approx(2)


def test_aliases_and_frameworks_views_are_initializers_too() -> None:
    cells = ask("init=kaiming_normal,glorot,zeros,he_normal@keras,glorot_normal@jax,xavier@caffe,default@torch").cells
    assert [(c.init.name, c.init.law) for c in cells] == [
        ("he_normal", "he_normal"), ("xavier", "glorot_normal"), ("zero", "constant"),
        ("he_normal@keras", "he_truncated"), ("xavier_normal@jax", "glorot_truncated"),
        ("xavier@caffe", "lecun_uniform"), ("default@torch", "uniform_fan_in"),
    ]  # fmt: skip
    assert cells[-1].bias.name == "uniform_fan_in"
    assert ask("init=msra").cells == ask("init=he_normal").cells
    assert ask("init_output=kaiming").cells == ask("init_output=he").cells


def test_the_slope_of_tat_follows_from_the_depth_and_is_all_that_is_trained() -> None:
    cells = ask("activation=tat", "init=orthogonal", "init.gain=auto", "depth=5,50").cells
    slopes = [dict(cell.activation.params) for cell in cells]
    assert slopes == [{"negative_slope": 0.0}, {"negative_slope": pytest.approx(0.4305, abs=6e-5)}]
    assert [dict(cell.init.params)["gain"] for cell in cells] == pytest.approx([1.0, 1.0])
    (nearer,) = ask("activation=tat", "activation.eta=0.8", "depth=50").cells
    assert dict(nearer.activation.params)["negative_slope"] == pytest.approx(0.5483, abs=6e-5)
    (given,) = ask("activation=tat", "activation.negative_slope=0.3", "depth=50", "model=residual_mlp").cells
    assert given.activation.params == (("negative_slope", 0.3),)


def test_gain_by_name_depends_on_the_activation() -> None:
    gains = {
        cell.activation.name: dict(cell.init.params)["gain"]
        for cell in ask("init=orthogonal", "init.gain=auto", "activation=relu,tanh,identity").cells
    }
    assert gains == pytest.approx({"relu": 2**0.5, "tanh": 1.5925, "identity": 1.0}, abs=1e-4)
    (scaled,) = ask("init=variance_scaling", "init.scale=auto", "activation=relu").cells
    assert dict(scaled.init.params)["scale"] == pytest.approx(2)
    (torch,) = ask("init=xavier", "init.gain=torch", "activation=tanh").cells
    assert dict(torch.init.params)["gain"] == pytest.approx(5 / 3)


@pytest.mark.parametrize(
    ("override", "seeds"),
    [
        ("seeds=3", (0, 1, 2)),
        ("seeds=[3,7]", (3, 7)),
        ("seeds=3,7", (3, 7)),
        ("seeds=[0]", (0,)),
        ("seeds=[20261122]", (20261122,)),
        ("seeds=range(5,8)", (5, 6, 7)),
        ("seeds=range(5,6)", (5,)),
        ("seeds=choice(5)", (5,)),
    ],
)
def test_seeds(override: str, seeds: tuple[int, ...]) -> None:
    assert ask(override).seeds == seeds


def test_width_is_one_number_or_one_per_layer() -> None:
    assert ask("depth=3", "width=16").cells[0].width == (16, 16, 16)
    assert ask("width=[64,32]").cells[0].width == (64, 32)
    assert ask("depth=0").cells[0].width == ()
    assert [c.width for c in ask("depth=1", "width=[8],[16]").cells] == [(8,), (16,)]


def test_experiments_set_axes_and_values_and_the_command_line_wins() -> None:
    assert [cell.init.name for cell in ask("experiment=d4").cells] == [
        "random", "zero", "gaussian", "xavier", "he", "orthogonal", "sparse", "uniform", "constant", "positive",
    ]  # fmt: skip
    smoke = ask("experiment=smoke")
    assert (smoke.seeds, smoke.cells[0].dataset.name, smoke.name) == ((0, 1), "synthetic", "smoke")
    changed = ask("experiment=smoke", "init=he", "epochs=7", "dataset=digits")
    assert {(c.init.name, c.epochs, c.dataset.name) for c in changed.cells} == {("he", 7, "digits")}


@pytest.mark.full
@pytest.mark.parametrize("name", option_files("experiment"))
def test_every_experiment_composes(name: str) -> None:
    assert ask(f"experiment={name}").cells


@pytest.mark.full
@pytest.mark.parametrize("group", ["dataset", "activation", "init", "bias", "optimizer"])
def test_every_option_composes_and_is_named_as_its_file(group: str) -> None:
    models = ("mlp", "residual_mlp") if group == "init" else ("mlp",)
    cells = [cell for model in models for cell in compose([f"{group}=glob(*)", f"model={model}"])]
    assert {cell[group]["name"] for cell in cells} == set(option_files(group)) - {"own"}
    for cell in cells:
        request([cell])


def test_tables_and_files_agree() -> None:
    assert set(option_files("optimizer")) == set(OPTIMIZERS)
    assert set(option_files("model")) == set(MODELS)
    assert {spec["dataset"]["source"] for spec in compose(["dataset=glob(*)"])} == set(SOURCES)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_option_of_the_optimizers_is_its_declaration(name: str) -> None:
    (plain,) = compose([f"optimizer={name}"])
    assert {key: value for key, value in plain["optimizer"].items() if key != "name"} == OPTIMIZERS[name].defaults


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_brings_its_own_learning_rate(name: str) -> None:
    assert [cell.lr for cell in ask(f"optimizer={name}").cells] == [OPTIMIZERS[name].lr]
    assert [cell.lr for cell in ask(f"optimizer={name}", "lr=0.07").cells] == [0.07]


def test_adam_does_not_train_at_the_learning_rate_of_sgd() -> None:
    cells = ask("optimizer=sgd,adam").cells
    assert [cell.lr for cell in cells][0] == 0.1
    assert cells[1].lr <= 0.01
    # Under the tuned protocol it means nothing.
    assert len(ask("optimizer=sgd,adam", "protocol=tuned").cells) == 2


@pytest.mark.full
def test_every_run_in_the_documents_is_one() -> None:
    top = Path(__file__).parents[1]
    pages = [(top / page).read_text(encoding="utf-8") for page in ("README.md", "docs/command-line.md")]
    told = [line for page in pages for line in page.splitlines() if line.startswith("initbench run ")]
    lines = [shlex.split(line, comments=True) for line in told]
    assert len(lines) >= 10
    for line in lines:
        assert ask(*line[2:]).cells


# What identifies a trial, with a change to each field.
CHANGES = [
    "dataset=synthetic", "dataset.val=0.3", "dataset.test=0.1", "dataset.standardize=feature",
    "depth=3", "width=64", "activation=tanh", "activation=leaky_relu", "init=xavier", "init.gain=1",
    "init.mode=fan_out", "bias=uniform_fan_in", "bias=normal", "init_first=xavier", "init_output=zero",
    "optimizer=adam",
    "optimizer.momentum=0.5", "optimizer.nesterov=true",
    "optimizer.weight_decay=0.1", "lr=0.2", "schedule=linear", "warmup=1", "epochs=3", "batch_size=64",
]  # fmt: skip


def key_of(*overrides: str) -> str:
    (cell,) = ask(*overrides).cells
    return trial_key(cell.identity(0, cell.dataset.sha256 or "unknown"))


@pytest.mark.full
def test_every_scientific_change_changes_the_key_and_no_other_does() -> None:
    keys = {key_of(), *(key_of(change) for change in CHANGES)}
    assert len(keys) == 1 + len(CHANGES)
    for same in (
        "device=cpu",
        "results=elsewhere",
        "dataset.name=other",
        "seeds=3",
        "lr=0.10",
        "epochs=30",
        "width=[128,128]",
    ):
        assert key_of(*same.split()) == key_of()
    (cell,) = ask().cells
    assert trial_key(cell.identity(1, "x")) != trial_key(cell.identity(0, "x")) != trial_key(cell.identity(0, "y"))


def test_the_key_of_the_default_trial_is_the_same_for_ever() -> None:
    # Golden value: a change here orphans every record ever written. Raise RECIPE instead, and know why.
    assert key_of("dataset.split=fixed") == "d975a74b54a8f172b33e8d5c1586498c"
    assert key_of() == "c17b77f2e1f480fbf3c64feef2f50b42"


def test_every_field_of_a_cell_is_in_its_identity_or_a_label() -> None:
    (cell,) = ask().cells
    labels = {"protocol", "stage", "chosen", "settings"}
    assert labels <= set(Asked.__struct_fields__)
    assert {field.name for field in dataclasses.fields(Cell)} - labels <= set(cell.identity(0, "x"))
    json.dumps(cell.identity(0, "x"), allow_nan=False)


# Command line, and what the one line must say.
BAD = {
    "init=xaver": "unknown init 'xaver', did you mean 'xavier'? Choose from: constant, critical, delta_orthogonal,",
    "dataset=minst": "unknown dataset 'minst', did you mean 'mnist'?",
    "activation=tat model=residual_mlp": "activation.negative_slope=auto needs model=mlp or cnn; give a number with",
    "activation=tat activation.eta=1": "activation.eta must be a finite number > 0 and < 1; got 1",
    "activation=tat activation.negative_slope=1": "activation.negative_slope must be a finite number >= 0 and < 1",
    "activation=rlu": "unknown activation 'rlu', did you mean 'relu'?",
    "optimizer=sdg": "unknown optimizer 'sdg', did you mean 'sgd'?",
    "experiment=d5": "unknown experiment 'd5'. Choose from: activation_grid,",
    "model=cnn3": "unknown model 'cnn3'",
    "init=glob(zz*)": "matches nothing; choose from: constant",
    "depht=3": "unknown setting 'depht', did you mean 'depth'?",
    "optimizer.lr=3": "unknown setting 'optimizer.lr', did you mean 'lr'?",
    "model.depth=3": "unknown setting 'model.depth', did you mean 'depth'?",
    "foo.bar=3": "unknown setting 'foo.bar'. Choose from: activation, batch_size,",
    "init.sdt=1 init=gaussian": "unknown setting 'init.sdt', did you mean 'init.std'?",
    "dataset.label=x": "unknown setting 'dataset.label'",
    "+new=1": "unknown setting 'new'",
    "~init": "'~init' is not a setting of an experiment",
    "hydra.run.dir=x": "is not a setting of an experiment",
    "init@other=he": "is not a setting of an experiment",
    "he": "cannot read 'he'; write init=he",
    "nobody": "cannot read 'nobody'; write KEY=VALUE",
    "depth=[1": "cannot read 'depth=[1'",
    "lr=interval(0,1)": "is an interval; list values",
    "results=a,b": "'results' takes one value, got 2",
    "depth=-1": "depth must be a whole number >= 0; got -1",
    "depth=2.5": "depth must be a whole number >= 0; got 2.5",
    "depth=abc": "depth must be a whole number >= 0; got 'abc'",
    "depth=": "depth must be a whole number >= 0; got ''",
    "depth=true": "depth must be a whole number >= 0; got true",
    "width=0": "width must be a whole number >= 1; got 0",
    "width=[3]": "width lists 1 layers but depth is 2",
    "lr=nan": "lr must be a finite number > 0; got NaN",
    "lr=0": "lr must be a finite number > 0; got 0",
    "lr=1e999": "lr must be a finite number > 0; got Infinity",
    "epochs=0": "epochs must be a whole number >= 1; got 0",
    "epochs=1e3": "epochs must be a whole number >= 1; got 1000.0",
    "batch_size=0": "batch_size must be a whole number >= 1; got 0",
    "warmup=-1": "warmup must be a finite number >= 0; got -1",
    "warmup=31": "warmup (31.0 epochs) is longer than the training (30 epochs)",
    "schedule=step": "unknown schedule 'step'. Choose from: constant, cosine, linear",
    "seeds=0": "seeds must be a whole number >= 1; got 0",
    "seeds=-3": "seeds must be a whole number >= 1; got -3",
    "seeds=[]": "seeds is an empty list",
    "seeds=[-1]": "seeds must be a whole number >= 0; got -1",
    "seeds=9999999999": "seeds must be at most 1,000,000; got 9,999,999,999",
    "seeds=ten": "seeds must be a whole number >= 1; got 'ten'",
    "device=gpu": "device must be auto, cpu, cuda or cuda:N; got 'gpu'",
    "results=": "results must be a text; got ''",
    "init=gaussian init.std=-1": "init 'gaussian': std must be >= 0; got -1.0",
    "init=sparse init.k=1.5": "init.k must be a whole number >= 1; got 1.5",
    "init.gain=big": "init.gain must be a finite number, auto, torch or critical; got 'big'",
    "init.gain=torch activation=gelu": "torch has no gain for 'gelu'",
    "init.mode=fan": "unknown init.mode 'fan', did you mean 'fan_in'? Choose from: fan_avg, fan_geo_avg",
    "init.gain=critical bias=uniform_fan_in": "init.gain=critical needs biases of mean 0 and one std",
    "init=critical activation=softplus": "'softplus' has no critical gain beside biases of std 0",
    "init=critical bias=normal bias.std=0.1": "'relu' has no critical gain beside biases of std 0.1",
    "init=he_normal@kears": "unknown init 'he_normal@kears', did you mean 'he_normal@keras'?",
    "init=null": "unknown init 'None'",
    "bias=ones": "unknown bias 'ones'. Choose from: constant, critical, log_prior, normal, uniform_fan_in, zeros",
    "bias=normal bias.std=-1": "bias.std must be a finite number >= 0; got -1",
    "bias.std=1": "unknown setting 'bias.std'",
    "bias=constant bias.valeu=1": "unknown setting 'bias.valeu', did you mean 'bias.value'?",
    "init_output=zreo": "unknown init_output 'zreo', did you mean 'zero'?",
    "init_output=sparse init_output.k=0": "init_output.k must be a whole number >= 1; got 0",
    "init_first.gain=1": "unknown setting 'init_first.gain'",
    "init.law=cauchy": "unknown init.law 'cauchy'. Choose from: constant,",
    "optimizer.momentum=1": "optimizer.momentum must be a finite number >= 0 and < 1; got 1",
    "optimizer.nesterov=1": "optimizer.nesterov must be true or false; got 1",
    "optimizer.nesterov=true optimizer.momentum=0": "needs optimizer.momentum > 0",
    "activation=elu activation.alpha=x": "activation.alpha must be a finite number; got 'x'",
    "dataset.val=0": "dataset.val must be a finite number > 0; got 0",
    "dataset.standardize=no": "unknown dataset.standardize 'no', did you mean 'none'?",
    "dataset.standardize=false": "unknown dataset.standardize 'False'",
    "dataset=npz dataset.path=3": "dataset.path must be a text; got 3",
    "dataset.val=288.7": "dataset.val must be a fraction below 1 or a whole number of samples; got 288.7",
    "dataset.test=1.5": "dataset.test must be a fraction below 1 or a whole number of samples; got 1.5",
    "init=[he,xavier]": "init must be a name, or names with commas between them: init=A,B; got",
    "init={a:1}": "init must be a name, or names with commas between them: init=A,B; got",
    "init=he,[xavier]": "init must be a name, or names with commas between them: init=A,B; got",
    "init=he,glob(x*)": "init must be a name, or names with commas between them: init=A,B; got",
    "init=glob([1])": "'init=glob([1])' has a pattern that is no text",
    f"lr=1{'0' * 400}": "lr must be a finite number > 0; got Infinity",
    f"lr=1{'0' * 5000}": "cannot read 'lr=1000",
    "model=residual_mlp width=[[1],[2]]": "width must be a whole number >= 1; got [1]",
    "results='~nosuch/x'": "results=~nosuch/x: there is no such home folder",
    "dataset=csv dataset.path='~nosuch/x'": "dataset.path=~nosuch/x: there is no such home folder",
    "dataset=mnist dataset.root='~nosuch/x'": "dataset.root=~nosuch/x: there is no such home folder",
    "model=module model.path='~nosuch/x:f'": "model.path=~nosuch/x: there is no such home folder",
    "dataset=csv dataset.path='\udcff.csv'": "has a character that does not print",
    "dataset=csv dataset.path=é.csv": "in quotes of its own: \"dataset.path='my data.csv'\"",
}


@pytest.mark.full
@pytest.mark.parametrize("line", BAD)
def test_bad_settings_are_told_in_one_line(line: str) -> None:
    with pytest.raises(InputError) as error:
        ask(*line.split())
    assert BAD[line] in str(error.value)
    assert "\n" not in str(error.value)


def test_the_configs_are_found_beside_the_package() -> None:
    assert (config_folder() / "config.yaml").is_file()


def test_a_preset_may_have_several_sweeps(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nsweep:\n  - {init: gaussian, init.std: '0.1,0.2'}\n  - {init: he, depth: 3}\n"
    (tmp_path / "experiment" / "two.yaml").write_text(text, encoding="utf-8")
    catalogue = Catalogue.of((), tmp_path)
    found = [
        (cell["init"]["name"], cell["init"].get("std"), cell["depth"])
        for cell in compose(["experiment=two", "depth=1,4"], catalogue)
    ]
    # What the user writes wins over each of them.
    assert found == [
        ("gaussian", 0.1, 1),
        ("gaussian", 0.1, 4),
        ("gaussian", 0.2, 1),
        ("gaussian", 0.2, 4),
        ("he", None, 1),
        ("he", None, 4),
    ]
    assert [cell["depth"] for cell in compose(["experiment=two"], catalogue)] == [2, 2, 3]
