"""Measured figures beside those of article D4, as numbers: where the two are comparable, and how well they agree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis.articles import D4
from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import Summary, chance, looks, ranks

# Two techniques cannot be said to agree or disagree on an order.
LEAST_TECHNIQUES = 3
# The share of the most frequent class among ten of about equal size; in test sets of some hundred samples it varies.
_TENTH = (0.08, 0.125)


@dataclass(frozen=True)
class ArticleRow:
    """One of the article's techniques, measured and printed. Fractions; ranks are among the techniques shown.

    ``measured.rank`` is among all techniques of the setting, ``rank`` and ``article_rank`` are among these rows.
    """

    name: str
    measured: Summary
    rank: float
    article_mean: float
    article_sd: float
    article_rank: float

    @property
    def difference(self) -> float:
        """Measured minus printed mean."""
        return self.measured.mean - self.article_mean


@dataclass(frozen=True)
class Replication:
    """The article's techniques in one setting, in its order; ``spearman`` is the rank correlation of the two orders.

    It is NaN where one of them has a single rank.
    """

    rows: tuple[ArticleRow, ...]
    spearman: float


def comparable(comparison: Comparison, setting: int) -> bool:
    """Whether article D4's figures have a place beside a setting.

    The article classifies with a network of its own, names no data set, and compares initializers; its networks that
    learn nothing are at 10 to 13 %. So: initializers are compared, the model is a perceptron with none of its options
    on (no normalisation), and the data have ten classes of about equal size: the most frequent one holds 8 to 12.5 %
    of the test samples.
    """
    if comparison.by != "init":
        return False
    model = comparison.settings[setting]["model"]
    plain = model["name"] == "mlp" and not any(value for key, value in model.items() if key != "name")
    return plain and _TENTH[0] <= chance(comparison, setting) <= _TENTH[1]


def replication(comparison: Comparison, setting: int, found: Sequence[Summary]) -> Replication | None:
    """The article's figures beside the measured ones; None unless they are comparable and three techniques are there.

    A technique is the article's if it is an initializer of that name with nothing changed: its label is the name.

    Args:
        comparison: of the initializers.
        setting: the code of the setting.
        found: its summaries.
    """
    if not comparable(comparison, setting):
        return None
    measured = {comparison.techniques[one.technique]: one for one in found}
    names = [name for name in comparison.techniques if name in measured and name in D4]
    if len(names) < LEAST_TECHNIQUES:
        return None
    score = pd.Series({name: measured[name].score for name in names})
    article = pd.Series({name: float(np.mean(D4[name])) for name in names})
    rank, article_rank = ranks(score), article.rank(ascending=False, method="min")
    rows = tuple(
        ArticleRow(
            name=name,
            measured=measured[name],
            rank=float(rank[name]),
            article_mean=article[name] / 100,
            article_sd=float(np.std(D4[name], ddof=1)) / 100,
            article_rank=float(article_rank[name]),
        )
        for name in names
    )
    return Replication(rows, _spearman(looks(score), article))


def _spearman(measured: pd.Series, article: pd.Series) -> float:
    known = measured.notna()
    a, b = measured[known].rank(), article[known].rank()
    if a.nunique() < 2 or b.nunique() < 2:
        return math.nan
    return float(a.corr(b))
