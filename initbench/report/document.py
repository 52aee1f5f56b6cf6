"""What a report says: a section per setting, with its runs, its laws, and the article beside it."""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from initbench.report.articles import D4
from initbench.report.blocks import Block, Heading, Paragraph, Table
from initbench.report.frame import Record, to_frame


def document(records: Iterable[Record]) -> list[Block]:
    """The whole report on some records: a section per setting, then where the numbers were made."""
    kept = list(records)
    frame = to_frame(kept)
    blocks: list[Block] = []
    for setting, trials in frame.groupby("setting", sort=False):
        blocks += _section(json.loads(str(setting)), trials)
    return [*blocks, Paragraph(_provenance(kept))]


def _section(setting: dict[str, Any], trials: pd.DataFrame) -> list[Block]:
    trials = trials.assign(technique=_techniques(trials))
    names = sorted(trials["technique"].unique(), key=_article_order)
    summary = pd.DataFrame({name: _summary(trials[trials["technique"] == name]) for name in names}).T
    blocks: list[Block] = [
        Heading(_title(trials.iloc[0])),
        Paragraph(_protocol(setting, trials)),
        _runs(trials, summary, names),
        Paragraph(
            "Accuracy in % on the test set, read once, with the weights of the last epoch. Run k is seed "
            f"{_seeds(trials)}. sd is the sample standard deviation (n − 1). A failed run diverged (NaN or infinite "
            "loss): it is counted, and no mean contains it. A run is at chance if it is within three binomial standard "
            f"errors of always naming the most frequent class ({_percent(_chance(trials.iloc[0]))} %)."
        ),
        _laws(trials, names),
    ]
    if any(name in D4 for name in names):
        blocks += _beside_d4(summary, [name for name in names if name in D4])
    return blocks


def _techniques(trials: pd.DataFrame) -> pd.Series:
    """The column each trial belongs to: the initializer's name, with its parameters where one name has several."""
    variants = trials.groupby("init")["init_params"].transform("nunique")
    return trials["init"].where(variants == 1, trials["init"] + " " + trials["init_params"])


def _article_order(name: str) -> tuple[int, str]:
    return (list(D4).index(name) if name in D4 else len(D4), name)


def _summary(trials: pd.DataFrame) -> dict[str, float]:
    """Mean and sd (fractions) of the trials that finished, and how many there are of each kind."""
    finished = trials["test_accuracy"].dropna().astype(float)
    chance = trials["test_majority"] / trials["test_total"]
    limit = chance + 3 * (chance * (1 - chance) / trials["test_total"]) ** 0.5
    return {
        "n": len(trials),
        "mean": finished.mean(),
        "sd": finished.std(ddof=1),
        "failed": int((trials["outcome"] != "ok").sum()),
        "at_chance": int((trials["test_accuracy"].astype(float) <= limit).sum()),
    }


def _runs(trials: pd.DataFrame, summary: pd.DataFrame, names: Sequence[str]) -> Table:
    """One column per technique, one row per run, then mean, sd and the counts, as the articles print it."""
    wide = trials.pivot_table(index="seed", columns="technique", values="test_accuracy", aggfunc="first", dropna=False)
    outcome = trials.pivot_table(index="seed", columns="technique", values="outcome", aggfunc="first", dropna=False)
    rows = []
    for number, seed in enumerate(sorted(trials["seed"].unique()), start=1):
        cells = [
            "" if pd.isna(outcome.at[seed, name]) else _percent(wide.at[seed, name], outcome.at[seed, name])
            for name in names
        ]
        rows.append((str(number), *cells))
    for label, column in (("mean", "mean"), ("sd", "sd")):
        rows.append((label, *(_percent(summary.at[name, column]) for name in names)))
    for label, column in (("failed", "failed"), ("at chance", "at_chance")):
        rows.append((label, *(f"{int(summary.at[name, column])}/{int(summary.at[name, 'n'])}" for name in names)))
    return Table(("run", *names), tuple(rows), n_summary=4)


def _laws(trials: pd.DataFrame, names: Sequence[str]) -> Table:
    first = {name: trials[trials["technique"] == name].iloc[0] for name in names}
    rows = tuple(
        (name, row["init_formula"], row["init_params"] or "–", row["init_bias"]) for name, row in first.items()
    )
    return Table(("technique", "law of the weights", "parameters", "biases"), rows, left=(0, 1, 2, 3))


def _beside_d4(summary: pd.DataFrame, names: Sequence[str]) -> list[Block]:
    """The article's figures beside the measured ones, and its order beside the measured order."""
    article = pd.DataFrame(
        {name: {"mean": pd.Series(D4[name]).mean(), "sd": pd.Series(D4[name]).std()} for name in names}
    ).T
    measured = summary.loc[list(names)]
    rank = measured["mean"].astype(float).round(4).rank(ascending=False, method="min")
    article_rank = article["mean"].rank(ascending=False, method="min")
    rows = tuple(
        (
            name,
            f"{_percent(measured.at[name, 'mean'])} ± {_percent(measured.at[name, 'sd'])}",
            f"{int(measured.at[name, 'failed'])}/{int(measured.at[name, 'n'])}",
            _rank(rank[name]),
            f"{article.at[name, 'mean']:.2f} ± {article.at[name, 'sd']:.2f}",
            _rank(article_rank[name]),
            _difference(100 * measured.at[name, "mean"] - article.at[name, "mean"]),
        )
        for name in names
    )
    table = Table(("technique", "measured", "failed", "rank", "article D4", "rank", "diff."), rows)
    return [table, *_order(measured["mean"].astype(float), article["mean"])]


def _order(measured: pd.Series, article: pd.Series) -> list[Block]:
    """The techniques by their means; two cannot be said to agree or disagree on an order."""

    def listed(means: pd.Series) -> str:
        return " > ".join(means.sort_values(ascending=False, kind="stable").index)

    if len(article) < 3:
        return []
    both = pd.DataFrame({"measured": measured, "article": article}).dropna()
    text = f"Order of the means, measured: {listed(both['measured'])}. In D4: {listed(article)}."
    if both["measured"].nunique() > 1:
        correlation = both["measured"].rank().corr(both["article"].rank())
        text += f" Rank correlation (Spearman) {correlation:.2f} over {len(both)} techniques."
    return [Paragraph(text)]


def _title(row: pd.Series) -> str:
    width = sorted(set(row["width"].split()))
    layers = f"depth {row['depth']}" + (f", width {row['width'] if len(width) > 1 else width[0]}" if width else "")
    return f"{row['dataset']} · {row['model']} {layers} · {row['activation']} · lr {row['lr']:g}"


def _protocol(setting: dict[str, Any], trials: pd.DataFrame) -> str:
    row = trials.iloc[0]
    warmup = f" after {row['warmup']:g} epochs of warm-up" if row["warmup"] else ""
    epochs = _counted(row["epochs"], "epoch")
    return (
        f"Protocol: fixed. {row['optimizer']}, lr {row['lr']:g} ({row['schedule']}{warmup}), {epochs} of batches of "
        f"{row['batch_size']}; {row['train_total']:,} training, {row['val_total']:,} validation and "
        f"{row['test_total']:,} test samples (content {setting['dataset']['sha256'][:12]}), "
        f"inputs standardised ({setting['dataset']['standardize']})."
    )


def _seeds(trials: pd.DataFrame) -> str:
    seeds = sorted(trials["seed"].unique())
    if seeds == list(range(len(seeds))):
        return "k − 1"
    return ", ".join(str(seed) for seed in seeds) + " in this order"


def _chance(row: pd.Series) -> float:
    return float(row["test_majority"] / row["test_total"])


def _percent(fraction: float | None, outcome: str = "ok") -> str:
    if outcome != "ok":
        return outcome[:3]
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.2f}"


def _difference(points: float) -> str:
    return "–" if math.isnan(points) else f"{points:+.2f}"


def _rank(rank: float) -> str:
    return "–" if math.isnan(rank) else str(int(rank))


def _provenance(records: Sequence[Record]) -> str:
    """Every distinct environment the trials ran in, with the number of trials."""
    counts: dict[str, int] = {}
    for record in records:
        env = record["header"]["environment"]
        text = (
            f"initbench {env['initbench']}, torch {env['torch']}, Python {env['python']}, {env['system']}, "
            f"{env['device']} ({env['processor']}, {_counted(env['threads'], 'thread')})"
        )
        counts[text] = counts.get(text, 0) + 1
    return "Made with " + "; ".join(f"{text}: {_counted(n, 'trial')}" for text, n in sorted(counts.items())) + "."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
