"""Every check in order, from what a module is to how it behaves; a new one is a function and a line here."""

from collections.abc import Callable, Iterable

from initbench.diagnosis import laws, output, signal, steps, units, untrained
from initbench.diagnosis.evidence import Evidence
from initbench.diagnosis.findings import Finding, sorted_by_severity

CHECKS: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    untrained.unused,
    untrained.unmoved,
    signal.overflow,
    output.constant,
    output.loss,
    signal.stream,
    signal.drift,
    signal.alone,
    units.dead,
    units.saturated,
    units.copies,
    laws.forgetting,
    laws.half_gpt2,
    laws.wrong_fans,
    laws.normed,
)


def findings(evidence: Evidence, with_steps: bool) -> list[Finding]:
    """What all checks find, the worst first.

    Args:
        evidence: of one module.
        with_steps: whether the first step is that of the user's own optimizer, and says something.
    """
    checks = (*CHECKS, steps.updates) if with_steps else CHECKS
    return sorted_by_severity([one for check in checks for one in check(evidence)])
