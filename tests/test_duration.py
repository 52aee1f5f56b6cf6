"""How long a plan takes: by what others like its trials took on this machine, and nothing where that is not known."""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Answer
from handmade import HEADER, make_record, recorded

from initbench import records
from initbench.experiment.duration import about, spelled
from initbench.experiment.plan import Trial, plan
from initbench.processors import processor
from initbench.records.schema import Environment
from initbench.settings.compose import compose
from initbench.settings.request import request

HERE = {"system": f"{platform.system()} {platform.machine()}", "processor": processor(), "device": "cpu"}


def planned(*overrides: str) -> tuple[Trial, ...]:
    return plan(request(compose([*overrides, "dataset=digits", "epochs=10"])), {}).trials


def publish(trials: tuple[Trial, ...], finished: str, **where: Any) -> None:
    """Records of these trials, of a chunk that began at noon."""
    (one,) = recorded([make_record()])
    made = [msgspec.structs.replace(one, key=one_of.key, trial=one_of.identity) for one_of in trials]
    environment = Environment(**{**HERE, **where})
    records.publish(Path("results/run/records"), made, "2026-01-01T12:00:00+00:00", finished, environment)


def test_trials_like_others_take_as_long_as_they_did() -> None:
    publish(planned("depth=2", "seeds=4"), "2026-01-01T12:01:20+00:00")
    # 80 seconds for 4 trials of 10 epochs: 20 a trial, whatever its initializer and learning rate.
    alike = planned("depth=2", "init=he,xavier", "lr=0.1,0.2", "seeds=3")
    assert about(alike, Path("results")) == "about 4 min, as others like them took on this machine"
    half = planned("depth=2,5", "seeds=3")
    told = "about 60 s for 3 trials, as others like them took on this machine; for 3 it is not known"
    assert about(half, Path("results")) == told
    unknown = "how long it takes is not known: nothing like it was trained on this machine yet"
    assert about(planned("depth=5", "seeds=3"), Path("results")) == unknown
    assert about((), Path("results")) == ""


def test_another_machine_tells_nothing_of_this_one() -> None:
    publish(planned("seeds=4"), "2026-01-01T12:01:20+00:00", processor="another")
    assert about(planned("seeds=4"), Path("results")).startswith("how long it takes is not known")
    publish(planned("seeds=2"), str(HEADER["finished"]), processor="a GPU", device="cuda")
    assert about(planned("seeds=4"), Path("results")).startswith("about ")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 0 min"), (5000, "1 h 23 min")]
)
def test_times_are_spelled(seconds: float, said: str) -> None:
    assert spelled(seconds) == said


def test_a_plan_says_it(initbench: Callable[..., Answer]) -> None:
    assert "is not known" in initbench("run", "--dry-run").out.splitlines()[-1]
    publish(planned("seeds=4"), "2026-01-01T12:01:20+00:00")
    said = initbench("run", "--dry-run", "epochs=10", "seeds=8").out.splitlines()[-1]
    assert said == "about 80 s, as others like them took on this machine"
