"""The tuned protocol: an equal search on validation, decided by the records alone."""

import html
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import stored

from initbench.errors import InputError
from initbench.experiment.plan import plan
from initbench.records import columns, index
from initbench.search import FIRST_SEARCH_SEED, rounds, search_of, tune
from initbench.settings.compose import compose
from initbench.settings.request import request
from initbench.trial import Cell, Named

Initbench = Callable[..., Any]

SMALL = (
    *("dataset=synthetic", "width=8", "epochs=4"),
    *("protocol=tuned", "protocol.search.lr=[0.01,0.1]", "protocol.seeds=2", "protocol.extend=0"),
)


def cell_of(*overrides: str) -> Cell:
    (cell,) = request(compose(["dataset=synthetic", "protocol=tuned", *overrides])).cells
    return cell


def tuned(cell: Cell, accuracy: Callable[[Cell], float], trained: bool = True) -> Any:
    return tune(cell, range(4), lambda cell, seed: accuracy(cell) if trained else None)


def by_lr(table: Mapping[float, float]) -> Callable[[Cell], float]:
    return lambda cell: table[cell.lr]


def test_every_learning_rate_gets_the_same_seeds_and_none_is_final_before_all_are_trained() -> None:
    cell = cell_of("protocol.search.lr=[0.1,0.01,1]", "protocol.seeds=2")
    begun = tuned(cell, by_lr({}), trained=False)
    assert begun.chosen is None
    assert [(one.lr, seed - FIRST_SEARCH_SEED, one.stage) for one, seed in begun.trials] == [
        (lr, seed, "search") for lr in (0.01, 0.1, 1.0) for seed in (0, 1)
    ]


def test_the_best_mean_validation_accuracy_wins_and_fresh_seeds_train_with_it() -> None:
    cell = cell_of("protocol.search.lr=[0.01,0.1,1]", "protocol.seeds=3")
    done = tuned(cell, by_lr({0.01: 0.6, 0.1: 0.9, 1.0: 0.5}))
    assert (done.chosen, done.at_edge) == ((("lr", 0.1),), ())
    final = [(one, seed) for one, seed in done.trials if one.stage == "final"]
    assert final == [(replace(cell, lr=0.1, stage="final", chosen=(("lr", 0.1),)), seed) for seed in range(4)]
    searched = {seed for one, seed in done.trials if one.stage == "search"}
    assert searched.isdisjoint(range(4))


def test_of_equal_learning_rates_the_smallest_wins_and_no_grid_is_extended_for_it() -> None:
    done = tuned(cell_of("protocol.search.lr=[0.01,0.1,1]"), lambda cell: 0.1)
    assert (done.chosen, done.at_edge) == ((("lr", 0.01),), ())


@pytest.mark.parametrize("down", [True, False])
def test_a_best_learning_rate_at_the_edge_extends_the_grid_as_often_as_allowed(down: bool) -> None:
    cell = cell_of("protocol.search.lr=[0.01,0.1,1]", "protocol.extend=2")
    done = tuned(cell, lambda cell: -cell.lr if down else cell.lr)
    tried = list(dict.fromkeys(one.lr for one, _ in done.trials if one.stage == "search"))
    assert tried[3:] == ([0.001, 0.0001] if down else [10.0, 100.0])
    assert done.chosen == (("lr", tried[-1]),)
    assert done.at_edge == ("lr",)
    once = tuned(cell, lambda cell: -abs(cell.lr - (0.001 if down else 10)))
    assert (once.chosen, once.at_edge) == ((("lr", 0.001 if down else 10),), ())


def test_successive_halving_trains_fewer_epochs_and_keeps_the_better_half() -> None:
    grid = {0.0001: 0.1, 0.001: 0.3, 0.01: 0.8, 0.1: 0.9, 1.0: 0.2}
    cell = cell_of(f"protocol.search.lr={list(grid)}", "protocol.seeds=1", "protocol.halving=true", "epochs=20")
    done = tuned(cell, by_lr(grid))
    search = [(one.epochs, one.lr) for one, _ in done.trials if one.stage == "search"]
    assert search == [*((5, lr) for lr in grid), (10, 0.001), (10, 0.01), (10, 0.1), (20, 0.01), (20, 0.1)]
    assert done.chosen == (("lr", 0.1),)
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


def by_point(score: Callable[[float, float], float]) -> Callable[[Cell], float]:
    return lambda cell: score(cell.lr, cell.value("optimizer.momentum"))


TWO = ("protocol.search.lr=[0.01,0.1,1]", "protocol.search.optimizer.momentum=[0.9,0.5]", "protocol.seeds=1")


def test_several_settings_are_searched_as_a_grid() -> None:
    done = tuned(cell_of(*TWO), by_point(lambda lr, momentum: 1 - abs(lr - 0.1) - abs(momentum - 0.5)))
    search = [(one.lr, one.value("optimizer.momentum")) for one, _ in done.trials if one.stage == "search"]
    assert search == [(lr, momentum) for lr in (0.01, 0.1, 1.0) for momentum in (0.5, 0.9)]
    assert (done.chosen, done.at_edge) == ((("lr", 0.1), ("optimizer.momentum", 0.5)), ())
    final, _ = done.trials[-1]
    assert (final.lr, final.value("optimizer.momentum"), final.chosen) == (0.1, 0.5, done.chosen)


def test_only_geometric_settings_are_extended_and_for_every_value_of_the_others() -> None:
    def larger_is_better(lr: float, momentum: float) -> float:
        return lr + momentum

    done = tuned(cell_of(*TWO, "protocol.extend=1"), by_point(larger_is_better))
    added = [(one.lr, one.value("optimizer.momentum")) for one, _ in done.trials[6:] if one.stage == "search"]
    assert added == [(10.0, 0.5), (10.0, 0.9)]
    assert (done.chosen, done.at_edge) == ((("lr", 10.0), ("optimizer.momentum", 0.9)), ("lr",))
    # Declared geometric, they are.
    weights = ("protocol.search.optimizer.weight_decay=[0.001,0.01]", "protocol.search.lr=null", "protocol.seeds=1")
    cell = cell_of(*weights, "protocol.geometric=[optimizer.weight_decay]", "protocol.extend=2")
    done = tuned(cell, lambda one: float(one.value("optimizer.weight_decay")))
    assert done.chosen == (("optimizer.weight_decay", 1.0),)


def test_a_better_neighbour_is_sought_with_all_else_equal() -> None:
    # Best at the largest lr, and no better than the one beside it at the same momentum.
    table = {(0.01, 0.5): 0.1, (0.01, 0.9): 0.1, (0.1, 0.5): 0.2, (0.1, 0.9): 0.8, (1.0, 0.5): 0.3, (1.0, 0.9): 0.8}
    done = tuned(cell_of(*TWO), by_point(lambda lr, momentum: table[lr, momentum]))
    assert (done.chosen, done.at_edge) == ((("lr", 0.1), ("optimizer.momentum", 0.9)), ())


def test_halving_is_over_the_whole_product() -> None:
    cell = cell_of(*TWO, "protocol.halving=true", "epochs=20")
    done = tuned(cell, by_point(lambda lr, momentum: 1 - abs(lr - 0.1) - abs(momentum - 0.5)))
    counts = [sum(one.epochs == part and one.stage == "search" for one, _ in done.trials) for part in (5, 10, 20)]
    assert counts == [n for n, _ in rounds(6, 20, halving=True)] == [6, 3, 2]
    assert done.chosen == (("lr", 0.1), ("optimizer.momentum", 0.5))


def test_a_value_is_searched_as_it_will_be_trained() -> None:
    cell = cell_of("init=orthogonal", "protocol.search.init.gain=[auto,1]", "protocol.search.lr=null")
    search = search_of(cell.protocol)
    assert search is not None
    assert search.grid == (("init.gain", (1.0, pytest.approx(2**0.5))),)
    with pytest.raises(InputError, match="other settings follow from activation.negative_slope"):
        cell_of(
            "init=he", "init.gain=auto", "activation=leaky_relu", "protocol.search.activation.negative_slope=[0.1,0.2]"
        )


@pytest.mark.full
def test_what_was_searched_and_chosen_is_recorded_and_reported(initbench: Initbench) -> None:
    asked = ["init=he,xavier", "seeds=2", *SMALL, "protocol.search.optimizer.momentum=[0.5,0.9]"]
    answer = initbench("run", *asked)
    assert answer.code == 0
    assert "tuned: 2 learning rates x 2 values of optimizer.momentum x 2 seeds for each of 2 cells" in answer.err
    found = stored().values()
    for record in found:
        protocol = record["asked"]["protocol"]
        assert (protocol["search.lr"], protocol["search.optimizer.momentum"]) == ([0.01, 0.1], [0.5, 0.9])
        if record["asked"].get("stage", "final") == "final":
            chosen = record["asked"]["chosen"]
            trial = record["trial"]
            assert chosen == {"lr": trial["lr"], "optimizer.momentum": trial["optimizer"]["momentum"]}
    shown = " ".join(answer.out.split())
    assert "for each the learning rate and optimizer.momentum that were best on validation data" in shown
    assert "lr tuned · optimizer.momentum tuned" in shown
    assert "momentum=0.9" not in shown.split("Protocol:")[1].split("Chance")[0]
    # The commands of the report ask for the same trials.
    report = initbench("report", "--format", "html", "--out", "r.html", "--view", "lr")
    assert report.code == 0
    page = html.unescape(Path("r.html").read_text())
    command = next(line for line in re.findall(r"initbench run [^<]*", page) if "protocol=tuned" in line)
    assert "protocol.search.optimizer.momentum=[0.5,0.9]" in command
    assert "optimizer.momentum=0" not in command.replace("search.optimizer", "")
    again = initbench("run", *shlex.split(command)[2:])
    assert "nothing to train" in again.err


@pytest.mark.full
def test_published_searches_are_complete_and_keep_their_trials() -> None:
    folder = Path(__file__).parents[1] / "results" / "published" / "tuned"
    seeds = f"seeds={list(range(1000, 1020))}".replace(" ", "")
    wanted = request(
        compose(["experiment=d4", "protocol=tuned", "dataset=mnist,fashion_mnist", "optimizer=sgd,adamw", seeds])
    )
    found = plan(wanted, columns.done(index.load([folder])[0]))
    assert (len(found.trials), len(found.todo)) == (1661, 0)
    assert all(tuning.chosen for tuning in found.tunings.values())


def test_the_protocol_has_any_name_and_a_fixed_one_is_never_taken_for_a_search() -> None:
    cell = cell_of("protocol.search.lr=[0.1]")
    other = replace(cell, protocol=replace(cell.protocol, name="mine"))
    assert search_of(other.protocol) == search_of(cell.protocol)
    assert search_of(Named("tuned")) is None


def test_the_budget_tells_what_halving_saves(initbench: Initbench) -> None:
    grid = [10.0**power for power in range(-8, 0)]
    told = initbench("run", "init=he", *SMALL, f"protocol.search.lr={grid}", "protocol.halving=true", "--dry-run")
    # 8 for one epoch, 4 for two and 2 for four; in full it would be 8 for four.
    assert "8 learning rates x 2 seeds for each of 1 cell, by successive halving (24 epochs a seed, not 32)" in told.out


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["protocol.search.lr=[0.1]", "protocol.seeds=1"],
            "tuned: 1 learning rate x 1 seed for each of 1 cell; 1 still",
        ),
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
    assert all(tuning.chosen is None for tuning in resumed.tunings.values())
    assert {trial.key for trial in plan(wanted, done).trials} == {*whole}


def test_a_trial_is_the_same_whatever_it_serves_and_what_it_serves_is_told() -> None:
    cell = cell_of()
    fixed = replace(cell, protocol=type(cell.protocol)("fixed"))
    cells = (cell, replace(cell, stage="search"), fixed)
    assert len({str(one.identity(0, "")) for one in cells}) == 1
    assert len({one.asked().text() for one in cells}) == 3
    assert (fixed.asked().protocol, fixed.asked().stage) == ({"name": "fixed"}, "final")


@pytest.mark.full
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.search.lr=[]", "protocol.search.lr is an empty list; write protocol.search.lr=[0.01,0.1]"),
        ("protocol.search.lr=[0.1,-1]", "protocol.search.lr: lr must be a finite number > 0; got -1"),
        ("protocol.search.lr=null", "protocol 'tuned' searches nothing; write protocol.search.lr=[0.01,0.1]"),
        ("protocol.search.depth=[1,2]", "protocol.search.depth: only single values can be searched; write depth=A,B"),
        ("protocol.search.init=[he,lecun]", "protocol.search.init: "),
        ("protocol.search.optimizer.beta1=[0,0.5]", "optimizer.beta1: optimizer 'sgd' has no setting 'beta1'"),
        ("protocol.search.optimizer.momentum=[0,2]", "optimizer.momentum must be a finite number"),
        (
            "protocol.search.warmup=[1,5]",
            "protocol.search.warmup: warmup (5.0 epochs) is longer than the training (4 epochs)",
        ),
        ("protocol.geometric=[lr,epochs]", "protocol.geometric: 'epochs' is not searched"),
        ("protocol.seeds=0", "protocol.seeds must be a whole number >= 1; got 0"),
        ("protocol.halving=3", "protocol.halving must be true or false; got 3"),
        ("lr=0.1,1", "protocol=tuned chooses the learning rate; list the values to try as protocol.search.lr=[...]"),
        ("protocol=best", "protocol 'best'"),
        (f"seeds=[{FIRST_SEARCH_SEED + 1}]", f"protocol=tuned searches with seeds from {FIRST_SEARCH_SEED} on"),
    ],
)
def test_bad_input(initbench: Initbench, override: str, message: str) -> None:
    answer = initbench("run", *SMALL, override)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_what_was_searched_and_chosen_can_be_filtered_and_compared(initbench: Initbench) -> None:
    small = ("dataset=synthetic", "epochs=1", "width=8", "batch_size=64", "seeds=2", "protocol.seeds=1")
    for values in ("[0.01,0.1]", "[0.1,1]"):
        initbench("run", "init=he", "protocol=tuned", "protocol.extend=0", f"protocol.search.lr={values}", *small)
    one = initbench("report", "protocol.search.lr=[0.1,1]", "--format", "csv")
    assert (one.code, one.err) == (0, "")
    assert {row.count("search.lr=[0.1,1]") for row in one.out.splitlines()[1:]} == {1}
    by_grid = initbench("report", "--by", "protocol.search.lr").out
    assert "[0.01,0.1]" in by_grid
    assert initbench("report", "--by", "chosen.lr").code == 0
    for asked in (("--by", "chosen"), ("chosen=1",)):
        refused = initbench("report", *asked)
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "unknown setting 'chosen'" in refused.err
