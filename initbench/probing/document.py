"""What is said of probes and in which order: of each setting what its initializers do, beside theory, and pictures."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis.compare import titles
from initbench.analysis.probes import Probes
from initbench.probing.answer import Seen, answer
from initbench.probing.compare import Theory, theory
from initbench.probing.expected import LOGARITHMIC
from initbench.probing.plane import plane
from initbench.probing.theory import Field
from initbench.render.blocks import Block, Figure, Heading, Paragraph, Table
from initbench.render.csv import to_csv
from initbench.render.formats import to_format
from initbench.render.plots import Line, Panel, Panels
from initbench.render.text import NONE, counted, number, significant, span
from initbench.trial import START_GROUPS

FORMATS = ("rich", "markdown", "csv", "html")
# Of a report for the terminal that is written to a file.
_WIDTH = 110

# Heading, the name of a value, and how it is written; what a reader looks at first.
_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("forward", "forward_rms[:-1].ratio", significant),
    ("gradient", "backward_rms.ratio", lambda value: significant(1 / value if value else math.inf)),
    ("weight grad.", "weight_gradient_rms.spread", significant),
    ("dead", "dead.max", lambda value: _percent(value)),
    ("saturated", "saturated.mean", lambda value: _percent(value)),
    ("rank", "effective_rank[:-1].last", significant),
    ("alike", "correlation[:-1].last", significant),
    ("distinct", "distinct.min", lambda value: _percent(value)),
    ("condition", "jacobian_condition", significant),
    ("step", "update_ratio.max", significant),
    ("loss", "loss", significant),
)
_PICTURES = (
    ("forward_rms", "Forward", "rms of the output"),
    ("backward_rms", "Backward", "rms of the gradient"),
    ("weight_gradient_rms", "Weight gradients", "rms of the gradient"),
    ("correlation", "Correlation", "cosine of two inputs"),
)


@dataclass(frozen=True)
class _Section:
    """One setting: its title, and its techniques with the cells that they are."""

    probes: Probes
    title: str
    cells: dict[str, int]

    def rows(self, cell: int) -> NDArray[np.int64]:
        """The numbers of a cell's probes."""
        return np.flatnonzero(self.probes.cell == cell)

    @cached_property
    def theories(self) -> dict[str, Theory | None]:
        """What the theory says of each technique."""
        return {name: theory(self.probes, cell) for name, cell in self.cells.items()}

    def layers(self, cell: int, quantity: str) -> NDArray[np.float64]:
        """``[seed, layer]``, NaN where there is no number; of networks that could not start there is no row."""
        found = [self.probes.records[row].layers.get(quantity) for row in self.rows(cell)]
        return np.array([values for values in found if values], dtype=float)


def document(probes: Probes) -> list[Block]:
    """All that is said of some probes."""
    sections = _sections(probes)
    seen = [_seen(section, technique) for section in sections for technique in section.cells]
    blocks: list[Block] = [Heading("The answer", anchor="answer"), Paragraph(answer(seen, len(sections)))]
    for place, section in enumerate(sections, start=1):
        blocks += [Heading(section.title), _table(section), *_beside(section), *_errors(section)]
        blocks += _pictures(section, place)
    return blocks


def _seen(section: _Section, technique: str) -> Seen:
    """What the answer is made of."""
    mine = section.rows(section.cells[technique])

    def median(quantity: str) -> float:
        return _median(section.probes.value(quantity)["value"].to_numpy()[mine])

    back, found = median("backward_rms.ratio"), section.theories[technique]
    return Seen(
        technique=technique,
        forward=median("forward_rms[:-1].ratio"),
        gradient=1 / back if back else math.inf,
        distinct=median("distinct.min"),
        n_lost=sum(section.probes.records[row].outcome != "ok" for row in mine),
        n=len(mine),
        off=math.nan if found is None else found.largest("forward_rms"),
    )


def headline(probes: Probes) -> tuple[str, str]:
    """A title and a sentence on what it is about."""
    n_cells = len(set(probes.cell.tolist()))
    return (
        "Before training",
        f"{counted(len(probes), 'network')} in {counted(n_cells, 'cell')}, looked at before their first step.",
    )


def text(probes: Probes, form: str) -> str:
    """The document in one format: ``rich`` (as on a terminal), ``markdown``, ``html``; ``csv`` is a row per number."""
    if form == "csv":
        return to_csv(table(probes))
    return to_format(form, document(probes), headline(probes), _WIDTH)


def table(probes: Probes) -> pd.DataFrame:
    """:meth:`Probes.frame` with the settings of each network, its technique, outcome and key."""
    frame = probes.frame()
    cells = probes.cells.drop(columns=["setting", "whole"])
    labels = pd.Series([probes.records[row].asked.label for row in _first_rows(probes)], dtype=object)
    found = cells.iloc[frame["cell"]].reset_index(drop=True)
    found.insert(0, "technique", labels.iloc[frame["cell"]].to_numpy())
    about = {
        (cell, seed): (record.outcome, record.key)
        for record, cell, seed in zip(probes.records, probes.cell.tolist(), probes.seed.tolist(), strict=True)
    }
    pairs = list(zip(frame["cell"], frame["seed"], strict=True))
    found["seed"] = frame["seed"]
    found["outcome"] = [about[pair][0] for pair in pairs]
    found = found.join(frame[["quantity", "layer", "value"]])
    found["key"] = [about[pair][1] for pair in pairs]
    return found


def _first_rows(probes: Probes) -> list[int]:
    """Of each cell a probe; of one without any of them the first of all, which nobody asks for."""
    first: dict[int, int] = {}
    for row, cell in enumerate(probes.cell.tolist()):
        first.setdefault(cell, row)
    return [first.get(cell, 0) for cell in range(len(probes.cells))]


def _sections(probes: Probes) -> list[_Section]:
    grouped: dict[str, dict[str, int]] = {}
    held = []
    first = _first_rows(probes)
    for cell in dict.fromkeys(probes.cell.tolist()):
        identity = {key: value for key, value in probes.identities[cell].items() if key not in START_GROUPS}
        setting = json.dumps(identity)
        if setting not in grouped:
            held.append(identity)
        names = grouped.setdefault(setting, {})
        label = probes.records[first[cell]].asked.label
        row = probes.cells.iloc[cell]
        names[label if label not in names else f"{label} ({row['init_params']}, biases {row['bias']})"] = cell
    of = titles(held, START_GROUPS)
    return [_Section(probes, title, names) for title, names in zip(of, grouped.values(), strict=True)]


def _table(section: _Section) -> Table:
    """The quantities that people look at, the median over the seeds."""
    values = {name: section.probes.value(name)["value"].to_numpy() for _, name, _ in _COLUMNS}
    uniform = section.probes.value("loss_uniform")["value"]
    rows, sizes = [], []
    for technique, cell in section.cells.items():
        mine = section.rows(cell)
        sizes.append(len(mine))
        lost = sum(section.probes.records[row].outcome != "ok" for row in mine)
        cells = [written(_median(values[name][mine])) for _, name, written in _COLUMNS]
        rows.append((technique, *cells, f"{lost}/{len(mine)}"))
    caption = (
        f"The median of {span(min(sizes), max(sizes))} seeds, on the first batch of the training. Forward: rms of what "
        "the last hidden layer hands on over that of the first. Gradient: rms of what comes back to the first layer's "
        "output over that at the output. Weight grad.: largest over smallest rms of all layers. Dead: units of the "
        "worst layer whose activation is flat for every input, in %; saturated: nearly flat slopes in all layers, in "
        "%. Rank, alike: effective rank of the last hidden layer, and the mean cosine of two inputs there before the "
        "activation. Distinct: units of the worst layer whose weight gradient no other has, in %. Condition: of "
        "d output / d input. Step: largest rms of a weight's first step over that of the weight. Loss: before it; that "
        f"of equal probabilities is {significant(_median(uniform.to_numpy()))}. Lost: networks with a NaN or an "
        "infinity, or that could not start."
    )
    return Table(
        ("technique", *(heading for heading, _, _ in _COLUMNS), "lost"),
        tuple(rows),
        title="Before training",
        caption=caption,
    )


def _beside(section: _Section) -> list[Block]:
    """Measured and expected, and how many standard errors they are apart."""
    rows = []
    for technique, found in section.theories.items():
        if found is None:
            continue
        cell, field = section.cells[technique], found.field
        row = [technique, *(["–"] * 4 if field is None else _of_field(field))]
        for quantity, layer in (("forward_rms", -2), ("backward_rms", 0), ("correlation", -2)):
            measured = section.layers(cell, quantity)
            if measured.shape[1] < 2:
                row += [NONE] * 3
                continue
            mean = _mean(measured[:, layer], quantity in LOGARITHMIC)
            row += [significant(mean), significant(float(found.layers[quantity].value[layer]))]
            row.append(number(found.largest(quantity), 1))
        rms = section.probes.value("jacobian_mean")["value"].to_numpy()[section.rows(cell)]
        row += [significant(_mean(rms, True)), significant(float(found.jacobian.value[0]))]
        row.append(number(found.largest("jacobian_mean"), 1))
        rows.append(tuple(row))
    if not rows:
        return [Paragraph("The theory of wide perceptrons says nothing of these networks.")]
    header = (
        "technique", "σ_w", "σ_b", "χ₁", "ξ", "forward", "theory", "off", "gradient", "theory", "off",
        "alike", "theory", "off", "Jacobian", "theory", "off",
    )  # fmt: skip
    caption = (
        "σ_w² / fan_in and σ_b² are the variances of the weights and biases of hidden layers; χ₁ says by how much a "
        "squared gradient grows in one of many layers (1: the edge of chaos), ξ over how many layers two inputs are "
        "told apart. Measured is the mean over the seeds (of logarithms, but for alike), theory is what networks "
        "without end to their width would do with these inputs, and off is the largest deviation of any layer in "
        "standard errors: of a network of this width, of so many seeds. Forward, alike: of the last hidden layer. "
        "Gradient: at the first layer. Jacobian: rms of the singular values of d output / d input. – where theory "
        "says nothing; techniques whose entries are not random with mean zero are left out."
    )
    return [Table(header, tuple(rows), title="Beside the theory of wide networks", caption=caption)]


def _of_field(field: Field) -> list[str]:
    return [significant(value) for value in (field.sigma_w, field.sigma_b, field.chi_1, field.xi)]


def _errors(section: _Section) -> list[Block]:
    errors = dict.fromkeys(
        f"{technique}: {record.error}"
        for technique, cell in section.cells.items()
        for record in (section.probes.records[row] for row in section.rows(cell))
        if record.error
    )
    return [Paragraph(f"Could not start: {'; '.join(list(errors)[:5])}.")] if errors else []


def _pictures(section: _Section, place: int) -> list[Block]:
    blocks: list[Block] = []
    for quantity, title, label in _PICTURES:
        figure = _profile(section, place, quantity, title, label)
        blocks += [figure] if figure else []
    fields = {name: found.field for name, found in section.theories.items() if found is not None}
    known = {name: field for name, field in fields.items() if field is not None}
    if known:
        rows = [(name, *_of_field(field)) for name, field in known.items()]
        caption = "As in the table beside the theory."
        numbers = Table(("technique", "σ_w", "σ_b", "χ₁", "ξ"), tuple(rows), caption=caption)
        blocks.append(Figure(f"plane-{place}", f"Edge of chaos: {section.title}", plane(known), numbers, extra=True))
    return blocks


def _profile(section: _Section, place: int, quantity: str, title: str, label: str) -> Figure | None:
    """A panel per technique: the middle of the seeds and where most of them are, by layer, and the theory."""
    logarithmic = quantity != "correlation"
    panels, rows, n_layers = [], [], 0
    for technique, cell in section.cells.items():
        values = section.layers(cell, quantity)
        if values.size == 0 or values.shape[1] < 3:
            continue
        values = np.where((values > 0) | (not logarithmic), values, np.nan)
        n_layers = max(n_layers, values.shape[1])
        middle, low, high = (_quantile(values, at) for at in (0.5, 0.1, 0.9))
        found = section.theories[technique]
        expected = None if found is None or quantity not in found.layers else found.layers[quantity].value
        panels.append(
            Panel(
                technique,
                (),
                _line(middle),
                band=(_line(low), _line(high)),
                theory=None if expected is None else _line(expected),
            )
        )
        picked = _picked(values.shape[1])
        rows.append((technique, *(significant(float(middle[layer])) for layer in picked)))
    if not panels or not any(np.isfinite(panel.middle[1]).any() for panel in panels):
        return None
    header = ("technique", *(f"layer {layer + 1}" for layer in _picked(n_layers)))
    rows = [(*row, *[""] * (len(header) - len(row))) for row in rows]
    caption = "The median of the seeds."
    plot = Panels(
        "layer  (line: median of the seeds; band: 80 % of them; dashed: theory)",
        label,
        tuple(panels),
        log_y=logarithmic,
    )
    name = f"{quantity.replace('_rms', '').replace('_', '-')}-{place}"
    return Figure(name, f"{title}: {section.title}", plot, Table(header, tuple(rows), caption=caption), extra=True)


def _picked(n_layers: int) -> list[int]:
    """At most six layers, from the first to the last."""
    return sorted({round(at) for at in np.linspace(0, n_layers - 1, min(6, n_layers))})


def _line(values: Sequence[float] | NDArray[np.float64]) -> Line:
    return tuple(float(layer) for layer in range(1, len(values) + 1)), tuple(map(float, values))


def _quantile(values: NDArray[np.float64], at: float) -> NDArray[np.float64]:
    """Over the seeds, of those that have a number."""
    found = np.full(values.shape[1], np.nan)
    for layer, column in enumerate(values.T):
        there = column[np.isfinite(column)]
        if len(there):
            found[layer] = np.quantile(there, at)
    return found


def _median(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(np.median(there)) if len(there) else math.nan


def _mean(values: NDArray[np.float64], logarithmic: bool) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(values).mean())) if logarithmic else float(values.mean())


def _percent(value: float) -> str:
    return NONE if math.isnan(value) else f"{100 * value:.3g}"


def write_figures(probes: Probes, folder: Path) -> None:
    """Every figure as PNG and SVG.

    Raises:
        StorageError: the folder cannot be written.
    """
    from initbench.render.figures import write

    write(document(probes), folder)
