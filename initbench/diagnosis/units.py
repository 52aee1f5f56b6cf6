"""Units that are flat for every input, that are saturated, or that are copies of each other."""

from collections.abc import Iterator

import torch

from initbench.diagnosis.evidence import Evidence, rms, scale
from initbench.diagnosis.findings import Finding, number, spelled

# Of so few inputs some units are flat by chance: a relu's for one in 2^n.
_INPUTS = 8
_MANY, _MOST = 0.5, 0.9
# Of these a small slope on both sides means too large an input; a relu's left half is meant to be flat.
_BOUNDED = ("sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign", "logsigmoid")


def dead(evidence: Evidence) -> Iterator[Finding]:
    """Layers most of whose units have a flat activation for every input."""
    for row, share in enumerate(evidence.seen.layers["dead"]):
        if not share > _MANY or evidence.n_inputs < _INPUTS or row == evidence.head:
            continue
        where, bias, weight = evidence.seen.paths[row], evidence.bias(row), evidence.weight(row)
        own = evidence.seen.layers["output_rms"][row]
        if not own:
            # It puts out zeros: that is told of its weights.
            continue
        why = f"its activation is flat where it begins; what it gets has size {number(own)}"
        lines: tuple[str, ...] = ()
        if bias is not None and float(bias[1].mean()) < -0.5 * own:
            why = f"its bias lies around {number(float(bias[1].mean()))} and keeps the units below zero"
            lines = (f"torch.nn.init.zeros_({spelled(bias[0])})",)
        elif weight is not None and abs(mean := float(weight.tensor.detach().mean())) > 0.5 * rms(weight.tensor):
            why = f"its weights have the mean {number(mean)}, not 0: all units get the same sign"
            lines = (f"torch.nn.init.kaiming_normal_({spelled(weight.name)}, nonlinearity='relu')",)
        yield Finding(
            "dead_units",
            "wrong" if share > _MOST else "doubtful",
            where,
            f"{share:.0%} of the units of {where} are flat for all {evidence.n_inputs} inputs: nothing reaches them",
            why,
            lines,
        )


def saturated(evidence: Evidence) -> Iterator[Finding]:
    """Layers of a bounded activation whose inputs are so large that little gradient comes through."""
    for row, share in enumerate(evidence.seen.layers["saturated"]):
        name = evidence.seen.behind[row][-1] if evidence.seen.behind[row] else ""
        if not share > _MANY or name not in _BOUNDED or row == evidence.head:
            continue
        weight, size = evidence.weight(row), evidence.seen.layers["preactivation_rms"][row]
        if weight is None or size <= 1:
            continue
        where = evidence.seen.paths[row]
        yield Finding(
            "saturated",
            "wrong" if share > _MOST else "doubtful",
            where,
            f"{share:.0%} of what the {name} behind {where} gets lies where its slope is under a twentieth",
            f"what it gets has size {number(size)} and not about 1; the weights' std · √fan_in is "
            f"{number(scale(weight))}",
            (f"{spelled(weight.name)}.data.mul_({number(1 / size)})",),
        )


def copies(evidence: Evidence) -> Iterator[Finding]:
    """Layers in which most units have the weights and the gradient of another one: they stay copies for ever."""
    for row, share in enumerate(evidence.filled.layers["distinct"]):
        weight = evidence.weight(row)
        if weight is None or row == evidence.head or not share < _MANY or "embedding" in weight.roles:
            continue
        if not evidence.filled.layers["weight_gradient_rms"][row] > 0:
            continue
        values = weight.tensor.detach()
        by_unit = (values.transpose(0, 1) if weight.transposed else values).flatten(1)
        distinct = len(torch.unique(by_unit, dim=0)) / len(by_unit)
        if distinct >= _MANY:
            continue
        where = evidence.seen.paths[row]
        same = "hold zeros" if not bool(values.any()) else "repeat the same rows"
        yield Finding(
            "copies",
            "wrong",
            where,
            f"of the {len(by_unit)} units of {where} only {round(share * len(by_unit))} get a gradient of their own",
            f"its weights {same}, and what begins equal and gets equal gradients stays equal: the layer is that much "
            "narrower",
            (f"torch.nn.init.xavier_uniform_({spelled(weight.name)})",),
        )
