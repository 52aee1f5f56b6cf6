"""What each technique draws its weights and biases from."""

import pandas as pd

from initbench.analysis.compare import Comparison
from initbench.analysis.trials import searched, value_of
from initbench.render.blocks import Table
from initbench.render.text import NONE
from initbench.values import plain


def laws(comparison: Comparison, setting: int) -> Table:
    """The laws of one setting, what they cost, and what a search chose for each technique."""
    present, cells = comparison.present(setting), comparison.trials.cells
    about = {technique: cells.iloc[comparison.cells[setting, technique]] for technique in present}
    rows = {technique: [comparison.techniques[technique], *_law(row)] for technique, row in about.items()}
    header = [comparison.what, "law of the weights", "parameters", "biases"]
    identities = {t: comparison.trials.identities[comparison.cells[setting, t]] for t in present}
    for path in dict.fromkeys(path for identity in identities.values() for path in searched(identity)):
        if path != comparison.by:
            header.append(path)
            for technique, identity in identities.items():
                value = value_of(identity, path)
                rows[technique].append(f"{value:g}" if isinstance(value, float) else plain(value))
    trials = comparison.section(setting)
    if trials["init_samples"].notna().any():
        header.append("cost before training, per run")
        costs = trials.groupby("technique")[["init_samples", "init_steps", "init_seconds"]].mean()
        for technique in present:
            rows[technique].append(_cost(costs.loc[technique]))
    left = tuple(range(len(header)))
    return Table(tuple(header), tuple(tuple(row) for row in rows.values()), left=left, title="Laws")


def all_laws(comparison: Comparison) -> Table:
    """The law of each technique, where there are too many settings for a table each."""
    rows = []
    for technique, name in enumerate(comparison.techniques):
        cells = sorted({cell for (_, which), cell in comparison.cells.items() if which == technique})
        distinct = dict.fromkeys(_law(row) for _, row in comparison.trials.cells.iloc[cells].iterrows())
        rows += [(name, *law) for law in distinct]
    header = (comparison.what, "law of the weights", "parameters", "biases")
    return Table(header, tuple(rows), left=(0, 1, 2, 3), title="Laws")


def _law(row: pd.Series) -> tuple[str, str, str]:
    parameters = row["init_params"] or NONE
    parameters += "".join(
        f"; {layer} layer {row[f'init_{layer}']}" for layer in ("first", "output") if row[f"init_{layer}"]
    )
    return row["init_formula"] or NONE, parameters, row["bias"]


def _cost(mean: pd.Series) -> str:
    if mean.isna().all():
        return "none"
    samples, steps, seconds = (float(mean[f"init_{what}"]) for what in ("samples", "steps", "seconds"))
    return f"{samples:,.0f} samples, {steps:,.0f} steps, {seconds:.2g} s"
