"""What a table must say beside its numbers where it is lifted out of the report: rules, runs, failures and laws."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from initbench.analysis.compare import Comparison
from initbench.analysis.trials import Trials, natural
from initbench.render.blocks import Block, Figure, Table
from initbench.render.text import NONE, counted, span
from initbench.report import provenance
from initbench.values import plain

# With more of them than this a table of their own says it better.
_MOST_LAWS = 12
_MOST_VALUES = 8
_HELD = {
    "dataset": "data",
    "model": "model",
    "depth": "depth",
    "width": "width",
    "activation": "activation",
    "optimizer": "optimizer",
    "lr": "lr",
    "schedule": "schedule",
    "epochs": "epochs",
    "batch_size": "batch size",
    "protocol": "protocol",
}


def within(blocks: Iterable[Block], context: str) -> list[Block]:
    """The blocks with every table of numbers told its context."""

    def told(block: Block) -> Block:
        if isinstance(block, Figure):
            return replace(block, table=replace(block.table, context=context))
        # A table without a caption has no numbers to explain.
        return replace(block, context=context) if isinstance(block, Table) and block.caption else block

    return list(map(told, blocks))


def of_section(comparison: Comparison, setting: int, laws_of: Table, outcomes: Table) -> str:
    """The context of the tables of one setting, two of which say its laws and what became of its runs."""
    _, *laws = zip(*laws_of.rows, strict=True)
    names = [comparison.techniques[technique] for technique in comparison.present(setting)]
    return " ".join(
        [
            f"{comparison.titles[setting]}.",
            provenance.protocol(comparison, setting),
            _runs(outcomes),
            _laws(dict(zip(names, zip(*laws[:3], strict=True), strict=True))),
        ]
    )


def of_all(trials: Trials) -> str:
    """The context of tables that go across settings: which values each setting has among the trials."""
    cells = trials.cells.iloc[np.unique(trials.columns.numbers["cell"])]
    held = "; ".join(
        f"{name} {_values(cells[column])}" for column, name in _HELD.items() if (cells[column] != "").any()
    )
    failed = int((trials.columns.numbers["outcome"] > 0).sum())
    told = zip(cells["init"], cells["init_formula"], cells["bias"], strict=True)
    laws = {init: (formula or NONE, NONE, bias) for init, formula, bias in told}
    return f"Over: {held}. {counted(len(trials), 'run')}, {failed} of them failed. {_laws(laws)}"


def _values(values: pd.Series) -> str:
    if values.name == "width":
        values = values.str.split().explode().dropna()
    found = sorted({plain(value) for value in values}, key=natural)
    return ", ".join(found) if len(found) <= _MOST_VALUES else f"{found[0]} to {found[-1]} ({len(found)} values)"


def _runs(outcomes: Table) -> str:
    """How many runs there are, and which of them are in no mean or might as well not be."""
    place = {name: outcomes.header.index(name) for name in ("n", "chance", "failed")}
    n = [int(row[place["n"]]) for row in outcomes.rows]

    def named(what: str) -> str:
        some = [f"{row[0]} {row[place[what]]}" for row in outcomes.rows if row[place[what]] != "0"]
        return ", ".join(some) or "none"

    return f"{span(min(n), max(n))} runs of each; failed: {named('failed')}; at chance: {named('chance')}."


def _laws(laws: Mapping[str, Sequence[str]]) -> str:
    """Of each technique the law, its parameters and its biases."""
    if len(laws) > _MOST_LAWS:
        return "Laws: see the table of that name."
    told = []
    for name, (formula, parameters, biases) in laws.items():
        more = [parameters] if parameters != NONE else []
        more += [f"biases {biases}"] if biases != "zeros" else []
        told.append(f"{name}: {', '.join([formula, *more])}")
    return f"Laws: {'; '.join(told)}. Biases are zero where nothing is said."
