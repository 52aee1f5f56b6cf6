"""What a table must say beside its numbers where it is lifted out of the report: rules, runs, failures and laws."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from initbench.analysis.compare import Comparison
from initbench.analysis.summaries import Summary
from initbench.analysis.trials import Trials, natural
from initbench.render.blocks import Block, Figure, Table
from initbench.render.text import NONE, counted, span
from initbench.report import provenance
from initbench.settings.schema import SETTINGS
from initbench.trial import START_GROUPS
from initbench.values import plain

# With more of them than this a table of their own says it better.
_MOST_LAWS = 12
_MOST_VALUES = 8


def with_context(blocks: Iterable[Block], context: str) -> list[Block]:
    """The blocks, with their context in every table of numbers."""

    def one(block: Block) -> Block:
        if isinstance(block, Figure):
            return replace(block, table=replace(block.table, context=context))
        # A table without a caption has no numbers to explain.
        return replace(block, context=context) if isinstance(block, Table) and block.caption else block

    return list(map(one, blocks))


def of_section(comparison: Comparison, setting: int, found: Sequence[Summary], laws: Table) -> str:
    """The context of the tables of one setting: ``found`` are its techniques, ``laws`` says what each draws from."""
    return " ".join(
        [
            f"{comparison.titles[setting]}.",
            provenance.protocol(comparison, setting),
            _runs(comparison, found),
            _laws([row[:4] for row in laws.rows]),
        ]
    )


def of_all(trials: Trials) -> str:
    """The context of tables that go across settings: which values each setting has among the trials."""
    cells = trials.cells.iloc[np.unique(trials.columns.numbers["cell"])]
    # Of settings that name a start, the laws say more.
    names = [name for name in SETTINGS if name in cells and name not in START_GROUPS and (cells[name] != "").any()]
    held = "; ".join(f"{SETTINGS[name].label} {_values(cells[name])}" for name in names)
    failed = int((trials.columns.numbers["outcome"] > 0).sum())
    columns = zip(cells["init"], cells["init_formula"], cells["bias"], strict=True)
    laws = [(init, formula or NONE, NONE, bias) for init, formula, bias in columns]
    return f"Over: {held}. {counted(len(trials), 'run')}, {failed} of them failed. {_laws(laws)}"


def _values(values: pd.Series) -> str:
    if values.name == "width":
        values = values.str.split().explode().dropna()
    found = sorted({plain(value) for value in values}, key=natural)
    return ", ".join(found) if len(found) <= _MOST_VALUES else f"{found[0]} to {found[-1]} ({len(found)} values)"


def _runs(comparison: Comparison, found: Sequence[Summary]) -> str:
    """How many runs there are, and which of them are in no mean or might as well not be."""

    def named(counts: Iterable[int]) -> str:
        some = [f"{comparison.techniques[one.technique]} {n}" for one, n in zip(found, counts, strict=True) if n]
        return ", ".join(some) or "none"

    failed, stuck = named(one.failed for one in found), named(one.stuck for one in found)
    n = [one.n for one in found]
    return f"{span(min(n), max(n))} runs of each; failed: {failed}; at chance: {stuck}."


def _laws(laws: Sequence[Sequence[str]]) -> str:
    """Of each technique its name, law, parameters and biases, as one text; the same is said once."""
    laws = list(dict.fromkeys(map(tuple, laws)))
    if len(laws) > _MOST_LAWS:
        return "Laws: see the table of that name."
    phrases = []
    for name, formula, parameters, biases in laws:
        more = [parameters] if parameters != NONE else []
        more += [f"biases {biases}"] if biases != "zeros" else []
        phrases.append(f"{name}: {', '.join([formula, *more])}")
    return f"Laws: {'; '.join(phrases)}. Biases are zero where nothing is said."
