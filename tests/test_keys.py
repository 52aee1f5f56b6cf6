"""Keys: the plain definition, and the ways to many of them that are cheaper and must not say anything else."""

import random
from pathlib import Path
from typing import Any

import pytest

from initbench import records
from initbench.experiment.plan import plan
from initbench.settings.compose import compose
from initbench.settings.request import request
from initbench.trial import trial_key, trial_keys

PUBLISHED = Path(__file__).parents[1] / "results" / "published"


@pytest.mark.full
def test_every_published_record_has_the_key_of_its_identity() -> None:
    loaded = records.load([PUBLISHED, *PUBLISHED.iterdir()])
    assert not loaded.damaged
    assert len(loaded) > 4_000
    for key, record in loaded.records.items():
        assert key == trial_key(record.trial) == trial_keys(record.trial)(record.trial["seed"])


@pytest.mark.parametrize(
    "others", [{}, {"a": 1}, {"z": 1}, {"a": {"seed": 3}, "seec": "é\ud800", "seef": [1e-7, None]}]
)
def test_the_keys_of_a_setting_are_those_of_its_trials(others: dict[str, Any]) -> None:
    names = list(others)
    random.Random(0).shuffle(names)
    key_of = trial_keys({name: others[name] for name in names})
    for seed in (0, 7, 2**32, 2**64 - 1):
        assert key_of(seed) == trial_key(others | {"seed": seed}) == trial_keys(others | {"seed": 1})(seed)


def test_a_planned_trial_has_the_key_of_its_identity() -> None:
    asked = request(compose(["init=glob(he*)", "activation=relu,tanh", "protocol=tuned,fixed", "seeds=[0,3]"]))
    trials = plan(asked, {}).trials
    assert len({trial.key for trial in trials}) > 20
    for trial in trials:
        assert trial.key == trial_key(trial.identity)
        assert trial.identity["seed"] == trial.seed
