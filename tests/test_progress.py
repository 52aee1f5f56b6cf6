"""Progress where stderr is no terminal: a line now and then, whose rate says how fast training is."""

import pytest

from initbench.experiment import progress


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
