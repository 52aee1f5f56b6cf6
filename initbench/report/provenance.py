"""Under what rules the numbers were made, and where."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from initbench.analysis.compare import Comparison, shared
from initbench.analysis.trials import Trials, named, searched
from initbench.records import Environment
from initbench.records.columns import first_rows
from initbench.render.text import counted, listed, scored
from initbench.tasks import TASKS, USUAL
from initbench.values import exact

_SPLIT = {"seed": "split anew for each seed", "fixed": "split once for all seeds"}


def protocol(comparison: Comparison, setting: int) -> str:
    """What was equal for all trials of a setting, and what was compared."""
    row, identity, by = comparison.about(setting), comparison.settings[setting], comparison.by
    name = "compared" if by == "protocol" else _protocol(identity.get("protocol", row["protocol"]))
    whole = comparison.trials.identities[comparison.cells[setting, comparison.present(setting)[0]]]
    tuned = searched(whole)
    optimizer = "the optimizer compared" if by.split(".")[0] == "optimizer" else named(shared(whole, ())["optimizer"])
    rate = "the learning rates compared" if by in ("lr", "protocol") else _rate(row["lr"], tuned)
    if by == "optimizer" and "lr" not in tuned:
        rate = _rates(comparison, setting)
    schedule = "the schedules compared" if by == "schedule" else _own("schedule", row["schedule"], tuned)
    warmup = f" after {row['warmup']:g} epochs of warm-up" if row["warmup"] else ""
    warmup = " after the warm-up compared" if by == "warmup" else warmup
    warmup = " after the warm-up chosen" if "warmup" in tuned else warmup
    epochs = "the epochs compared" if by == "epochs" else _own("epochs", counted(row["epochs"], "epoch"), tuned)
    batches = "the sizes compared" if by == "batch_size" else _own("batch_size", str(row["batch_size"]), tuned)
    data = identity.get("dataset")
    task, score, content = comparison.task(setting), comparison.score(setting), ""
    if data:
        # Of a text the last part is the test set, whatever the seed.
        split = "split in its order" if task is TASKS["next_token"] else _SPLIT.get(data["split"], data["split"])
        content = f" (content {data['sha256'][:12]}), {split}, inputs standardised ({data['standardize']})"
    # No class is empty: a majority of none is one that nobody recorded.
    known = row["test_majority"] if task.of_loss is None else row["test_total"]
    chance, target = scored(float(row["chance"]) if known else math.nan, score), score.times * row["target"]
    unit = f" {score.unit}" if score.unit else ""
    loss = "" if task is TASKS[USUAL] else f", {task.loss}"
    told = f" {score.name}" if score != TASKS[USUAL].score else ""
    return (
        f"Protocol: {name}. {optimizer}, {rate} ({schedule}{warmup}), {epochs} of batches of {batches}{loss}; "
        f"{row['train_total']:,} training, {row['val_total']:,} validation and {row['test_total']:,} test samples"
        f"{content}. Chance:{told} {chance}{unit}. Target on the validation split:{told} {target:.4g}{unit}."
    )


def _rate(lr: float, tuned: Sequence[str]) -> str:
    """The learning rate, and what was chosen for each technique."""
    chosen = ["learning rate" if path == "lr" else path for path in tuned]
    best = f"for each the {' and '.join(chosen)} that {'was' if len(chosen) == 1 else 'were'} best on validation data"
    return ", ".join([*([] if "lr" in tuned else [f"lr {lr:g}"]), *([best] if chosen else [])])


def _rates(comparison: Comparison, setting: int) -> str:
    """The learning rate of each optimizer, where these are compared."""
    trials, present = comparison.trials, comparison.present(setting)
    rates = {comparison.techniques[t]: trials.cells["lr"].iloc[comparison.cells[setting, t]] for t in present}
    if len(set(rates.values())) == 1:
        return f"lr {next(iter(rates.values())):g}"
    if any(" lr=" in name for name in rates):
        return "the learning rates compared"
    return f"lr {listed([f'{rate:g} for {name}' for name, rate in rates.items()])}"


def _own(setting: str, text: str, tuned: Sequence[str]) -> str:
    return f"the {setting} chosen" if setting in tuned else text


def _protocol(node: Any) -> str:
    """A protocol's name, with what was searched and what that spends."""
    if not isinstance(node, Mapping):
        return str(node)
    paths = searched({"protocol": node})
    parts = [f"{path} {exact(node[f'search.{path}'])}" for path in paths]
    others = {key: value for key, value in node.items() if not key.startswith("search.")}
    left_out = ("name", "geometric") if others.get("geometric") in (None, [], ["lr"]) else ("name",)
    parts += [f"{key} {exact(value)}" for key, value in others.items() if key not in left_out and value is not False]
    return f"{node['name']} ({', '.join(parts)})" if parts else str(node["name"])


def made_with(trials: Trials) -> str:
    """Every distinct environment the trials ran in, with the number of trials."""
    counts: dict[str, int] = {}
    first = first_rows(trials.columns.keys)
    per_chunk = np.bincount(trials.columns.numbers["chunk"][first], minlength=len(trials.columns.chunks))
    for chunk, n in zip(trials.columns.chunks, per_chunk, strict=True):
        if not n:
            continue
        text = _environment(chunk.environment)
        counts[text] = counts.get(text, 0) + int(n)
    return "Made with " + "; ".join(f"{text}: {counted(n, 'trial')}" for text, n in sorted(counts.items())) + "."


def _environment(made: Environment) -> str:
    """What is known of it: a GPU has no threads of ours, and anyone's records may say nothing at all."""
    threads = counted(made.threads, "thread") if made.threads else ""
    where = ", ".join(filter(None, [made.processor, threads]))
    parts = [f"{what} {version}" for what, version in _versions(made) if version]
    parts += [made.system] if made.system else []
    parts += [f"{made.device} ({where})" if where else made.device] if made.device else []
    return ", ".join(parts) or "an unknown environment"


def _versions(made: Environment) -> list[tuple[str, str]]:
    return [("initbench", made.initbench), ("torch", made.torch), ("Python", made.python)]
