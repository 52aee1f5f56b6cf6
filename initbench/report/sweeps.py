"""Views over one swept setting: learning rate, depth, activation; and what trains where."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initbench.analysis.compare import Comparison, compare
from initbench.analysis.trials import Trials, value_of
from initbench.render.blocks import Block, Figure, Heading, Table
from initbench.render.plots import HeatMap, Panel, Panels
from initbench.render.text import NONE, percent, span
from initbench.report import tables

_TRAINS = (
    "A technique trains where more than half of its runs end ok: neither failed, nor at chance, nor short of the "
    "target on the validation split."
)


@dataclass(frozen=True)
class Sweep:
    """The trials of one section of a comparison that leaves ``key`` out, by the values of that key.

    Attributes:
        title: what a heading calls it.
        held: what its trials share, as JSON.
        values: the values of the key, in order.
        names: the techniques.
        mean: ``[names, values]`` mean accuracy (fraction) of the finished trials.
        untrained: ``[names, values]`` how many trials failed or stayed at chance.
        trains: ``[names, values]`` whether more than half of the trials end ok; None where there are no trials.
        seeds: name to ``[seeds, values]`` accuracies.
        n: the least and the greatest number of trials behind an entry.
        chance: accuracy of always naming the most frequent class.
    """

    title: str
    held: str
    values: list[object]
    names: list[str]
    mean: pd.DataFrame
    untrained: pd.DataFrame
    trains: pd.DataFrame
    seeds: dict[str, pd.DataFrame]
    n: tuple[int, int]
    chance: float


def sweeps(trials: Trials, by: str, key: str, score: str) -> list[Sweep]:
    """The groups of trials that differ only in ``key``, technique and seed; those with several values of the key.

    Args:
        trials: the trials.
        by: what the techniques are.
        key: the setting swept.
        score: the column of accuracies, ``test_accuracy`` or ``val_accuracy``.
    """
    if not len(trials) or by == key:
        return []
    comparison = compare(trials, by, apart=(key, "stage"))
    # An activation with its parameters, where it has any.
    values_of = trials.cells[key] if key == "activation" else [value_of(one, key) for one in trials.identities]
    at = comparison.frame["cell"].map(dict(enumerate(values_of)))
    found = []
    for setting, title in enumerate(comparison.titles):
        section = comparison.section(setting).assign(at=at)
        values = sorted(section["at"].unique(), key=lambda value: (isinstance(value, str), value))
        if len(values) > 1 and (section.groupby("technique")["at"].nunique() > 1).any():
            held = json.dumps(comparison.settings[setting], sort_keys=True)
            found.append(_sweep(comparison, section, (title, held), values, score))
    return found


def _sweep(
    comparison: Comparison, section: pd.DataFrame, what: tuple[str, str], values: list[object], score: str
) -> Sweep:
    several = section.groupby("technique")["at"].nunique()
    present = sorted(several.index[several > 1])
    names = [comparison.techniques[technique] for technique in present]
    section = section.assign(lost=section["outcome"] >= tables.STUCK, ok=section["outcome"] == tables.OK)
    groups = section.groupby(["technique", "at"])

    def table(series: pd.Series) -> pd.DataFrame:
        wide = series.unstack("at").reindex(index=present, columns=values)
        return wide.set_axis(names, axis="index")

    return Sweep(
        title=what[0],
        held=what[1],
        values=values,
        names=names,
        mean=table(groups[score].mean()).astype(float),
        untrained=table(groups["lost"].sum()),
        trains=table(groups["ok"].mean() > 0.5),
        seeds={
            name: section[section["technique"] == technique]
            .drop_duplicates(["seed", "at"])
            .pivot(index="seed", columns="at", values=score)
            .reindex(columns=values)
            .astype(float)
            for technique, name in zip(present, names, strict=True)
        },
        n=(int(groups.size().min()), int(groups.size().max())),
        chance=float(section["test_majority"].iloc[0] / max(1, section["test_total"].iloc[0])),
    )


def longest_run(trains: list[bool]) -> tuple[int, int] | None:
    """First and last place of the longest unbroken run of true, the first of equal ones; None where all are false."""
    best: tuple[int, int] | None = None
    start = None
    for place, value in enumerate([*trains, False]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            if best is None or place - start > best[1] - best[0] + 1:
                best = (start, place - 1)
            start = None
    return best


def learning_rates(trials: Trials, by: str) -> list[Block]:
    """Validation accuracy against the learning rate, the trainable window of each technique, and the rate chosen."""
    searched = (trials.cells["stage"] == "search").to_numpy()[trials.columns.numbers["cell"]]
    tuned = (trials.cells["protocol"] != "fixed").to_numpy()[trials.columns.numbers["cell"]]
    pool = trials.take(searched | ~tuned)
    chosen = _chosen(trials.take(tuned & ~searched), by)
    blocks: list[Block] = []
    for number, sweep in enumerate(sweeps(pool, by, "lr", "val_accuracy"), start=1):
        rates = [float(str(value)) for value in sweep.values]
        protocol = json.loads(sweep.held).get("protocol")
        halved = isinstance(protocol, dict) and protocol.get("halving")
        rows, panels = [], []
        for name in sweep.names:
            known = [place for place, value in enumerate(sweep.mean.loc[name]) if not math.isnan(value)]
            tried = [rates[place] for place, lost in enumerate(sweep.untrained.loc[name]) if not pd.isna(lost)]
            best = max(known, key=lambda place: sweep.mean.loc[name].iloc[place]) if known else None
            rate = chosen.get((sweep.held, name), None if best is None else rates[best])
            rows.append(
                (
                    name,
                    *_cells(sweep, name),
                    *_window(sweep, name, rates),
                    *_choice(rate, [] if halved else tried),
                )
            )
            ring = None
            if rate in rates and not math.isnan(sweep.mean.loc[name].iloc[rates.index(rate)]):
                ring = (rate, 100 * float(sweep.mean.loc[name].iloc[rates.index(rate)]))
            panels.append(_panel(sweep, name, rates, ring))
        header = ("technique" if by == "init" else by, *(f"{rate:g}" for rate in rates), "window", "decades", "best lr")
        caption = (
            f"Mean validation accuracy in % at each learning rate, {_runs(sweep)}, in brackets the number "
            f"that failed or stayed at chance. {_TRAINS} The window is the longest unbroken stretch of the grid on "
            "which it trains, in decades (powers of ten); > where it reaches the edge of the grid. Best lr: "
            + (
                "the one chosen in the search"
                if chosen.keys() & {(sweep.held, n) for n in sweep.names}
                else "highest mean"
            )
            + ", ringed in the figure; 'edge' if no smaller or no larger one was tried"
            + (" (not told of a search by halving)." if halved else ".")
        )
        table = Table(header, tuple(rows), caption=caption)
        plot = Panels("learning rate", "validation accuracy, %", tuple(panels), level=100 * sweep.chance, log=True)
        blocks.append(Figure(f"learning-rates-{number}", f"Learning rates: {sweep.title}", plot, table))
    return [Heading("Learning rates"), *blocks] if blocks else []


def _chosen(trials: Trials, by: str) -> dict[tuple[str, str], float]:
    """The learning rate of the final trials, by what is held equal and technique."""
    if not len(trials):
        return {}
    comparison = compare(trials, by, apart=("lr", "stage"))
    held = [json.dumps(setting, sort_keys=True) for setting in comparison.settings]
    return {
        (held[setting], comparison.techniques[technique]): float(trials.cells["lr"].iloc[row])
        for (setting, technique), row in comparison.cells.items()
    }


def _window(sweep: Sweep, name: str, rates: list[float]) -> tuple[str, str]:
    known = [place for place, value in enumerate(sweep.trains.loc[name]) if not pd.isna(value)]
    run = longest_run([bool(sweep.trains.loc[name].iloc[place]) for place in known])
    if run is None:
        return "none", NONE
    first, last = known[run[0]], known[run[1]]
    open_end = ">" if run[0] == 0 or run[1] == len(known) - 1 else ""
    return f"{rates[first]:g} to {rates[last]:g}", f"{open_end}{math.log10(rates[last] / rates[first]):.2f}"


def _choice(rate: float | None, rates: list[float]) -> tuple[str]:
    if rate is None:
        return (NONE,)
    return (f"{rate:g} (edge)" if rates and rate in (rates[0], rates[-1]) else f"{rate:g}",)


def depths(trials: Trials, by: str) -> list[Block]:
    """Test accuracy against depth, and the deepest net that each technique trains."""
    blocks: list[Block] = []
    for number, sweep in enumerate(sweeps(trials, by, "depth", "test_accuracy"), start=1):
        layers = [int(str(value)) for value in sweep.values]
        rows = []
        for name in sweep.names:
            trains = [not pd.isna(value) and bool(value) for value in sweep.trains.loc[name]]
            trained = [depth for depth, value in zip(layers, trains, strict=True) if value]
            deepest = "none" if not trained else f"> {trained[-1]}" if trained[-1] == layers[-1] else str(trained[-1])
            rows.append((name, *_cells(sweep, name), deepest))
        header = ("technique" if by == "init" else by, *(f"depth {depth}" for depth in layers), "deepest")
        caption = (
            f"Mean test accuracy in % at each depth, {_runs(sweep)}, in brackets the number that failed or stayed at "
            f"chance. {_TRAINS} Deepest: the deepest net that trains, > where it is the deepest tried."
        )
        table = Table(header, tuple(rows), caption=caption)
        panels = tuple(_panel(sweep, name, [float(depth) for depth in layers], None) for name in sweep.names)
        plot = Panels("depth (hidden layers)", "test accuracy, %", panels, level=100 * sweep.chance)
        blocks.append(Figure(f"depth-{number}", f"Depth: {sweep.title}", plot, table))
        blocks.append(_heat_map(sweep, f"depth-map-{number}", "depth", table))
    return [Heading("Depth"), *blocks] if blocks else []


def activations(trials: Trials, by: str) -> list[Block]:
    """Test accuracy by activation and technique."""
    blocks: list[Block] = []
    for number, sweep in enumerate(sweeps(trials, by, "activation", "test_accuracy"), start=1):
        rows = tuple((name, *_cells(sweep, name)) for name in sweep.names)
        caption = (
            f"Mean test accuracy in % with each activation, {_runs(sweep)}, in brackets the number that "
            "failed or stayed at chance."
        )
        table = Table(("technique" if by == "init" else by, *map(str, sweep.values)), rows, caption=caption)
        blocks.append(_heat_map(sweep, f"activation-map-{number}", "activation", table))
    return [Heading("Activations"), *blocks] if blocks else []


def _heat_map(sweep: Sweep, name: str, key: str, table: Table) -> Figure:
    values = tuple(tuple(100 * float(value) for value in sweep.mean.loc[row]) for row in sweep.names)
    columns = tuple(map(str, sweep.values))
    plot = HeatMap(key, "", "test accuracy, %", columns, tuple(sweep.names), values)
    return Figure(name, f"Accuracy by {key}: {sweep.title}", plot, table, extra=key == "depth")


def _runs(sweep: Sweep) -> str:
    return f"over those that did not fail of {span(*sweep.n)} runs each"


def _cells(sweep: Sweep, name: str) -> list[str]:
    cells = []
    for value, lost in zip(sweep.mean.loc[name], sweep.untrained.loc[name], strict=True):
        cells.append("" if pd.isna(lost) else percent(float(value)) + (f" ({int(lost)})" if lost else ""))
    return cells


def _panel(sweep: Sweep, name: str, x: list[float], ring: tuple[float, float] | None) -> Panel:
    seeds = 100 * sweep.seeds[name].to_numpy(float)
    lines = tuple((tuple(x), tuple(map(float, row))) for row in seeds)
    mean = 100 * np.asarray(sweep.mean.loc[name], dtype=float)
    return Panel(name, lines, (tuple(x), tuple(map(float, mean))), ring)
