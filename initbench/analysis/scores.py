"""Scores of single trials, from what their records hold.

Pure functions of one trial, so that they never change with the company it is reported in.

A score is what the task says: an accuracy, R², or bits per character with a minus sign, so that more is better.

A trial's outcome is one of six. ``failed``: its initializer raised. ``diverged``: a loss became NaN or infinite.
``stuck``: its test accuracy is within three binomial standard errors of always naming the most frequent class, or its
score is no better than that of the best constant prediction, but for luck. Of the others that never reached the target
on the validation split ``poor``: never half the way from chance to it; ``slow``: at least that. ``ok``: the rest.

Chance by accuracy is not the only sign that a network learned nothing: it may name one class whatever the sample, and
its training loss may be no lower than that of the best constant prediction. Both are told beside the outcome.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.records.columns import Columns
from initbench.tasks import TASKS, USUAL, Task

OUTCOMES = ("ok", "slow", "poor", "stuck", "diverged", "failed")
# Validation score that counts as trained. A data set not listed here: halfway from chance to perfect.
TARGETS = {
    **{"digits": 0.9, "mnist": 0.95, "fashion_mnist": 0.8, "kmnist": 0.8, "cifar10": 0.4},
    **{"breast_cancer": 0.95, "wine": 0.95, "iris": 0.9, "diabetes": 0.35},
}
LEVELS = (0.5, 0.8, 0.9, 0.95)
# A training loss above this share of the best constant prediction's is flat: what a few samples may do by chance.
_FLAT = 0.99


def target_of(dataset: str, chance: float, task: Task = TASKS[USUAL]) -> float:
    """The validation score that counts as trained, where the user names none."""
    best = 1.0 if task.of_loss is None else float(task.of_loss(0.0, 1.0))
    return TARGETS.get(dataset, round((best + chance) / 2, 4))


def chance_limit(majority: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number of correct answers that is still at chance: three binomial standard errors above it."""
    n = np.maximum(total, 1)
    chance = majority / n
    return np.asarray(total * (chance + 3 * np.sqrt(chance * (1 - chance) / n)))


def scores(columns: Columns, about: pd.DataFrame) -> pd.DataFrame:
    """One row per trial.

    Args:
        columns: the trials.
        about: one row per trial with ``target``, ``train_total``, ``val_total``, ``test_total``, ``test_majority``,
            ``batch_size``, ``task``, ``chance``, ``train_constant``, ``val_constant``, ``test_score``, ``train_loss``
            and ``n_answers``.

    Returns:
        ``outcome`` (code into ``OUTCOMES``), ``one_answer`` (1 where it names one class whatever the sample, else 0),
        ``flat`` (1 where the training loss is no lower than that of the best constant prediction), ``best_val_epoch``
        (0 is before training), ``auc`` (mean validation score over the epochs, by the trapezoid rule; what is no
        accuracy counts as chance where it is below, as an R² has no least value), ``epochs_to_target`` and, for each
        of ``LEVELS``, ``epochs_to_NN``: the first epoch whose end is at or above it. NaN where there is none or nobody
        knows; a trial that did not finish has none.
    """
    recorded = columns.numbers["outcome"]
    finished = recorded == 0
    tasks = [TASKS.get(name, TASKS[USUAL]) for name in about["task"].cat.categories]
    counted = np.array([task.of_loss is None for task in tasks], bool)[about["task"].cat.codes]
    # Where nothing is counted, the scores themselves are compared.
    val_total = np.where(counted, about["val_total"].to_numpy(float), 1.0)

    def needed_for(level: Any) -> NDArray[np.float64]:
        return np.asarray(np.where(counted, np.ceil(level * val_total - 1e-9), level))

    target, chance = about["target"].to_numpy(float), about["chance"].to_numpy(float)
    wanted = {"epochs_to_target": needed_for(target), "halfway": needed_for((target + chance) / 2)}
    wanted |= {f"epochs_to_{round(100 * level)}": needed_for(level) for level in LEVELS}
    result = {name: np.full(len(columns), np.nan) for name in ("best_val_epoch", "auc", *wanted)}
    starts = np.concatenate([[0], columns.ends[:-1]]).astype(np.int64)[: len(columns)]
    sizes = columns.ends - starts
    for size in np.unique(sizes[sizes > 0]):
        rows = np.flatnonzero(sizes == size)
        counts, there = _curves(columns, about, rows, starts[rows], int(size), tasks)
        measured = there.any(axis=1)
        best = rows[measured]
        result["best_val_epoch"][best] = counts[measured].argmax(axis=1)
        rows, counts, there = rows[finished[rows]], counts[finished[rows]], there[finished[rows]]
        if size > 1:
            least = np.where(counted[rows], 0.0, chance[rows])
            area = np.trapezoid(np.maximum(counts, least[:, None]), axis=1) / (size - 1) / val_total[rows]
            result["auc"][rows] = np.where(there.all(axis=1), area, np.nan)
        for name, needed in wanted.items():
            reached = counts >= needed[rows][:, None]
            some = reached.any(axis=1)
            result[name][rows[some]] = reached[some].argmax(axis=1)
    correct = columns.numbers["test_correct"]
    limit = chance_limit(about["test_majority"].to_numpy(float), about["test_total"].to_numpy(float))
    missed = np.isnan(result["epochs_to_target"]) & (sizes > 0)
    halfway = result.pop("halfway")
    outcome = np.where(missed, OUTCOMES.index("slow"), OUTCOMES.index("ok"))
    outcome = np.where(missed & np.isnan(halfway), OUTCOMES.index("poor"), outcome)
    score = about["test_score"].to_numpy(float)
    luck = chance + _luck(about, tasks)
    stuck = np.where(counted, correct <= limit, score <= luck)
    outcome = np.where(stuck, OUTCOMES.index("stuck"), outcome)
    # A loss on the test samples that is not finite.
    outcome = np.where(~counted & np.isnan(score), OUTCOMES.index("diverged"), outcome)
    for code, name in ((1, "diverged"), (2, "failed")):
        outcome = np.where(recorded == code, OUTCOMES.index(name), outcome)
    signs = {
        "one_answer": about["n_answers"] == 1,
        "flat": about["train_loss"] > _FLAT * about["train_constant"],
    }
    known = {
        "one_answer": finished & about["n_answers"].notna(),
        "flat": finished & about["train_constant"].notna() & about["train_loss"].notna(),
    }
    told = {name: np.where(known[name], sign, np.nan) for name, sign in signs.items()}
    return pd.DataFrame({"outcome": outcome.astype(np.int8), **told, **result})


def _curves(
    columns: Columns, about: pd.DataFrame, rows: NDArray[Any], starts: NDArray[Any], size: int, tasks: Sequence[Task]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Counts or scores of the validation split ``[row, size]``, more being better, and where there are any."""
    found = columns.curve[starts[:, None] + np.arange(size)].astype(float)
    codes = about["task"].cat.codes.to_numpy()[rows]
    constants = about["val_constant"].to_numpy(float)[rows]
    for code, task in enumerate(tasks):
        if task.of_loss is not None:
            own = codes == code
            found[own] = task.of_loss(found[own], constants[own][:, None])
            found[own] = np.where(np.isnan(found[own]), -np.inf, found[own])
    counted = np.array([task.of_loss is None for task in tasks], bool)[codes]
    return found, np.where(counted[:, None], found >= 0, np.isfinite(found))


def _luck(about: pd.DataFrame, tasks: Sequence[Task]) -> NDArray[np.float64]:
    """How far above chance the test score of every trial may be by luck; 0 where something is counted."""
    total, codes = np.maximum(about["test_total"].to_numpy(float), 1), about["task"].cat.codes.to_numpy()
    found = np.zeros(len(about))
    for code, task in enumerate(tasks):
        if task.luck is not None:
            found[codes == code] = task.luck(total[codes == code])
    return found
