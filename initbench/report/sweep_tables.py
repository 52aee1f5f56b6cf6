"""Views over one swept setting: learning rate, depth, activation; and what trains where."""

import math

import numpy as np
import pandas as pd

from initbench.analysis.sweeps import BestRate, LearningRates, Sweep, Window, deepest, sweeps, window
from initbench.analysis.sweeps import learning_rates as learning_rate_sweeps
from initbench.analysis.trials import Trials
from initbench.render.blocks import Block, Figure, Heading, Table
from initbench.render.plots import HeatMap, Panel, Panels
from initbench.render.text import NONE, number, scored, span
from initbench.tasks import Score

_TRAINS = (
    "A technique trains where more than half of its runs end ok: neither failed, nor at chance, nor short of the "
    "target on the validation split."
)


def learning_rates(trials: Trials, by: str) -> list[Block]:
    """Validation score against the learning rate, the trainable window of each technique, and the rate chosen."""
    found = learning_rate_sweeps(trials, by)
    figures = [_learning_rates(rates, place) for place, rates in enumerate(found, start=1)]
    return [Heading("Learning rates"), *figures] if figures else []


def _learning_rates(found: LearningRates, place: int) -> Figure:
    sweep, score = found.sweep, _score(found.sweep)
    rates = [float(value) for value in sweep.values]
    rows, panels = [], []
    for technique in sweep.techniques:
        best = found.best.get(technique)
        cells = (*_cells(sweep, technique), *_window(window(sweep, technique)), _best(best))
        rows.append((_name(sweep, technique), *cells))
        ring = None
        if best is not None and best.rate in rates:
            mean = float(sweep.mean.loc[technique].iloc[rates.index(best.rate)])
            ring = None if math.isnan(mean) else (best.rate, score.times * mean)
        panels.append(_panel(sweep, technique, rates, ring))
    header = (sweep.comparison.what, *(f"{rate:g}" for rate in rates), "window", "decades", "best lr")
    highest = "highest mean"
    if any((sweep.untrained > 0).any()):
        highest += ", a failed run scoring as chance, or as the worst finished run where that is lower"
    caption = (
        f"Mean {score.of('validation')}{score.less} at each learning rate, {_runs(sweep)}, in brackets the number "
        f"that failed or stayed at chance. {_TRAINS} The window is the longest unbroken stretch of the grid on "
        "which it trains, in decades (powers of ten); > where it reaches the edge of the grid. Best lr: "
        f"{'the one chosen in the search' if found.searched else highest}, ringed in the figure; 'edge' if no smaller "
        f"or no larger one was tried{' (not said of a search by halving)' if found.halved else ''}."
    )
    table = Table(header, tuple(rows), caption=caption)
    level = score.times * sweep.chance
    plot = Panels("learning rate", score.axis("validation"), tuple(panels), level=level, log=True)
    return Figure(f"learning-rates-{place}", f"Learning rates: {_title(sweep)}", plot, table)


def _window(found: Window | None) -> tuple[str, str]:
    if found is None:
        return "none", NONE
    return f"{found.first:g} to {found.last:g}", f"{'>' if found.open else ''}{number(found.decades)}"


def _best(best: BestRate | None) -> str:
    return NONE if best is None else f"{best.rate:g}{' (edge)' if best.edge else ''}"


def depths(trials: Trials, by: str) -> list[Block]:
    """Test score against depth, and the deepest net that each technique trains."""
    blocks: list[Block] = []
    for place, sweep in enumerate(sweeps(trials, by, "depth", "test_score"), start=1):
        layers, score = [int(value) for value in sweep.values], _score(sweep)
        rows = tuple(
            (_name(sweep, t), *_cells(sweep, t), _deepest(deepest(sweep, t), layers)) for t in sweep.techniques
        )
        header = (sweep.comparison.what, *(f"depth {depth}" for depth in layers), "deepest")
        caption = (
            f"Mean {score.of('test')}{score.less} at each depth, {_runs(sweep)}, in brackets the number that failed or "
            f"stayed at chance. {_TRAINS} Deepest: the deepest net that trains, > where it is the deepest tried."
        )
        table = Table(header, rows, caption=caption)
        panels = tuple(_panel(sweep, technique, list(map(float, layers)), None) for technique in sweep.techniques)
        plot = Panels("depth (hidden layers)", score.axis("test"), panels, level=score.times * sweep.chance)
        blocks.append(Figure(f"depth-{place}", f"Depth: {_title(sweep)}", plot, table))
        blocks.append(_heat_map(sweep, f"depth-map-{place}", "depth", table))
    return [Heading("Depth"), *blocks] if blocks else []


def _deepest(depth: int | None, layers: list[int]) -> str:
    return "none" if depth is None else f"> {depth}" if depth == layers[-1] else str(depth)


def activations(trials: Trials, by: str) -> list[Block]:
    """Test score by activation and technique."""
    blocks: list[Block] = []
    for place, sweep in enumerate(sweeps(trials, by, "activation", "test_score"), start=1):
        rows = tuple((_name(sweep, technique), *_cells(sweep, technique)) for technique in sweep.techniques)
        score = _score(sweep)
        caption = (
            f"Mean {score.of('test')}{score.less} with each activation, {_runs(sweep)}, in brackets the "
            "number that failed or stayed at chance."
        )
        table = Table((sweep.comparison.what, *map(str, sweep.values)), rows, caption=caption)
        blocks.append(_heat_map(sweep, f"activation-map-{place}", "activation", table))
    return [Heading("Activations"), *blocks] if blocks else []


def _heat_map(sweep: Sweep, name: str, key: str, table: Table) -> Figure:
    score = _score(sweep)
    values = tuple(
        tuple(score.times * float(mean) for mean in sweep.mean.loc[technique]) for technique in sweep.techniques
    )
    rows, columns = (tuple(map(str, some)) for some in ((_name(sweep, t) for t in sweep.techniques), sweep.values))
    plot = HeatMap(key, "", score.axis("test"), columns, rows, values)
    return Figure(
        name, f"{score.name[0].upper()}{score.name[1:]} by {key}: {_title(sweep)}", plot, table, extra=key == "depth"
    )


def _score(sweep: Sweep) -> Score:
    return sweep.comparison.score(sweep.setting)


def _title(sweep: Sweep) -> str:
    return sweep.comparison.titles[sweep.setting]


def _name(sweep: Sweep, technique: int) -> str:
    return sweep.comparison.techniques[technique]


def _runs(sweep: Sweep) -> str:
    return f"over those that did not fail of {span(*sweep.n)} runs each"


def _cells(sweep: Sweep, technique: int) -> list[str]:
    cells = []
    for mean, lost in zip(sweep.mean.loc[technique], sweep.untrained.loc[technique], strict=True):
        cells.append("" if pd.isna(lost) else scored(float(mean), _score(sweep)) + (f" ({int(lost)})" if lost else ""))
    return cells


def _panel(sweep: Sweep, technique: int, x: list[float], ring: tuple[float, float] | None) -> Panel:
    times = _score(sweep).times
    seeds = times * sweep.seeds[technique].to_numpy(float)
    lines = tuple((tuple(x), tuple(map(float, row))) for row in seeds)
    mean = times * np.asarray(sweep.mean.loc[technique], dtype=float)
    return Panel(_name(sweep, technique), lines, (tuple(x), tuple(map(float, mean))), ring)
