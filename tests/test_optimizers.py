"""What every optimizer's file must declare, and that its rule is compiled once and found again."""

import subprocess
import sys
from pathlib import Path

import pytest
from training import make_samples, train_many

from initbench.engine import compiled
from initbench.engine.optimizers import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hyperparameters_are_the_fields_of_their_type(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    values = optimizer.hyper(**optimizer.defaults)
    assert type(values)._fields == tuple(parameter.name for parameter in optimizer.parameters)
    for parameter, value in zip(optimizer.parameters, values, strict=True):
        assert parameter.check(value, parameter.name) == value
        assert parameter.help


def test_the_types_of_hyperparameters_have_names_of_their_own() -> None:
    # Compiled code tells them apart by their names.
    assert len({optimizer.hyper.__name__ for optimizer in OPTIMIZERS.values()}) == len(OPTIMIZERS)


def test_nesterov_needs_momentum() -> None:
    refusal = OPTIMIZERS["sgd"].refusal
    assert refusal({"momentum": 0.0, "nesterov": True}) == "optimizer.nesterov=true needs optimizer.momentum > 0"
    assert refusal({"momentum": 0.0, "nesterov": False}) is None
    assert refusal({"momentum": 0.9, "nesterov": True}) is None


def test_the_declarations_need_neither_torch_nor_numba() -> None:
    code = (
        "import sys, initbench.engine.optimizers as o; print(len(o.OPTIMIZERS), {'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(len(OPTIMIZERS)), "set()"]


AGAIN = """
from training import make_samples, train_many
from initbench.engine import compiled
from initbench.engine.compiled import perceptron, rules

history = train_many(compiled.train, make_samples(), (8,), [0], rule="{rule}", epochs=1)
used = [perceptron.train_steps, perceptron.evaluate, *rules._UPDATES.values()]
print(sum(sum(one.stats.cache_misses.values()) for one in used))
print(sum(perceptron.train_steps.stats.cache_hits.values()))
print(repr(float(history.train_loss[0, 0])))
"""


@pytest.mark.full
@pytest.mark.parametrize("rule", ["momentum", "adamw"])
def test_another_process_does_not_compile_again(rule: str) -> None:
    here = train_many(compiled.train, make_samples(), (8,), [0], rule=rule, epochs=1)
    command = [sys.executable, "-c", AGAIN.format(rule=rule)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
    misses, hits, loss = done.stdout.split()
    assert (misses, hits) == ("0", "1")
    assert float(loss) == here.train_loss[0, 0]
