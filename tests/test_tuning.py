"""The tuned protocol: an equal search on validation, decided by the records alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import stored

from initbench.experiment.plan import plan
from initbench.experiment.search import FIRST_SEARCH_SEED, rounds, tune
from initbench.records import columns, index
from initbench.settings.compose import compose
from initbench.settings.request import request
from initbench.trial import Cell

Initbench = Callable[..., Any]

SMALL = (
    *("dataset=synthetic", "width=8", "epochs=4"),
    *("protocol=tuned", "protocol.lrs=[0.01,0.1]", "protocol.seeds=2", "protocol.extend=0"),
)


def cell_of(*overrides: str) -> Cell:
    (cell,) = request(compose(["dataset=synthetic", "protocol=tuned", *overrides])).cells
    return cell


def tuned(cell: Cell, accuracy: Callable[[Cell], float], trained: bool = True) -> Any:
    return tune(cell, range(4), lambda cell, seed: accuracy(cell) if trained else None)


def by_lr(table: Mapping[float, float]) -> Callable[[Cell], float]:
    return lambda cell: table[cell.lr]


def test_every_learning_rate_gets_the_same_seeds_and_none_is_final_before_all_are_trained() -> None:
    cell = cell_of("protocol.lrs=[0.1,0.01,1]", "protocol.seeds=2")
    begun = tuned(cell, by_lr({}), trained=False)
    assert begun.lr is None
    assert [(one.lr, seed - FIRST_SEARCH_SEED, one.stage) for one, seed in begun.trials] == [
        (lr, seed, "search") for lr in (0.01, 0.1, 1.0) for seed in (0, 1)
    ]


def test_the_best_mean_validation_accuracy_wins_and_fresh_seeds_train_with_it() -> None:
    cell = cell_of("protocol.lrs=[0.01,0.1,1]", "protocol.seeds=3")
    done = tuned(cell, by_lr({0.01: 0.6, 0.1: 0.9, 1.0: 0.5}))
    assert (done.lr, done.at_edge) == (0.1, False)
    final = [(one, seed) for one, seed in done.trials if one.stage == "final"]
    assert final == [(replace(cell, lr=0.1, stage="final", chosen=(("lr", 0.1),)), seed) for seed in range(4)]
    searched = {seed for one, seed in done.trials if one.stage == "search"}
    assert searched.isdisjoint(range(4))


def test_of_equal_learning_rates_the_smallest_wins_and_no_grid_is_extended_for_it() -> None:
    done = tuned(cell_of("protocol.lrs=[0.01,0.1,1]"), lambda cell: 0.1)
    assert (done.lr, done.at_edge) == (0.01, False)


@pytest.mark.parametrize("down", [True, False])
def test_a_best_learning_rate_at_the_edge_extends_the_grid_as_often_as_allowed(down: bool) -> None:
    cell = cell_of("protocol.lrs=[0.01,0.1,1]", "protocol.extend=2")
    done = tuned(cell, lambda cell: -cell.lr if down else cell.lr)
    tried = list(dict.fromkeys(one.lr for one, _ in done.trials if one.stage == "search"))
    assert tried[3:] == ([0.001, 0.0001] if down else [10.0, 100.0])
    assert done.lr == tried[-1]
    assert done.at_edge
    once = tuned(cell, lambda cell: -abs(cell.lr - (0.001 if down else 10)))
    assert (once.lr, once.at_edge) == (0.001 if down else 10, False)


def test_successive_halving_trains_fewer_epochs_and_keeps_the_better_half() -> None:
    grid = {0.0001: 0.1, 0.001: 0.3, 0.01: 0.8, 0.1: 0.9, 1.0: 0.2}
    cell = cell_of(f"protocol.lrs={list(grid)}", "protocol.seeds=1", "protocol.halving=true", "epochs=20")
    done = tuned(cell, by_lr(grid))
    search = [(one.epochs, one.lr) for one, _ in done.trials if one.stage == "search"]
    assert search == [*((5, lr) for lr in grid), (10, 0.001), (10, 0.01), (10, 0.1), (20, 0.01), (20, 0.1)]
    assert done.lr == 0.1
    assert all(one.epochs == 20 for one, _ in done.trials if one.stage == "final")


@pytest.mark.parametrize(
    ("n_lrs", "epochs", "expected"),
    [
        (1, 30, [(1, 30)]),
        (2, 30, [(2, 30)]),
        (4, 30, [(4, 15), (2, 30)]),
        (7, 30, [(7, 7), (4, 15), (2, 30)]),
        (13, 5, [(13, 1), (4, 2), (2, 5)]),
        (7, 1, [(7, 1)]),
    ],
)
def test_the_rounds_of_halving_end_with_two_learning_rates_for_all_epochs(
    n_lrs: int, epochs: int, expected: list[tuple[int, int]]
) -> None:
    assert rounds(n_lrs, epochs, halving=True) == expected
    assert rounds(n_lrs, epochs, halving=False) == [(n_lrs, epochs)]


def test_the_budget_tells_what_halving_saves(initbench: Initbench) -> None:
    grid = [10.0**power for power in range(-8, 0)]
    told = initbench("run", "init=he", *SMALL, f"protocol.lrs={grid}", "protocol.halving=true", "--dry-run")
    # 8 for one epoch, 4 for two and 2 for four; in full it would be 8 for four.
    assert "8 learning rates x 2 seeds for each of 1 cell, by successive halving (24 epochs a seed, not 32)" in told.out


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["protocol.lrs=[0.1]", "protocol.seeds=1"], "tuned: 1 learning rate x 1 seed for each of 1 cell; 1 still"),
        (
            ["protocol.extend=3"],
            "for each of 1 cell, and up to 3 more where the best is the first or the last; 1 still",
        ),
        (["protocol.halving=true"], "for each of 1 cell; 1 still"),
    ],
)
def test_the_budget_says_what_will_be_done(initbench: Initbench, settings: list[str], told: str) -> None:
    assert told in initbench("run", "init=he", *SMALL, *settings, "--dry-run").out


def test_a_run_searches_then_trains_and_the_second_run_trains_nothing(initbench: Initbench) -> None:
    asked = ["init=he,zero", "seeds=3", *SMALL]
    first = initbench("run", *asked)
    assert first.code == 0
    assert "tuned: 2 learning rates x 2 seeds for each of 2 cells; 2 still to be chosen" in first.err
    found = stored()
    stages = [record["asked"].get("stage", "final") for record in found.values()]
    assert (stages.count("search"), stages.count("final")) == (2 * 2 * 2, 2 * 3)
    again = initbench("run", *asked)
    assert "nothing to train" in again.err
    assert again.out == first.out
    # What was chosen is what the validation accuracies of the search say, and the test set has no part in it.
    for record in found.values():
        if record["asked"].get("stage", "final") == "final":
            means: dict[float, list[int]] = {}
            for other in found.values():
                if (
                    other["asked"].get("stage", "final") == "search"
                    and other["asked"]["init"] == record["asked"]["init"]
                ):
                    means.setdefault(other["trial"]["lr"], []).append(other["n_correct"]["val"])
            best = max(sum(counts) for counts in means.values())
            assert record["trial"]["lr"] == min(lr for lr, counts in means.items() if sum(counts) == best)


def test_an_interrupted_search_resumes_with_the_same_choice(initbench: Initbench) -> None:
    asked = ["init=he", "seeds=2", *SMALL]
    initbench("run", *asked)
    whole = stored()
    done = columns.done(index.load([Path("results")])[0])
    search = [key for key, record in whole.items() if record["asked"].get("stage", "final") == "search"]
    part = {key: done[key] for key in search[:2]}
    wanted = request(compose(asked))
    resumed = plan(wanted, part)
    assert {trial.key for trial in resumed.todo} == {*search} - {*part}
    assert all(tuning.lr is None for tuning in resumed.tunings.values())
    assert {trial.key for trial in plan(wanted, done).trials} == {*whole}


def test_a_trial_is_the_same_whatever_it_serves_and_what_it_serves_is_told() -> None:
    cell = cell_of()
    fixed = replace(cell, protocol=type(cell.protocol)("fixed"))
    cells = (cell, replace(cell, stage="search"), fixed)
    assert len({str(one.identity(0, "")) for one in cells}) == 1
    assert len({one.asked().text() for one in cells}) == 3
    assert (fixed.asked().protocol, fixed.asked().stage) == ({"name": "fixed"}, "final")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.lrs=[]", "protocol.lrs is an empty list; write protocol.lrs=[0.001,0.003]"),
        ("protocol.lrs=[0.1,-1]", "protocol.lrs must be a finite number > 0; got -1"),
        ("protocol.seeds=0", "protocol.seeds must be a whole number >= 1; got 0"),
        ("protocol.halving=3", "protocol.halving must be true or false; got 3"),
        ("lr=0.1,1", "protocol=tuned chooses the learning rate; list the ones to try as protocol.lrs=[0.01,0.1]"),
        ("protocol=best", "protocol 'best'"),
        (f"seeds=[{FIRST_SEARCH_SEED + 1}]", f"protocol=tuned searches with seeds from {FIRST_SEARCH_SEED} on"),
    ],
)
def test_bad_input(initbench: Initbench, override: str, message: str) -> None:
    answer = initbench("run", *SMALL, override)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1
