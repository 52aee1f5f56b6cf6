"""Scores of single trials, from what their records hold.

Pure functions of one trial, so that they never change with the company it is reported in.

A trial's outcome is one of five. ``failed``: its initializer raised. ``diverged``: a loss became NaN or infinite.
``stuck``: its test accuracy is within three binomial standard errors of always naming the most frequent class.
``slow``: it left chance but never reached the target on the validation split. ``ok``: the rest.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.records.columns import Columns

OUTCOMES = ("ok", "slow", "stuck", "diverged", "failed")
# Validation accuracy that counts as trained. A data set not listed here: halfway from chance to perfect.
TARGETS = {"digits": 0.9, "mnist": 0.95, "fashion_mnist": 0.8, "kmnist": 0.8, "cifar10": 0.4}
LEVELS = (0.5, 0.8, 0.9, 0.95)


def target_of(dataset: str, chance: float) -> float:
    """The validation accuracy that counts as trained, where the user names none."""
    return TARGETS.get(dataset, round((1 + chance) / 2, 4))


def chance_limit(majority: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number of correct answers that is still at chance: three binomial standard errors above it."""
    n = np.maximum(total, 1)
    chance = majority / n
    return np.asarray(total * (chance + 3 * np.sqrt(chance * (1 - chance) / n)))


def scores(columns: Columns, about: pd.DataFrame) -> pd.DataFrame:
    """One row per trial.

    Args:
        columns: the trials.
        about: one row per trial with ``target`` (fraction), ``train_total``, ``val_total``, ``test_total``,
            ``test_majority`` and ``batch_size``.

    Returns:
        ``outcome`` (code into ``OUTCOMES``), ``best_val_epoch`` (0 is before training), ``auc`` (mean validation
        accuracy
        over the epochs, by the trapezoid rule), ``epochs_to_target`` and, for each of ``LEVELS``, ``epochs_to_NN``:
        the first epoch whose end is at or above it. NaN where there is none; a trial that did not finish has none.
    """
    recorded = columns.numbers["outcome"]
    finished = recorded == 0
    val_total = about["val_total"].to_numpy(float)
    wanted = {"epochs_to_target": np.ceil(about["target"].to_numpy(float) * val_total - 1e-9)}
    wanted |= {f"epochs_to_{round(100 * level)}": np.ceil(level * val_total - 1e-9) for level in LEVELS}
    result = {name: np.full(len(columns), np.nan) for name in ("best_val_epoch", "auc", *wanted)}
    starts = np.concatenate([[0], columns.ends[:-1]]).astype(np.int64)[: len(columns)]
    sizes = columns.ends - starts
    for size in np.unique(sizes[sizes > 0]):
        rows = np.flatnonzero(sizes == size)
        counts = columns.curve[starts[rows][:, None] + np.arange(size)]
        measured = counts[:, 0] >= 0 if size == 1 else (counts >= 0).any(axis=1)
        best = rows[measured]
        result["best_val_epoch"][best] = counts[measured].argmax(axis=1)
        rows, counts = rows[finished[rows]], counts[finished[rows]]
        if size > 1:
            area = np.trapezoid(counts, axis=1) / (size - 1) / val_total[rows]
            result["auc"][rows] = np.where((counts >= 0).all(axis=1), area, np.nan)
        for name, needed in wanted.items():
            reached = counts >= needed[rows][:, None]
            some = reached.any(axis=1)
            result[name][rows[some]] = reached[some].argmax(axis=1)
    correct = columns.numbers["test_correct"]
    limit = chance_limit(about["test_majority"].to_numpy(float), about["test_total"].to_numpy(float))
    missed = np.isnan(result["epochs_to_target"]) & (sizes > 0)
    outcome = np.where(missed, OUTCOMES.index("slow"), OUTCOMES.index("ok"))
    outcome = np.where(correct <= limit, OUTCOMES.index("stuck"), outcome)
    for code, name in ((1, "diverged"), (2, "failed")):
        outcome = np.where(recorded == code, OUTCOMES.index(name), outcome)
    return pd.DataFrame({"outcome": outcome.astype(np.int8), **result})
