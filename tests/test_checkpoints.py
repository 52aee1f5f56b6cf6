"""Whoever is killed in the middle of a trial and goes on from its checkpoint has the bits of whoever was not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Answer
from interrupted import Killed, Killing, killed_until_whole
from msgspec.structs import replace
from torch import nn
from training import RULES, make_samples, train_many

from initbench.engine import compiled, stacked
from initbench.engine.job import History, Job
from initbench.engine.stacked.perceptrons import MLP
from initbench.engine.stacked.single import SingleModule
from initbench.experiment import checkpoints
from initbench.records import load

Initbench = Callable[..., Answer]
WIDTH, FEATURES, CLASSES = (9, 6), 33, 7


class Normed(nn.Module):
    """Keeps running statistics, and may count its calls beside them."""

    def __init__(self, counts: bool = False) -> None:
        super().__init__()
        self.lower = nn.Linear(FEATURES, WIDTH[0])
        self.norm = nn.BatchNorm1d(WIDTH[0])
        self.output = nn.Linear(WIDTH[0], CLASSES)
        self.unused = nn.Parameter(torch.ones(3))
        self.counts, self.calls, self.function = counts, 0, lambda x: x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.counts
        return self.output(torch.relu(self.norm(self.lower(x)))) / (1 + 0.01 * self.calls)


def train_mlp(job: Job, **options: Any) -> History:
    return stacked.train_each(job, lambda params: MLP(params, job.networks.activation), **options)


def train_stack(job: Job, threads: int = 0, **options: Any) -> History:
    return stacked.train(job, lambda params: MLP(params, job.networks.activation), **options)


def train_module(job: Job, module: nn.Module | None = None, **options: Any) -> History:
    module = module or Normed()
    return stacked.train_each(job, lambda params: SingleModule(module, params, (FEATURES,)), **options)


def normed() -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = Normed().state_dict()
    return {name: np.stack([values.numpy()] * 2) for name, values in state.items()}


ENGINES: dict[str, Callable[..., History]] = {
    "compiled": compiled.train,
    "torch": train_mlp,
    "stack": train_stack,
    "module": train_module,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """These products are too small to be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(engine: str, rule: str, **options: Any) -> History:
    options = {"threads": 1, "epochs": 3, "lr": 0.05 if RULES[rule][0] == "sgd" else 0.002, **options}
    if engine == "module":
        options["params"] = normed()
    return train_many(ENGINES[engine], make_samples(), WIDTH, [0, 3], rule=rule, schedule="cosine", **options)


def equal(a: History, b: History) -> bool:
    parts = [{**history.part(np.arange(2)), **history.params} for history in (a, b)]
    return all(np.array_equal(values, parts[1][name], equal_nan=True) for name, values in parts[0].items())


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rule", RULES)
def test_a_trial_killed_again_and_again_has_the_bits_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, rule: str
) -> None:
    whole = trained(engine, rule)
    # Compiled code comes back after every step.
    monkeypatch.setattr(sys.modules["initbench.engine.compiled.train"], "_CALL_FLOPS", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # Seven steps in a life: one ends within an epoch, at its end, and with the other trial begun.
    again, lives, found = killed_until_whole(tmp_path, 2, 7, lambda kept: trained(engine, rule, checkpoints=kept))
    # 3 epochs of 5 steps, of two trials one after the other or of one stack.
    assert lives >= (2 if engine == "stack" else 4)
    assert found >= lives - 2
    assert equal(whole, again)


@pytest.mark.parametrize("engine", ["compiled", "torch", "stack"])
def test_a_trial_that_diverged_is_not_trained_again(tmp_path: Path, engine: str) -> None:
    options: dict[str, Any] = {"lr": [1e30, 0.05], "epochs": 4}
    whole = trained(engine, "momentum", **options)
    assert whole.diverged_at[0] >= 0 > whole.diverged_at[1]
    # The first has ended, the other is at work.
    killed = Killing(tmp_path, 2, after={"compiled": 3, "torch": 10, "stack": 17}[engine])
    with pytest.raises(Killed):
        trained(engine, "momentum", checkpoints=killed, **options)
    kept = Killing(tmp_path, 2, after=np.inf)
    assert equal(whole, trained(engine, "momentum", checkpoints=kept, **options))
    assert kept.found == (1 if engine == "stack" else 2)


def test_progress_begins_where_the_checkpoint_is(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained("torch", "momentum", checkpoints=Killing(tmp_path, 2, after=7))
    counted: list[int] = []
    trained("torch", "momentum", checkpoints=Killing(tmp_path, 2, after=np.inf), progress=counted.append)
    assert sum(counted) == 2 * 3 * 5
    assert max(counted) >= 8


def test_a_module_that_keeps_more_than_tensors_is_trained_from_its_beginning(tmp_path: Path) -> None:
    engine = partial(train_module, module=Normed(counts=True))
    train = partial(train_many, engine, make_samples(), WIDTH, [0, 3], params=normed(), threads=1)
    whole = train()
    with pytest.raises(Killed):
        train(checkpoints=Killing(tmp_path, 2, after=7))
    assert not list(tmp_path.iterdir())
    assert equal(whole, train(checkpoints=Killing(tmp_path, 2, after=np.inf)))


def test_nothing_is_written_before_it_is_time(tmp_path: Path) -> None:
    trained("torch", "momentum", checkpoints=Killing(tmp_path, 2, after=np.inf, seconds=3600))
    assert not list(tmp_path.iterdir())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _flipped_in_its_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"tested", b"tasted"))


def _of_another_trial(path: Path) -> None:
    other = next(one for one in sorted(path.parent.iterdir()) if one != path)
    path.write_bytes(other.read_bytes())


def _link(path: Path) -> None:
    os.symlink(path.rename(path.with_name("elsewhere")), path)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink()
    os.symlink("/dev/zero", path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [_cut, _longer, _flipped, _flipped_in_its_line, _of_another_trial, _link, _pipe, _device, _empty, _folder]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_is_no_checkpoint_of_these_trials_is_ignored_and_removed(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    whole = trained("compiled", "momentum")
    with pytest.raises(Killed):
        trained("compiled", "momentum", checkpoints=Killing(tmp_path, 2, after=5))
    first, second = sorted(tmp_path.iterdir())
    damage(first)
    kept = Killing(tmp_path, 2, after=np.inf, seconds=3600)
    assert equal(whole, trained("compiled", "momentum", checkpoints=kept))
    assert kept.found == 1
    assert first.exists() == (damage is _folder)
    assert second.exists()


def test_a_checkpoint_of_another_processor_stays_for_that(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained("compiled", "momentum", checkpoints=Killing(tmp_path, 2, after=5))
    there = sorted(tmp_path.iterdir())
    here = Killing(tmp_path, 2, after=np.inf, seconds=3600)
    here._computed = {"engine": "another"}
    trained("compiled", "momentum", checkpoints=here)
    assert (here.found, sorted(tmp_path.iterdir())) == (0, there)


def test_a_folder_that_cannot_be_written_costs_no_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Killing(tmp_path / "file" / "checkpoints", 2, after=np.inf)
    assert equal(trained("compiled", "momentum"), trained("compiled", "momentum", checkpoints=kept))


def test_only_what_belongs_to_finished_trials_is_swept(tmp_path: Path) -> None:
    done, other = "0" * 32, "1" * 32
    records, folder = tmp_path / "records", tmp_path / "checkpoints"
    folder.mkdir()
    for name in (f"{done}-a.state", f".{done}-a.state.b.tmp", f"{other}-a.state", f".{other}-a.b.tmp", "notes"):
        (folder / name).touch()
    checkpoints.sweep(records, lambda: {done})
    assert {path.name for path in folder.iterdir()} == {f"{other}-a.state", f".{other}-a.b.tmp", "notes"}
    (folder / "notes").unlink()
    checkpoints.sweep(records, lambda: {other})
    assert not folder.exists()


@pytest.mark.full
def test_the_next_run_sweeps_what_a_kill_left_of_finished_trials(initbench: Initbench) -> None:
    arguments = ["init=he", "epochs=1", "dataset=synthetic", "results=r"]
    assert initbench("run", *arguments, "seeds=1").code == 0
    (key,) = load([Path("r")]).records
    folder = Path("r/run/checkpoints")
    folder.mkdir()
    for name in (f"{key}-a.state", f".{key}-a.b.tmp", f"{'0' * 32}-a.state"):
        (folder / name).touch()
    assert initbench("run", *arguments, "seeds=1").code == 0
    assert [path.name for path in folder.iterdir()] == [f"{'0' * 32}-a.state"]


# A sweep that is killed right after its third checkpoint, or within the writing of it.
KILLED = """
import os, signal, stat, sys, time
from functools import partial
from pathlib import Path
import torch
from initbench.experiment import checkpoints, chunks, train
from initbench.experiment.plan import plan
from initbench.settings.compose import compose
from initbench.settings.request import request

left, fsync = 3, os.fsync

def killing(descriptor):
    global left
    left -= stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    fsync(descriptor)

os.fsync, checkpoints.Files.share = killing, 0
asked = request(compose(sys.argv[1:]))
cpu = torch.device("cpu")
kept = partial(checkpoints.Files, checkpoints.folder_of(asked.folder), seconds=0)
(chunk,) = chunks.chunks(plan(asked, {}).todo, cpu)
train.train(chunk, cpu, lambda n_steps: None, kept)
"""

MODULE = """
from torch import nn

def net(sample_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, n_classes))
"""


@pytest.fixture
def sweeps(tmp_path: Path) -> dict[str, list[str]]:
    (tmp_path / "net.py").write_text(MODULE)
    common = ["epochs=3", "seeds=1", "dataset=digits"]
    return {
        "compiled": [*common, "init=he", "width=16"],
        "torch": [*common, "init=he", "model=module", "model.path=net.py:net"],
        "initializer": [*common, "init=pretrain_denoising", "init.epochs=3", "width=16"],
    }


@pytest.mark.full
@pytest.mark.parametrize("engine", ["compiled", "torch", "initializer"])
def test_a_run_that_was_killed_within_its_only_trial_goes_on(
    initbench: Initbench, sweeps: dict[str, list[str]], engine: str
) -> None:
    arguments = sweeps[engine]
    assert initbench("run", *arguments, "results=whole").code == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments, "results=killed"], stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    folder = Path("killed/run/checkpoints")
    assert sorted(path.suffix for path in folder.iterdir()) == [".state", ".tmp"]
    again = initbench("run", *arguments, "results=killed", "--debug")
    assert again.code == 0
    assert "goes on from" in again.err
    assert not folder.exists()
    (whole,), (resumed,) = (load([Path(name)]).records.values() for name in ("whole", "killed"))
    if engine == "initializer":
        # Its seconds are those on the wall.
        assert whole.init_cost is not None
        assert resumed.init_cost is not None
        resumed = replace(resumed, init_cost=replace(resumed.init_cost, seconds=whole.init_cost.seconds))
    assert whole == resumed
