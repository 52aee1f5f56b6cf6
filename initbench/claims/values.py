"""What claims measure: one number for every network, by the name of its quantity. Needs no torch.

Of trained networks: :data:`OF_TRIALS`. Of networks before their training: what ``initbench probe`` measures, by the
names of :meth:`initbench.analysis.probes.Probes.value`, such as ``backward_rms.ratio``.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from initbench.analysis.probes import reduction
from initbench.analysis.scores import OUTCOMES
from initbench.analysis.trials import Trials
from initbench.records.probe import ProbeRecord

OF_TRIALS = {
    "test_accuracy": "share of test samples; of a network that did not finish, that of the most frequent class",
    "train_accuracy": "share of training samples, likewise",
    "gap": "accuracy on training samples less that on test samples",
    "auc": "mean validation accuracy over the epochs: how fast it learns",
    "first_epoch": "validation accuracy after the first epoch",
    "stuck": "1 where the test accuracy is that of a constant prediction or the training diverged, else 0",
    "lost": "1 where the training diverged or could not start, else 0",
}
# Quantities that are shares of test samples or close to it, whose margin is the test set's standard error.
ACCURACIES = ("test_accuracy", "train_accuracy", "gap", "auc", "first_epoch")
# What is compared as a ratio: a difference of logarithms.
_RATIOS = ("forward_rms", "preactivation_rms", "backward_rms", "weight_gradient_rms", "update_ratio", "effective_rank")
# Beyond these a ratio says no more than that it has no bounds.
_LEAST, _MOST = 1e-30, 1e30


def is_of_trials(quantity: str) -> bool:
    """Whether networks must be trained for it; else a probe is enough. The name is checked.

    Raises:
        InputError: there is no such quantity.
    """
    if quantity in OF_TRIALS:
        return True
    reduction(quantity, OF_TRIALS)
    return False


def is_ratio(quantity: str) -> bool:
    """Whether it is compared as a ratio."""
    return quantity not in OF_TRIALS and quantity.startswith((*_RATIOS, "jacobian"))


def as_compared(quantity: str, value: float) -> float:
    """A value as it is compared: of a ratio the logarithm, within bounds; NaN stays."""
    return math.log(min(max(value, _LEAST), _MOST)) if is_ratio(quantity) and not math.isnan(value) else value


def of_trials(trials: Trials) -> pd.DataFrame:
    """The quantities of :data:`OF_TRIALS`, a row per trial, and ``n_test``, by the trial's key."""
    frame = trials.frame()
    correct, total = frame["test_correct"], frame["test_total"].replace(0, np.nan)
    finished = frame["outcome"].isin([OUTCOMES.index(name) for name in ("ok", "slow", "poor", "stuck")])
    chance = frame["test_majority"] / total
    found = pd.DataFrame(
        {
            "test_accuracy": (correct / total).where(finished, chance),
            "train_accuracy": frame["train_accuracy"].where(finished, chance),
            "auc": frame["auc"].where(finished, chance),
            "first_epoch": pd.Series([_first(trials, row) for row in range(len(trials))], dtype=float)
            .div(frame["val_total"].replace(0, np.nan))
            .where(finished, chance),
            "stuck": (~frame["outcome"].isin([OUTCOMES.index(name) for name in ("ok", "slow", "poor")])).astype(float),
            "lost": (~finished).astype(float),
            "n_test": frame["test_total"],
        }
    )
    found["gap"] = found["train_accuracy"] - found["test_accuracy"]
    found.index = pd.Index(trials.columns.key_texts())
    return found[~found.index.duplicated()]


def _first(trials: Trials, row: int) -> float:
    curve = trials.curve(row)
    return float(curve[1]) if len(curve) > 1 and curve[1] >= 0 else math.nan


def of_probes(records: Iterable[ProbeRecord], quantities: Iterable[str]) -> dict[str, Mapping[str, float]]:
    """By quantity, the number of every probed network by its key; NaN where it has none."""
    by_key = {record.key: record for record in records}
    measures: dict[str, Callable[[ProbeRecord], float]] = {name: reduction(name) for name in quantities}
    return {name: {key: of(record) for key, record in by_key.items()} for name, of in measures.items()}
