"""``initbench.diagnose``: what is wrong with the initialization of a module of anyone's, and the line to write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initbench.diagnosis.findings import Finding
from initbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from initbench.api.probe import Probed


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What :func:`diagnose` found; a prompt and a notebook show it as text.

    Attributes:
        findings: the worst first.
        layers: what was measured of every layer, as :func:`initbench.probe` gives it; None where nothing could be,
            since a parameter holds no numbers.
    """

    findings: tuple[Finding, ...]
    layers: "Probed | None" = None

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """Those that end or spoil training."""
        return tuple(one for one in self.findings if one.severity == "wrong")

    def frame(self) -> "pd.DataFrame":
        """A row for each finding."""
        import pandas as pd

        columns = ["severity", "check", "where", "what", "why", "lines"]
        return pd.DataFrame([[getattr(one, name) for name in columns] for one in self.findings], columns=columns)

    def __repr__(self) -> str:
        from initbench.diagnosis.document import document
        from initbench.render.terminal import to_lines

        return to_lines(document(self.findings), 120)


def diagnose(
    module: "nn.Module | Callable[..., nn.Module]",
    batch: Any,
    target: "torch.Tensor | None" = None,
    loss: "str | Callable[..., torch.Tensor] | None" = None,
    *,
    optimizer: "Callable[[Any], torch.optim.Optimizer] | None" = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> Diagnosis:
    """What is wrong with a module before its first step, which layer it is due to, and what to write instead.

    ``initbench.diagnose(model, images, labels)`` runs it a few times on one batch, in the mode that it is in, and
    leaves it as it was: parameters, gradients, buffers, modes, generators of random numbers. (Lazy parameters get
    their shapes.) A factory in place of the module tells more: what it never writes is found too, and what changes
    with its sizes.

    Args:
        module: any ``nn.Module``, or a function that makes one.
        batch: what it is called with: a tensor, a tuple or list of arguments, a mapping of keywords.
        target: what its output is compared with.
        loss: ``cross_entropy``, ``mse`` or ``bce`` (binary cross-entropy of logits); a function of output and target,
            or of the output where there is no target. None: cross-entropy for whole numbers, ``bce`` for truth
            values, else ``mse``; without a target a fixed random direction of the output.
        optimizer: from parameters to an optimizer, ``lambda p: torch.optim.AdamW(p, lr=1e-3)``: its first step is
            looked at too.
        sizes: of a factory, keyword to ascending sizes, ``{"width": [64, 128, 256]}``: how what the layers put out
            changes with them, before and after three steps of the optimizer (AdamW at 1e-3 where none is given).

    Raises:
        InputError: the module, the loss or the factory fails, or no layer is found.
    """
    import torch
    from torch import nn

    from initbench.analysis.probes import LAYERS
    from initbench.api.probe import Probed
    from initbench.diagnosis import checks, steps, untrained
    from initbench.diagnosis.evidence import gather
    from initbench.diagnosis.findings import sorted_by_severity
    from initbench.diagnosis.objectives import objective
    from initbench.errors import in_one_line
    from initbench.probing.calls import untouched
    from initbench.probing.module import first_step

    aim = objective(loss, target)
    for axis, values in (sizes or {}).items():
        several = isinstance(values, Sequence) and len(set(values)) > 1
        if not several or not all(isinstance(one, int) and one > 0 for one in values):
            raise InputError(f"sizes: '{axis}' needs two sizes or more, whole numbers; got {values}")
    found: list[Finding] = []
    of = module
    if not isinstance(module, nn.Module):
        if not callable(module):
            raise InputError(f"diagnose needs an nn.Module or a function that makes one; got {type(module).__name__}")
        with in_one_line(untrained.called_as(module)), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            never = untrained.unwritten(module)
            torch.manual_seed(0)
            of = module()
        if not isinstance(of, nn.Module):
            raise InputError(f"{untrained.called_as(module)} must return an nn.Module; got {type(of).__name__}")
        found += untrained.never_written(never, of)
    elif sizes:
        raise InputError("sizes needs a factory in place of the module")
    assert isinstance(of, nn.Module)
    untrained.settle(of, batch)
    found += untrained.not_finite(of, {one.where for one in found})
    if any(one.check == "not_finite" for one in found):
        return Diagnosis(tuple(sorted_by_severity(found)))
    with untouched(of), untrained.written(of, [one.where for one in found]), in_one_line(type(of).__name__):
        evidence = gather(of, batch, aim, first_step(optimizer, 0.1))
        found += checks.findings(evidence, with_steps=optimizer is not None)
        seen = evidence.seen
    for axis, values in (sizes or {}).items():
        rule = optimizer or (lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))
        found += steps.slopes(module, axis, sorted(values), batch, aim, rule)
    probed = Probed(seen.names, {name: seen.layers[name] for name in LAYERS}, seen.values)
    return Diagnosis(tuple(sorted_by_severity(found)), probed)
