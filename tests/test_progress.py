"""Progress where stderr is no terminal: a line now and then, whose rate says how fast training is."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from conftest import Answer
from handmade import make_record, recorded

from initbench.experiment import progress
from initbench.experiment.plan import plan
from initbench.experiment.standing import Standing
from initbench.settings.compose import compose
from initbench.settings.request import request


def test_the_rate_counts_from_the_first_step_and_not_from_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine's first run compiles for a while before anything trains."""
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with progress.progress(1_000) as advance:
        now = 60.0
        advance(10)
        now = 65.0
        advance(40)
        now = 70.0
        advance(50)
    assert capsys.readouterr().err == "initbench: training 10%, 10 trial-steps/s, 1:30 left\n"


def test_it_tells_how_many_have_ended_how_many_failed_and_who_is_best() -> None:
    trials = plan(request(compose(["init=he,xavier", "seeds=2"])), {}).trials
    standing = Standing(trials)
    assert standing.text() == "0 of 4 trials"
    made = recorded(
        make_record(init, seed, None if (init, seed) == ("he", 1) else 90)
        for init in ("he", "xavier")
        for seed in (0, 1)
    )
    records = {trial.key: record for trial, record in zip(trials, made, strict=True)}
    alike = {key: msgspec.structs.replace(record, key=key) for key, record in records.items()}
    standing.add(dict(list(alike.items())[:2]))
    assert standing.text() == "2 of 4 trials, 1 failed; best so far: he 75.00 (validation accuracy, %)"
    standing.add(alike)
    said = "4 of 4 trials, 1 failed; best so far: he 75.00, xavier 75.00 (validation accuracy, %)"
    assert standing.text() == said
    both = Standing(plan(request(compose(["dataset=digits,iris", "seeds=1"])), {}).trials)
    both.add(alike)
    assert both.text() == "1 of 2 trials"


def test_status_watches_until_all_is_done(initbench: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("dataset=synthetic", "depth=1", "width=8", "epochs=1", "batch_size=32", "seeds=2")
    assert initbench("run", "init=he", *small).code == 0
    (file,) = Path("results/run/records").glob("*.jsonl")
    content = file.read_bytes()
    file.unlink()
    looks: list[float] = []

    def other_work(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            file.write_bytes(content)

    monkeypatch.setattr(time, "sleep", other_work)
    answer = initbench("status", "--watch")
    assert answer.out.splitlines() == [
        "run: 2 trials: 0 done, 0 running, 2 waiting",
        "run: 2 trials: 2 done, 0 running, 0 waiting",
    ]
    assert len(looks) == 2
