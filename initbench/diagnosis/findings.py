"""What a check says: the layer, the number, the cause, and the line to write. Needs no torch."""

import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

# From what ends or spoils training, over what may, to what is worth knowing.
SEVERITIES = ("wrong", "doubtful", "note")

# A parameter as a line has it.
_NAME = re.compile(r"\bmodel(?:\.(?!data\b)\w+|\[\d+\])+")


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        check: which one, a name that stays: ``head_scale``, ``dead_units`` and the like.
        severity: one of :data:`SEVERITIES`.
        where: the layer or parameter by its name in the module; empty where it is the whole module.
        what: what was measured, with its numbers, in one sentence.
        why: the cause, and what would be expected.
        lines: Python that mends it, of ``model``, ``torch`` and ``initbench``; empty where no line of initialization
            does.
    """

    check: str
    severity: str
    where: str
    what: str
    why: str
    lines: tuple[str, ...] = ()


def sorted_by_severity(findings: list[Finding]) -> list[Finding]:
    """The worst first, else in their order."""
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def spelled(name: str) -> str:
    """A parameter or a layer as Python has it: ``layers.3.weight`` is ``model.layers[3].weight``."""
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split(".") if part)


def listed(names: list[str], most: int = 4) -> str:
    """Some names as text, the first ones where there are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def compressed(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines that differ in nothing but the parameter as a loop over the parameters, where there are many."""
    found: list[str] = []
    for template, group in itertools.groupby(lines, lambda line: _NAME.sub("tensor", line, count=1)):
        alike = [*group]
        if len(alike) < 3:
            found += alike
            continue
        names = [match[0] for line in alike if (match := _NAME.search(line))]
        found += [*textwrap.wrap(f"for tensor in ({', '.join(names)}):", 78, subsequent_indent=" " * 15)]
        found.append(f"    {template}")
    return tuple(found)


def number(value: float) -> str:
    """Three digits, without an exponent where that is readable."""
    if value != value:
        return "NaN"
    text = f"{value:.3g}"
    if 1000 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return re.sub(r"e([+-])0*(\d+)", lambda found: f"e{'-' if found[1] == '-' else ''}{found[2]}", text)
