"""A diagnosis as a document."""

import itertools
from collections.abc import Sequence

import msgspec

from initbench.diagnosis.findings import SEVERITIES, Finding, compressed, listed
from initbench.render.blocks import Block, Code, Heading, Paragraph
from initbench.render.markdown import to_markdown
from initbench.render.page import to_html
from initbench.render.terminal import to_text

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


def text(findings: Sequence[Finding], notes: bool, form: str, model: str) -> str:
    """The document in one format: ``rich`` (as on a terminal), ``markdown``, ``html`` or ``json``."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n"
    blocks = document(findings, notes)
    if form == "html":
        return to_html(blocks[1:], f"Diagnosis of {model}", summary(findings, notes))
    return to_markdown(blocks) if form == "markdown" else to_text(blocks, _WIDTH)


def _sentence(one: Finding) -> str:
    """What and why, as sentences; a name stays as it is spelled."""
    begins_with_name = bool(one.where) and one.what.startswith(one.where.split(".")[0])
    what = one.what if begins_with_name else one.what[:1].upper() + one.what[1:]
    return f"{what}: {one.why}."
