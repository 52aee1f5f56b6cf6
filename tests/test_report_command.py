"""The command below a section trains its trials: it is parsed, planned, and held against their keys."""

import shlex

import pytest
from handmade import trials_of_plan

from initbench.experiment.plan import plan
from initbench.render.blocks import Code
from initbench.report.command import merged
from initbench.report.document import Options, document
from initbench.settings.compose import compose
from initbench.settings.request import request

SWEEPS = {
    "one": "init=he",
    "parameters": "init=he,xavier init.gain=2",
    "parameters swept": "init=he,gaussian init.std=0.1,0.3,0.123456789",
    "all": "init=glob(*)",
    "an adam": "init=he optimizer=adam optimizer.beta1=0.8 lr=0.003 width=[32,16,8] depth=3 seeds=[0,5]",
    "data": "init=he dataset.val=0.1,0.3 dataset.standardize=none",
    "norms": "init=he,xavier model.norm=none,layer",
    "blocks": "init=he,fixup model=residual_mlp model.layers=2,3",
    "biases": "init=he,torch_default bias=zeros,normal,constant",
    "a bias's value": "init=he bias=constant bias.value=0.1,0.2",
    "the first layer": "init=he,xavier init_first=gaussian init_first.std=0.1,0.2",
    "the output layer": "init=he init_output=zero,null,torch_default",
    "critical": "init=critical,orthogonal_auto activation=tanh,relu",
    "slopes": "init=he activation=leaky_relu,relu activation.negative_slope=0.1,0.3",
    "momenta": "init=he optimizer=sgd,adam optimizer.momentum=0,0.9 optimizer.weight_decay=0.001",
    "models": "init=he model=mlp,residual_mlp",
    "depths": "init=he,xavier depth=0,2,5",
    "schedules": "init=he schedule=linear,cosine warmup=0,2 epochs=3,4 batch_size=32,64",
    "tuned": "init=he protocol=tuned,fixed protocol.search.lr=[0.01,0.1] lr=0.3",
    "views": "init=he_normal@torch,he_normal@keras,default@torch",
}
COMPARED = [
    *((name, "init") for name in SWEEPS),
    *(("momenta", by) for by in ("optimizer", "optimizer.momentum")),
    *(("slopes", by) for by in ("activation", "activation.negative_slope")),
    *(("tuned", by) for by in ("protocol", "lr")),
    *(("biases", by) for by in ("bias", "bias.value")),
    *(("the output layer", by) for by in ("init_output", "init_output.value")),
    *(("parameters", by) for by in ("init.gain", "stage")),
    *((f"{by}s", by) for by in ("model", "depth")),
    *(("schedules", by) for by in ("warmup", "epochs", "schedule", "batch_size")),
]


@pytest.mark.full
@pytest.mark.parametrize(("name", "by"), COMPARED)
def test_the_commands_of_a_section_ask_for_its_trials(name: str, by: str) -> None:
    wanted = request(compose(SWEEPS[name].split()))
    # Of a tuned cell the final trials are known once its search is done.
    done = dict.fromkeys((trial.key for trial in plan(wanted, {}).trials), 0.5)
    planned = plan(wanted, done).trials
    blocks = document(trials_of_plan(planned), Options(by=by))
    codes = ["\n".join(block.lines) for block in blocks if isinstance(block, Code)]
    asked = set()
    for line in "\n".join(codes).splitlines():
        words = shlex.split(line)
        assert words[:2] == ["initbench", "run"]
        asked |= {trial.key for trial in plan(request(compose(words[2:])), done).trials}
    assert asked == {trial.key for trial in planned}


def test_a_sweep_over_one_setting_is_one_command() -> None:
    planned = plan(request(compose(["init=he,xavier,gaussian", "lr=0.1,0.2", "seeds=2"])), {}).trials
    code = next(block for block in document(trials_of_plan(planned), Options(by="lr")) if isinstance(block, Code))
    assert "lr=0.1,0.2 " in code.lines[0]
    assert len(code.lines) == 1


def test_techniques_with_other_seeds_have_a_command_of_their_own() -> None:
    planned = [
        trial
        for words in ("init=he,gaussian seeds=3", "init=xavier seeds=[0,5]")
        for trial in plan(request(compose(words.split())), {}).trials
    ]
    (code,) = ["\n".join(block.lines) for block in document(trials_of_plan(planned)) if isinstance(block, Code)]
    asked = [plan(request(compose(shlex.split(line)[2:])), {}).trials for line in code.splitlines()]
    assert {trial.key for trials in asked for trial in trials} == {trial.key for trial in planned}
    assert sorted(map(len, asked)) == [2, 6]


def test_products_are_merged_as_far_as_they_go() -> None:
    points = [{"a": (a,), "b": (b,)} for a in "12" for b in "xyz"]
    assert merged(points) == [{"a": ("1", "2"), "b": ("x", "y", "z")}]
    assert merged([*points[:-1], {"c": ("1",)}]) == [
        {"a": ("1",), "b": ("x", "y", "z")}, {"a": ("2",), "b": ("x", "y")}, {"c": ("1",)},
    ]  # fmt: skip
