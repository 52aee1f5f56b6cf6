"""Models on the command line: every one of ours, those of users, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import stored
from own_model import OWN, own

from initbench.errors import InputError
from initbench.experiment.plan import Trial, plan
from initbench.experiment.start import initial
from initbench.settings.compose import compose
from initbench.settings.request import request


def trials(*overrides: str) -> list[Trial]:
    return list(plan(request(compose(["seeds=1", *overrides])), ()).trials)


@pytest.mark.full
@pytest.mark.parametrize(
    "model", ["cnn", "residual_mlp", "residual_cnn", "mlp model.norm=layer", "mlp model.norm=batch", "module"]
)
def test_every_model_from_the_command_line(model: str, initbench: Callable[..., Any], tmp_path: Path) -> None:
    path = [f"model.path={own(tmp_path)}"] if model == "module" else []
    small = ["width=8", "epochs=2", "seeds=2", "init=he,zero"] + (["model.channels=4"] if "cnn" in model else [])
    line = ["run", *f"model={model}".split(), *path, *small]
    before = torch.get_rng_state()
    answer = initbench(*line)
    assert answer.code == 0, answer.err
    found = list(stored().values())
    assert len(found) == 4
    for record in found:
        assert record["trial"]["model"]["name"] == model.split()[0]
        assert record["outcome"] == "ok"
        assert len(record["history"]["train_loss"]) == 2
        assert record["weights"]["initial"] != record["weights"]["final"]
    assert "nothing to train" in initbench(*line).err
    assert torch.equal(torch.get_rng_state(), before)
    alone = initbench(*[word for word in line if "init=" not in word], "init=he", "seeds=[1]", "results=alone")
    assert alone.code == 0
    (record,) = stored("alone").values()
    (same,) = [other for other in found if other["key"] == record["key"]]
    assert record["weights"] == same["weights"]
    assert record["history"] == same["history"]


@pytest.mark.full
def test_a_pattern_means_the_initializers_that_can_serve() -> None:
    def names(*overrides: str) -> set[str]:
        return {cell["init"]["name"] for cell in compose(["init=glob(*)", *overrides])}

    assert names("model=residual_mlp") - names() == {"fixup", "rezero", "skipinit"}
    # For dense weights alone, and with more weights a unit than a filter of a grey image has.
    assert names("model=residual_mlp") - names("model=residual_cnn") == {"identity", "sparse", "tanh_identity"}
    assert {cell["init"]["name"] for cell in compose(["init=glob(rez*)"])} == {"rezero"}
    assert names("model=residual_cnn") - names("model=cnn") == {"fixup", "rezero", "skipinit"}
    assert "sparse" in names("model=cnn", "init.k=9")
    assert "identity" in names("model=cnn", "depth=0")


@pytest.mark.full
def test_a_law_that_gives_a_transposed_view_trains_alone_as_among_others(initbench: Callable[..., Any]) -> None:
    small = ["model=cnn", "model.channels=4", "epochs=1", "seeds=1"]
    assert initbench("run", *small, "init=delta_orthogonal", "results=alone").code == 0
    assert initbench("run", *small, "init=delta_orthogonal,he", "results=both").code == 0
    (alone,), both = (stored(folder).values() for folder in ("alone", "both"))
    assert alone["weights"] in [record["weights"] for record in both]


def test_the_key_of_a_module_is_its_code_and_not_its_place(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    keys = [
        trials("model=module", f"model.path={own(folder, text)}")[0].key
        for folder, text in ((tmp_path, OWN), (tmp_path / "elsewhere", OWN), (tmp_path, OWN + "\n# changed"))
    ]
    assert keys[0] == keys[1] != keys[2]
    (trial,) = trials("model=module", f"model.path={own(tmp_path)}", "depth=7", "width=3")
    assert str(tmp_path) not in json.dumps(trial.identity)
    assert (trial.identity["depth"], trial.identity["width"]) == (0, [])


BAD = {
    "model=cnn dataset=synthetic": "model=cnn needs images, and a sample of 'synthetic' is a row of 16 numbers",
    "model=residual_cnn dataset=synthetic": "model=residual_cnn needs images",
    "model=cnn model.channels=0": "model.channels must be a whole number >= 1; got 0",
    "model=cnn model.kernel=4": "model.kernel must be one of 1, 3, 5, 7; got 4",
    "model=lstm dataset=text model.norm=batch": "unknown setting 'model.norm'",
    "model.norm=bacth": "unknown model.norm 'bacth', did you mean 'batch'? Choose from: batch, layer, none",
    "model=residual_mlp depth=0": "model=residual_mlp needs depth >= 1; got 0",
    "model=residual_mlp width=[3,4]": "model=residual_mlp has one width for all layers; got [3, 4]",
    "model=residual_mlp init=fixup model.layers=1": "init 'fixup' needs model.layers >= 2; got 1",
    "init=fixup": "init 'fixup' is for residual branches, and model=mlp has none; use model=residual_mlp or model=res",
    "init.scheme=zero": "unknown init.scheme 'zero', did you mean 'rezero'? Choose from: fixup, last_zero",
    "init_first=rezero": "init_first 'rezero' is for the branches of a whole network; use init=rezero",
    "model.norm=batch batch_size=1": "model=mlp on 1 sample: ValueError: Expected more than 1 value per channel",
    # 1,150 training samples.
    "model.norm=batch batch_size=383": "model=mlp on 1 sample: ValueError: Expected more than 1 value per channel",
    "model=module": "model=module needs model.path=FILE.py:FUNCTION; got null",
    "model=module model.path=own.py": "model=module needs model.path=FILE.py:FUNCTION; got 'own.py'",
    "model=module model.path=none.py:net": "model.path: cannot read none.py: No such file",
    "model=module model.path=own.py:nett": "own.py has no function 'nett'",
    "model=module model.path=syntax.py:net": "syntax.py:net: SyntaxError: ",
    "model=module model.path=raises.py:net": "raises.py:net: RuntimeError: no idea",
    "model=module model.path=number.py:net": "number.py:net must return an nn.Module; got int",
    "model=module model.path=shape.py:net": "shape.py:net must return logits of shape (126, 10); got (126, 7)",
    "model=module model.path=fails.py:net": "fails.py:net on 126 samples: RuntimeError: ",
    "model=module model.path=double.py:net": "double.py:net: 1.weight is not of type float32",
    "model=module model.path=number_out.py:net": "number_out.py:net must return logits of shape (126, 10); got int",
    "model=module model.path=exits.py:net": "exits.py:net: SystemExit: 0",
    "model=module model.path=exits_later.py:net": "exits_later.py:net on 126 samples: SystemExit: 0",
    "model=module model.path=detached.py:net": "detached.py:net cannot be trained: RuntimeError: element 0 of tensors",
    "model=module model.path=in_place.py:net": "in_place.py:net cannot be trained: RuntimeError: one of the variables",
    "model=module model.path=train_only.py:net": "train_only.py:net on 126 samples: AssertionError",
    "model=module model.path=numpys.py:net": "numpys.py:net draws random numbers in evaluation",
    "model=module model.path=pythons.py:net": "pythons.py:net draws random numbers in evaluation",
    "width=1000000": "ran out of memory: model=mlp: RuntimeError: ",
    "model=module model.path=none_to_draw.py:net": "none_to_draw.py:net has no weight that an initializer could draw",
    "model=module model.path=none_at_all.py:net": "none_at_all.py:net has no weight that an initializer could draw",
}  # fmt: skip
FILES = {
    "own": OWN,
    "syntax": "def net(:",
    "raises": "def net(shape, classes):\n    raise RuntimeError('no\\nidea')",
    "number": "def net(shape, classes):\n    return 3",
    "shape": "from torch.nn import *\nnet = lambda shape, classes: Sequential(Flatten(), Linear(64, 7))",
    "fails": "from torch.nn import *\nnet = lambda shape, classes: Sequential(Flatten(), Linear(63, 7))",
    "double": "from torch.nn import *\nnet = lambda s, n: Sequential(Flatten(), Linear(64, n).double())",
    "exits": "def net(shape, classes):\n    raise SystemExit(0)",
    **{
        name: f"""
import random
import numpy as np
from torch import nn
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(64, classes)
    def forward(self, x):
        h = self.layer(x.flatten(1))
        {line}
def net(shape, classes):
    return Net(classes)
"""
        for name, line in {
            "number_out": "return 3",
            "exits_later": "raise SystemExit(0)",
            "detached": "return h.detach()",
            "in_place": "y = h.sigmoid(); z = y * 2; y.add_(1); return z",
            "train_only": "assert self.training; return h",
            "numpys": "return h * np.random.random()",
            "pythons": "return h * random.random()",
        }.items()
    },
    "none_at_all": "from torch.nn import *\nnet = lambda s, n: Sequential(Flatten(), AdaptiveAvgPool1d(n))",
    "none_to_draw": "from torch.nn import *\n"
    "net = lambda s, n: Sequential(Flatten(), AdaptiveAvgPool1d(n), BatchNorm1d(n))",
}


@pytest.mark.full
@pytest.mark.parametrize("line", BAD)
def test_bad_models_are_told_in_one_line_before_any_work(line: str, initbench: Callable[..., Any]) -> None:
    for name, text in FILES.items():
        Path(f"{name}.py").write_text(text)
    answer = initbench("run", *line.split(), "seeds=1", "epochs=1")
    assert answer.code == 2, answer.err
    assert answer.err.startswith(f"initbench: error: {BAD[line]}")
    assert answer.err.count("\n") == 1
    assert not Path("results").exists()


def test_a_layer_that_is_none_of_torchs_is_named_and_a_single_sample_may_fail(
    initbench: Callable[..., Any], tmp_path: Path
) -> None:
    text = """
from torch import nn
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.normed = nn.utils.spectral_norm(nn.Linear(64, 8))
        self.output = nn.Linear(8, classes)
    def forward(self, x):
        assert len(x) > 1
        return self.output(self.normed(x.flatten(1)).relu())
def net(shape, classes):
    return Net(classes)
"""
    line = ["model=module", f"model.path={own(tmp_path, text)}", "seeds=1", "epochs=1", "batch_size=100"]
    answer = initbench("run", *line, "init=he,xavier")
    assert answer.code == 0, answer.err
    note = "initbench: note: normed.weight_orig of shape (8, 64) keeps the module's own values"
    assert [line for line in answer.err.splitlines() if "note:" in line] == [note]


def test_initializers_that_train_make_a_chunk_shorter() -> None:
    """What a kill may cost is time, and a network that is trained layer by layer before takes more of it."""
    from initbench.experiment import chunks

    cpu = torch.device("cpu")
    asked = request(compose(["init=he,pretrain_autoencoder", "init.epochs=100", "epochs=1", "seeds=500"]))
    todo = plan(asked, ()).todo
    made = chunks.chunks(todo, cpu)
    assert sorted(trial.key for chunk in made for trial in chunk) == sorted(trial.key for trial in todo)
    alone = chunks.chunks([trial for trial in todo if trial.cell.init.name == "he"], cpu)
    assert max(map(len, alone)) > 5 * max(map(len, made))
    assert max(map(chunks.n_steps, made)) < 2 * max(map(chunks.n_steps, alone))


def test_a_chunk_is_as_large_as_it_may_be_and_no_larger() -> None:
    from initbench.experiment import chunks

    cpu = torch.device("cpu")
    few, many = (["init=he", "epochs=1000", f"seeds={seeds}"] for seeds in (1, 1000))
    size = chunks.chunk_size(plan(request(compose(few)), ()).todo[0].cell, cpu)
    sizes = [len(chunk) for chunk in chunks.chunks(plan(request(compose(many)), ()).todo, cpu)]
    assert set(sizes[:-1]) == {size}
    assert sum(sizes) == 1000 > size >= sizes[-1]


def test_few_chunks_of_several_workers_are_as_many_and_as_large_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from initbench.experiment import chunks

    monkeypatch.setenv("INITBENCH_THREADS", "1")
    monkeypatch.setattr(chunks, "_CHUNK_SECONDS", 0.01)
    cpu = torch.device("cpu")

    def sizes(n_trials: int, workers: int) -> list[int]:
        todo = plan(request(compose(["init=he", "epochs=1", "depth=2", f"seeds={n_trials}"])), ()).todo
        return [len(chunk) for chunk in chunks.chunks(todo, cpu, workers)]

    size = sizes(10_000, 1)[0]
    assert sizes(3 * size - 2, 1) == [size, size, size - 2]
    equal = sizes(3 * size - 2, 2)
    assert len(equal) == 4
    assert max(equal) - min(equal) <= 1
    assert sum(equal) == 3 * size - 2
    # One more for each of so many would be nothing.
    assert sizes(2, 3) == [2]
    # Of many chunks it makes no difference who trains the last ones.
    assert sizes(12 * size - 2, 2) == sizes(12 * size - 2, 1)


def test_a_chunk_of_a_dear_network_is_small() -> None:
    from initbench.experiment import chunks

    cpu = torch.device("cpu")
    (cheap,), (dear,) = (trials("model=cnn", f"model.channels={channels}", "depth=8") for channels in (2, 256))
    assert chunks.chunk_size(cheap.cell, cpu) > 8 * chunks.chunk_size(dear.cell, cpu)


def test_the_own_start_is_what_the_module_makes_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "import torch\nfrom torch import nn\n\ndef net(shape, classes):\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))\n"
        "    nn.init.constant_(net[1].bias, 0.25)\n    return net\n"
    )
    one, other = trials("init=own", "model=module", f"model.path={file}:net", "dataset=digits", "seeds=2")
    first, second = initial(one), initial(other)
    assert (first["1.bias"] == 0.25).all()
    # Each seed has a module of its own.
    assert not (first["1.weight"] == second["1.weight"]).all()
    assert first["1.weight"].std() == pytest.approx(1 / (3 * 64) ** 0.5, rel=0.1)
    with pytest.raises(InputError, match="is what a module of yours makes of itself"):
        trials("init=own")
