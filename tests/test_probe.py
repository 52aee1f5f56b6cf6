"""Probes of the catalogue: against plain autograd, as records, by name, and on the command line."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from initbench.activations import torch_function
from initbench.analysis.probes import LAYERS, REDUCTIONS, VALUES, Probes, probes_of, select
from initbench.api.run import ask
from initbench.commands.app import main
from initbench.data import samples
from initbench.errors import InputError
from initbench.experiment.plan import trial_of
from initbench.experiment.start import architecture_of, initial
from initbench.models import modules
from initbench.probing import networks, run
from initbench.probing.document import FORMATS, document, text
from initbench.probing.plan import wanted
from initbench.records import index, store
from initbench.records.probe import ProbeRecord
from initbench.render.blocks import Figure, Heading, Paragraph
from initbench.seeding import permutation

QUIET = lambda line: None  # noqa: E731


def probed(folder: Path, *overrides: str) -> Probes:
    _, asked = ask([[*overrides, f"results={folder}"]])
    return run.probe(asked, tell=QUIET)


def by_autograd(overrides: list[str], seed: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The quantities of a perceptron from the module, autograd and torch's optimizer, in float64."""
    _, asked = ask([overrides])
    cell = wanted(asked)[0].cell
    architecture = architecture_of(cell)
    module = modules.build(architecture).double()
    params = {name: torch.tensor(values).double() for name, values in initial(trial_of(cell, seed)).items()}
    module.load_state_dict(params)
    data = samples(cell.dataset, seed)
    rows = data.train[permutation(len(data.train), seed, "order", "epoch.0")][: cell.batch_size]
    x, y = torch.tensor((data.x[rows] - data.mean) / data.std).double(), torch.tensor(data.y[rows])
    x.requires_grad_()
    function = torch_function(cell.activation.name)
    before, h = [], x
    for layer in list(module.layers)[:-1]:
        before.append(layer(h))
        before[-1].retain_grad()
        h = function(before[-1])
    logits = module.layers[-1](h)
    logits.retain_grad()
    loss = nn.functional.cross_entropy(logits, y)
    optimizer = torch.optim.SGD(module.parameters(), lr=cell.lr, momentum=0.9)
    jacobians = torch.stack(
        [torch.autograd.grad(logits[:4, c].sum(), x, retain_graph=True)[0][:4] for c in range(10)], 1
    )
    singular = torch.linalg.svdvals(jacobians)
    for one in (*before, logits):
        one.grad = None
    loss.backward()
    weights = [layer.weight.detach().clone() for layer in module.layers]
    optimizer.step()

    def rms(values: torch.Tensor) -> float:
        return float(values.detach().square().mean().sqrt())

    def cosine(values: torch.Tensor) -> float:
        products = nn.functional.cosine_similarity(values.detach()[:, None], values.detach()[None], dim=2)
        n = len(products)
        return float((products.sum() - products.trace()) / (n * (n - 1)))

    outputs = [*(function(one) for one in before), logits]
    s = [torch.linalg.svdvals(one.detach()) ** 2 for one in outputs]
    layers = {
        "forward_rms": [rms(one) for one in outputs],
        "forward_mean": [float(one.detach().mean()) for one in outputs],
        "preactivation_rms": [rms(one) for one in before],
        "backward_rms": [rms(one.grad) for one in [*before, logits] if one.grad is not None],
        "weight_gradient_rms": [rms(layer.weight.grad) for layer in module.layers],
        "effective_rank": [float(one.sum() ** 2 / (one**2).sum()) for one in s],
        "correlation": [cosine(one) for one in [*before, logits]],
        "update_ratio": [rms(layer.weight - old) / rms(old) for layer, old in zip(module.layers, weights, strict=True)],
    }
    values = {
        "loss": float(loss.detach()),
        "jacobian_max": float(singular.amax(1).mean()),
        "jacobian_min": float(singular.amin(1).mean()),
        "jacobian_mean": float(singular.square().mean(1).sqrt().mean()),
        "jacobian_condition": float((singular.amax(1) / singular.amin(1)).log().mean().exp()),
    }
    return layers, values


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.full
def test_perceptrons_are_measured_as_autograd_has_it(tmp_path: Path, activation: str) -> None:
    overrides = ["init=xavier,random", "depth=3", "width=[60,50,40]", f"activation={activation}", "bias=normal"]
    for record in probed(tmp_path, *overrides, "seeds=[3,8]").records:
        own = [f"init={record.asked.init}", *overrides[1:], f"results={tmp_path}"]
        layers, values = by_autograd(own, record.trial["seed"])
        for name, numbers in layers.items():
            found = record.layers[name][: len(numbers)]
            assert found == pytest.approx(numbers, rel=2e-4, abs=1e-6), (name, record.asked.init)
        for name, number in values.items():
            assert record.values[name] == pytest.approx(number, rel=2e-4), name
    assert record.values["loss_uniform"] == pytest.approx(math.log(10))


def test_units_that_are_all_alike_are_seen(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=constant,zero,he", "depth=3", "width=50", "seeds=2")
    least = dict(
        zip(probes.cells["init"], probes.value("distinct[:-1].min").groupby("cell")["value"].max(), strict=True)
    )
    assert least["constant"] == least["zero"] == pytest.approx(1 / 50)
    assert least["he"] > 0.5
    alive = dict(zip(probes.cells["init"], probes.value("dead.max").groupby("cell")["value"].max(), strict=True))
    assert alive["zero"] == 1
    assert alive["he"] < 0.5


@pytest.mark.parametrize("model", ["cnn", "residual_mlp", "residual_cnn", "mlp"])
@pytest.mark.full
def test_every_model_is_probed(tmp_path: Path, model: str) -> None:
    more = ["model.norm=batch"] if model == "mlp" else []
    probes = probed(tmp_path, f"model={model}", "depth=2", "seeds=2", *more)
    for record in probes.records:
        assert record.outcome == "ok"
        assert all(value is not None and value > 0 for value in record.layers["backward_rms"])
        assert record.values["loss"] is not None
    # The activation is a function in these models, and is seen all the same.
    assert probes.value("saturated.max")["value"].min() > 0


def test_a_stack_of_networks_and_one_alone_have_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = probed(tmp_path / "a", "init=he,xavier", "depth=3", "seeds=3")
    monkeypatch.setattr(networks, "MOST_NUMBERS", 1)
    alone = probed(tmp_path / "b", "init=he,xavier", "depth=3", "seeds=3")
    for one, other in zip(together.records, alone.records, strict=True):
        assert one.key == other.key
        for name, numbers in one.layers.items():
            mine, its = (np.array(values, dtype=float) for values in (numbers, other.layers[name]))
            assert mine == pytest.approx(its, rel=1e-4, abs=1e-6, nan_ok=True), name
    assert len(store.files([tmp_path / "a"])) == 1 < len(store.files([tmp_path / "b"]))


def test_what_is_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = probed(tmp_path, "init=he,xavier", "depth=2", "seeds=2")
    asked: list[int] = []
    measured = networks.measured

    def counting(group: Any, device: Any) -> Any:
        asked.append(len(group))
        return measured(group, device)

    monkeypatch.setattr(networks, "measured", counting)
    again = probed(tmp_path, "init=he,xavier", "depth=2", "seeds=2")
    # What comes after the first step makes no other probe; another name is one more label of the same.
    later = probed(tmp_path, "init=he,xavier", "depth=2", "seeds=2", "epochs=7", "schedule=linear")
    assert asked == []
    assert (
        [one.key for one in first.records] == [one.key for one in again.records] == [one.key for one in later.records]
    )
    assert probed(tmp_path, "init=he", "depth=2", "seeds=3").records[0] == first.records[0]
    assert asked == [1]
    assert len(probed(tmp_path, "init=he", "depth=2", "seeds=1", "lr=0.2")) == 1
    assert asked == [1, 1]


def test_files_of_probes_lie_beside_those_of_trials_and_change_nothing_there(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=he", "depth=1", "seeds=2")
    (file,) = store.files([tmp_path])
    header, lines = store.read(file)
    assert header.kind == "probe"
    assert {line.key for line in lines if isinstance(line, ProbeRecord)} == {one.key for one in probes.records}
    columns, told = index.load([tmp_path])
    assert (len(columns), told) == (0, [])
    assert len(store.load([tmp_path])) == 0
    damaged = file.read_bytes().replace(b'"outcome": "ok"', b'"outcome": "OK"', 1)
    file.write_bytes(damaged)
    with pytest.raises(store.Damaged):
        store.read(file)
    # It counts as not done, and is measured again.
    assert len(probed(tmp_path / "new", "init=he", "depth=1", "seeds=2")) == 2


def test_a_record_whose_key_is_another_is_refused(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=he", "depth=1", "seeds=1")
    (record,) = probes.records
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    forged = ProbeRecord(**{**fields, "key": "0" * 32})
    path = store.publish(tmp_path / "forged", [forged])
    with pytest.raises(store.Damaged, match="not the hash of its identity"):
        store.read(path)


def test_numbers_that_are_not_finite_are_none_and_an_outcome(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=gaussian", "init.std=100", "depth=30", "width=40", "seeds=1")
    (record,) = probes.records
    assert record.outcome == "diverged"
    assert record.values["loss"] is None
    assert record.layers["forward_rms"][0] is not None
    assert record.layers["forward_rms"][-1] is None
    assert math.isnan(probes.value("forward_rms.ratio")["value"][0])
    assert math.isnan(probes.value("forward_rms.max")["value"][0])
    assert probes.value("forward_rms[:3].max")["value"][0] > 1
    json.dumps(record.layers, allow_nan=False)


def test_an_initializer_that_fails_is_a_record_with_its_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("def broken(shape, rng):\n    raise ValueError('no')\n")
    with pytest.raises(SystemExit) as stop:
        main(["probe", "init=he,broken", "seeds=2", "depth=1", f"results={tmp_path}", "--plugin", str(plugin)])
    assert stop.value.code == 3
    out = capfd.readouterr().out
    assert "Could not start: broken:" in out
    assert "2/2" in out


def a_record(**more: Any) -> ProbeRecord:
    _, asked = ask([["init=he", "depth=1", "seeds=1"]])
    (one,) = wanted(asked)
    known = {
        "key": one.key,
        "trial": json.loads(json.dumps(networks.identity(one.cell, one.seed))),
        "asked": one.cell.asked(),
        "outcome": "ok",
        "layers": {"forward_rms": [2.0, 4.0, 1.0, 8.0], "dead": [0.25, 0.0, 0.5, None]},
        "values": {"loss": 2.5, "jacobian_condition": None},
    }
    return ProbeRecord(**(known | more))


def value(name: str, **more: Any) -> float:
    return float(probes_of([a_record(**more)]).value(name)["value"][0])


def test_a_name_is_a_quantity_and_a_reduction_over_layers() -> None:
    expected = {"first": 2, "last": 8, "min": 1, "max": 8, "mean": 3.75, "ratio": 4, "spread": 8}
    assert set(expected) == set(REDUCTIONS)
    for reduction, number in expected.items():
        assert value(f"forward_rms.{reduction}") == number
    assert value("forward_rms[:-1].ratio") == 0.5
    assert value("forward_rms[1:-1].spread") == 4
    assert value("forward_rms[-1:].mean") == 8
    assert value("loss") == 2.5
    # A layer in which there is no such thing is passed over; a number that was not finite is not.
    assert value("dead.last") == 0.5
    assert math.isnan(value("dead.max", outcome="diverged"))
    assert math.isnan(value("jacobian_condition"))
    assert math.isnan(value("correlation.mean"))
    assert value("forward_rms.ratio", layers={"forward_rms": [0.0, 1.0]}) == math.inf
    assert math.isnan(value("forward_rms.ratio", layers={"forward_rms": [0.0, 0.0]}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lost", "did you mean 'loss'"),
        ("forward_rms", "REDUCTION"),
        ("forward_rms.middle", "first, last, min"),
        ("loss.max", "by its name alone"),
        ("", "unknown quantity"),
        ("forward_rms[1].max", "unknown quantity"),
    ],
)
def test_a_name_that_is_none_is_told_in_one_line(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        value(name)
    assert "\n" not in str(error.value)


def test_probes_are_a_tidy_frame_and_are_selected_as_trials_are(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=he,xavier", "depth=1,2", "seeds=2")
    frame = probes.frame()
    assert list(frame.columns) == ["cell", "seed", "quantity", "layer", "value"]
    assert set(frame["quantity"]) == {*LAYERS, *VALUES}
    assert len(frame) == sum(2 * 2 * (len(LAYERS) * (depth + 1) + len(VALUES)) for depth in (1, 2))
    assert set(frame[frame["quantity"] == "loss"]["layer"]) == {0}
    chosen = select(probes, {"init": ["he"], "depth": [2], "seeds": [1]})
    assert [(one.asked.init, one.trial["depth"], one.trial["seed"]) for one in chosen.records] == [("he", 2, 1)]
    assert "schedule" not in probes.cells
    assert "epochs" not in probes.identities[0]
    with pytest.raises(InputError, match="there are records with depth: 1, 2"):
        select(probes, {"depth": [3]})


@pytest.mark.full
def test_the_document_in_every_format(tmp_path: Path) -> None:
    probes = probed(tmp_path, "init=he,zero,positive", "depth=3", "seeds=3")
    blocks = document(probes)
    names = [block.name for block in blocks if isinstance(block, Figure)]
    assert len(names) == len(set(names))
    assert {"forward-1", "backward-1", "plane-1"} <= set(names)
    assert isinstance(blocks[0], Heading)
    assert isinstance(blocks[1], Paragraph)
    assert blocks[0].text == "The answer"
    assert re.match(
        r"Signals and gradients keep their size, within a factor of 10 from end to end, with he\. .*"
        r"Units are copies of each other with zero\. How sure: each is the median of 3 networks",
        blocks[1].text,
    )
    for form in FORMATS:
        shown = text(probes, form)
        assert "he" in shown
        if form != "csv":
            assert not re.search(r"\b(nan|NaN|None|inf)\b", " ".join(shown.split()).replace("a NaN or an", ""))
    assert text(probes, "html").count("<svg") == len(names)
    assert len(text(probes, "csv").splitlines()) == 1 + len(probes.frame())


def test_the_command_says_what_it_would_do_and_does_it_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["probe", "init=he", "depth=2", "seeds=2", f"results={tmp_path}"]
    for more, said in (
        (["--dry-run"], "0 done, 2 to do"),
        ([], "Beside the theory"),
        (["--dry-run"], "2 done, 0 to do"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*line, *more])
        assert stop.value.code == 0
        assert said in capfd.readouterr().out


@pytest.mark.full
def test_figures_are_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["probe", "init=he", "depth=3", "seeds=2", f"results={tmp_path}", "--figures", str(tmp_path / "figures")])
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"forward-1.png", "forward-1.svg", "plane-1.png", "plane-1.svg"} <= written


def test_many_networks_are_few_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred networks of ten initializers and one shape each product is one: what the speed rests on."""
    calls: list[int] = []
    measured = networks.measure

    def counting(architecture: Any, params: Any, x: torch.Tensor, y: Any, step: Any) -> Any:
        calls.append(len(x))
        return measured(architecture, params, x, y, step)

    monkeypatch.setattr(networks, "measure", counting)
    probed(tmp_path, "init=he,xavier,lecun_normal,uniform,random", "depth=5", "width=32", "seeds=4")
    assert calls == [20]
