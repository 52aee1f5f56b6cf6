"""Under what rules the numbers were made, where, and with which command."""

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from initbench.report.compare import Comparison
from initbench.report.frame import INIT_GROUPS, Trials, natural, value_of
from initbench.report.text import NONE, counted, percent, plain

_NO_OVERRIDES = ("recipe", "precision", "stage", "dataset", "model", "depth", "width", *INIT_GROUPS)


def protocol(comparison: Comparison, setting: int) -> str:
    """What was equal for all trials of a setting, and what was compared."""
    row, identity, by = comparison.about(setting), comparison.settings[setting], comparison.by
    name = "compared" if by == "protocol" else _protocol(identity.get("protocol", row["protocol"]))
    optimizer = "the optimizer compared" if by.split(".")[0] == "optimizer" else row["optimizer"]
    tuned = row["protocol"] != "fixed"
    rate = "for each the learning rate that was best on validation data" if tuned else f"lr {row['lr']:g}"
    rate = "the learning rates compared" if by in ("lr", "protocol") else rate
    schedule = "the schedules compared" if by == "schedule" else row["schedule"]
    warmup = f" after {row['warmup']:g} epochs of warm-up" if row["warmup"] else ""
    warmup = " after the warm-up compared" if by == "warmup" else warmup
    epochs = "the epochs compared" if by == "epochs" else counted(row["epochs"], "epoch")
    batches = "the sizes compared" if by == "batch_size" else row["batch_size"]
    data = identity.get("dataset")
    content = f" (content {data['sha256'][:12]}), inputs standardised ({data['standardize']})" if data else ""
    chance = percent(row["test_majority"] / row["test_total"]) if row["test_total"] else NONE
    return (
        f"Protocol: {name}. {optimizer}, {rate} ({schedule}{warmup}), {epochs} of batches of {batches}; "
        f"{row['train_total']:,} training, {row['val_total']:,} validation and {row['test_total']:,} test samples"
        f"{content}. Chance: {chance} %. Target on the validation split: {100 * row['target']:.4g} %."
    )


def _protocol(node: Any) -> str:
    """A protocol's name, with what a search spends."""
    if not isinstance(node, Mapping):
        return str(node)
    told = [f"{key} {_value(value)}" for key, value in node.items() if key != "name" and value is not False]
    return f"{node['name']} ({', '.join(told)})" if told else str(node["name"])


def command(comparison: Comparison, setting: int) -> str:
    """The command that trains the trials of a setting. Parameters of an initializer are told where they vary."""
    identity = comparison.settings[setting]
    trials = comparison.trials
    cells = [trials.identities[comparison.cells[setting, t]] for t in comparison.present(setting)]
    names = dict.fromkeys(value_of(cell, "init") for cell in cells)
    parts = [f"dataset={value_of(cells[0], 'dataset')}", f"init={','.join(names)}", *_varying(cells), *_common(cells)]
    if comparison.by not in INIT_GROUPS:
        values = dict.fromkeys(_value(value_of(cell, comparison.by)) for cell in cells)
        parts.append(f"{comparison.by}={','.join(values)}")
    parts.append(f"model={value_of(cells[0], 'model')}")
    for key in ("depth", "width"):
        if cells[0][key] is not None and comparison.by != key:
            parts.append(f"{key}={_value(cells[0][key])}")
    for key in ("activation", "lr", "epochs", "batch_size", *sorted(identity)):
        value = identity.get(key)
        if key in _NO_OVERRIDES or value is None or (key, value) == ("protocol", "fixed"):
            continue
        if f"{key}={_text(value)}" in parts:
            continue
        parts.append(f"{key}={_text(value)}")
        if isinstance(value, Mapping):
            parts += [f"{key}.{name}={_value(inner)}" for name, inner in value.items() if name != "name"]
    seeds = sorted(int(seed) for seed in comparison.section(setting)["seed"].unique())
    plain = seeds == list(range(len(seeds)))
    parts.append(f"seeds={len(seeds)}" if plain else f"seeds=[{','.join(map(str, seeds))}]")
    return "initbench run " + " ".join(shlex.quote(part) for part in parts)


def _varying(cells: list[dict[str, Any]]) -> list[str]:
    """Parameters of the initializer of which one name has several."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for cell in cells:
        for group in INIT_GROUPS:
            node = cell[group]
            inner = {group: node["name"]} if group != "init" and node else {}
            inner |= {f"{group}.{key}": value for key, value in (node or {}).items() if key not in ("name", "law")}
            for key, value in inner.items():
                found.setdefault(key, {}).setdefault(cell["init"]["name"], {})[_value(value)] = None
    varying = {key: by_name for key, by_name in found.items() if any(len(values) > 1 for values in by_name.values())}
    return [
        f"{key}={','.join(sorted({value for values in by_name.values() for value in values}, key=natural))}"
        for key, by_name in varying.items()
    ]


def _common(cells: list[dict[str, Any]]) -> list[str]:
    """Biases and laws of single layers that all techniques share and that are not the usual ones."""
    parts = []
    for group in INIT_GROUPS[1:]:
        first = cells[0][group]
        if first is None or first == {"name": "zeros"} or any(cell[group] != first for cell in cells):
            continue
        parts.append(f"{group}={first['name']}")
        parts += [f"{group}.{key}={_value(value)}" for key, value in first.items() if key not in ("name", "law")]
    return parts


def _text(value: Any) -> str:
    return str(value["name"]) if isinstance(value, Mapping) else _value(value)


def _value(value: Any) -> str:
    """As :func:`plain`, but every digit of a number: it is part of a command."""
    if isinstance(value, float) and float(plain(value)) != value:
        return str(value)
    return f"[{','.join(map(_value, value))}]" if isinstance(value, list) else plain(value)


def made_with(trials: Trials) -> str:
    """Every distinct environment the trials ran in, with the number of trials."""
    counts: dict[str, int] = {}
    per_chunk = np.bincount(trials.columns.numbers["chunk"], minlength=len(trials.columns.chunks))
    for chunk, n in zip(trials.columns.chunks, per_chunk, strict=True):
        if not n:
            continue
        env = chunk["environment"]
        text = (
            f"initbench {env['initbench']}, torch {env['torch']}, Python {env['python']}, {env['system']}, "
            f"{env['device']} ({env['processor']}, {counted(env['threads'], 'thread')})"
        )
        counts[text] = counts.get(text, 0) + int(n)
    return "Made with " + "; ".join(f"{text}: {counted(n, 'trial')}" for text, n in sorted(counts.items())) + "."
