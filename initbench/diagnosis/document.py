"""A diagnosis as a document."""

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from initbench.diagnosis.findings import SEVERITIES, Finding, compressed, listed
from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table
from initbench.render.formats import to_format
from initbench.render.plots import Line, Panel, Panels

_WIDTH = 120


def document(findings: Sequence[Finding], notes: bool = True) -> list[Block]:
    """Every finding with its cause and its line, under one line that sums up; those of one check together.

    Args:
        findings: the worst first.
        notes: whether those of the least severity are told in full.
    """
    blocks: list[Block] = [Paragraph(summary(findings, notes))]
    told = [one for one in findings if notes or one.severity != SEVERITIES[-1]]
    for (severity, check), group in itertools.groupby(told, lambda one: (one.severity, one.check)):
        alike = [*group]
        first, others = alike[0], [one.where for one in alike[1:]]
        blocks.append(Heading(f"{severity}: {first.where or 'the module'} ({check})"))
        also = f" Likewise: {listed(others)}." if others else ""
        blocks.append(Paragraph(f"{_sentence(first)}{also}"))
        if lines := compressed([line for one in alike for line in one.lines]):
            blocks.append(Code(lines))
    return blocks


def summary(findings: Sequence[Finding], notes: bool = True) -> str:
    """How much was found."""
    counts = {severity: sum(one.severity == severity for one in findings) for severity in SEVERITIES}
    n_notes = counts.pop(SEVERITIES[-1])
    told = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    more = f" {n_notes} note{'s' * (n_notes > 1)}{'' if notes else ' (--notes)'}." if n_notes else ""
    return (f"Found: {told}." if told else "Nothing is wrong with this start.") + more


def layers_of(table: Table, layers: Mapping[str, Sequence[float]]) -> list[Block]:
    """What was measured of each layer, as a picture of the sizes and as a table.

    Args:
        table: a row for each layer.
        layers: quantity to a number for each layer.
    """

    def line(name: str) -> Line:
        known = [(float(place), value) for place, value in enumerate(layers[name], 1) if value > 0]
        return tuple(x for x, _ in known), tuple(y for _, y in known)

    sizes = {
        "signal forward": "forward_rms",
        "gradient back": "backward_rms",
        "weights' gradient": "weight_gradient_rms",
    }
    panels = tuple(Panel(name, (), line(of)) for name, of in sizes.items() if line(of)[0])
    heading = Heading("Layer by layer", "layers")
    if not panels:
        return [heading, table]
    plot = Panels("layer, in the order of the calls", "root mean square", panels, log_y=True)
    return [heading, Figure("layers", "Sizes by layer", plot, table)]


def text(findings: Sequence[Finding], notes: bool, form: str, model: str, more: Sequence[Block] = ()) -> str:
    """The document in one format: ``rich`` (as on a terminal), ``markdown``, ``html`` or ``json``."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n"
    blocks = [*document(findings, notes), *more]
    # A page has its first block above all others.
    return to_format(form, blocks[form == "html" :], (f"Diagnosis of {model}", summary(findings, notes)), _WIDTH)


def _sentence(one: Finding) -> str:
    """What and why, as sentences; a name stays as it is spelled."""
    begins_with_name = bool(one.where) and one.what.startswith(one.where.split(".")[0])
    what = one.what if begins_with_name else one.what[:1].upper() + one.what[1:]
    return f"{what}: {one.why}."
