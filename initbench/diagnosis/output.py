"""The output and the loss before the first step, beside what a constant answer would lose, and whose fault it is."""

import math
from collections.abc import Iterator

import torch

from initbench.diagnosis import objectives
from initbench.diagnosis.evidence import Evidence, rms, scale, true_fans
from initbench.diagnosis.findings import Finding, number, spelled
from initbench.diagnosis.signal import stream
from initbench.initializers.parameters import Parameter

# Nats over equal probabilities: logits of variance 2, which is what he draws, lose about 1.
_HIGH, _TOO_HIGH = 2.0, 6.0
# Of a layer's std · √fan_in, and of the size of what comes into it: beyond that they are to blame.
_LARGE = 2.5
# Two samples get the same answer if they differ by less than this part of it.
_SAME = 1e-6


def constant(evidence: Evidence) -> Iterator[Finding]:
    """An output that is the same for all inputs though its layer is not empty, and through which nothing comes back."""
    output, row = evidence.output, evidence.head
    weight = evidence.weight(row)
    if evidence.n_inputs < 2 or output.dim() == 0 or len(output) != evidence.n_inputs or not _is_finite(output):
        return
    spread = float((output - output[:1]).abs().max())
    flat = evidence.seen.layers["dead"][row]
    if spread > _SAME * max(float(output.abs().max()), 1e-30) or flat != 1.0:
        return
    where, behind = evidence.seen.paths[row], evidence.seen.behind[row][-1]
    lines: tuple[str, ...] = ()
    bias, target = evidence.bias(row), evidence.objective.target
    if bias is not None and target is not None and target.is_floating_point() and float(target.mean()) > 0:
        lines = (f"{spelled(bias[0])}.data.fill_({number(float(target.mean()))})",)
    size = f", whose weights have std {number(rms(weight.tensor))}" if weight is not None else ""
    yield Finding(
        "constant_output",
        "wrong",
        where,
        f"the output is {number(float(output.flatten()[0]))} for all {evidence.n_inputs} inputs, and no gradient comes "
        "back through it",
        f"a {behind} comes behind {where}{size}, and it is flat for every input; leave it out, or begin where it is "
        "not flat",
        lines,
    )


def loss(evidence: Evidence) -> Iterator[Finding]:
    """A loss far above that of equal probabilities, of the mean, or of the classes' frequencies."""
    value = evidence.seen.values["loss"]
    if not math.isfinite(value) and evidence.objective.kind != "none" and _is_finite(evidence.output):
        yield Finding(
            "loss_not_finite",
            "wrong",
            "",
            f"the loss before the first step is {number(value)}, and the output is finite",
            f"the output has size {number(rms(evidence.output))}; the loss itself leaves its domain or overflows",
        )
    if not evidence.objective.is_known or not math.isfinite(value):
        return
    yield from {"cross_entropy": _classes, "bce": _binary, "mse": _regression}[evidence.objective.kind](evidence, value)


def _classes(evidence: Evidence, value: float) -> Iterator[Finding]:
    target = evidence.objective.target
    assert target is not None
    classes = objectives.n_classes(evidence.output, target)
    uniform = math.log(classes)
    if value > uniform + _HIGH:
        severity = "wrong" if value > uniform + _TOO_HIGH else "doubtful"
        yield from _too_large(
            evidence, severity, f"the loss before the first step is {number(value)}; that of equal probabilities over "
            f"{classes} classes is {number(uniform)}",
        )  # fmt: skip
        return
    shares = objectives.frequencies(target, classes)
    bias = evidence.bias(evidence.head)
    if shares is not None and uniform - objectives.entropy(shares) > 0.5 and bias is not None:
        yield Finding(
            "output_bias",
            "doubtful",
            evidence.seen.paths[evidence.head],
            f"the loss before the first step is {number(value)}; knowing only how frequent the classes are, it would "
            f"be {number(objectives.entropy(shares))}",
            "the first steps are spent on the output bias: begin it with the logarithm of the classes' frequencies",
            (f"{spelled(bias[0])}.data.copy_((torch.bincount(target[target >= 0], minlength={classes}) + 1).log())",),
        )


def _binary(evidence: Evidence, value: float) -> Iterator[Finding]:
    target = evidence.objective.target
    assert target is not None
    rate = float(target.double().mean())
    if value > math.log(2) + _HIGH:
        yield from _too_large(
            evidence, "wrong" if value > math.log(2) + _TOO_HIGH else "doubtful",
            f"the loss before the first step is {number(value)}; that of probabilities 0.5 is 0.693",
        )  # fmt: skip
        return
    least = objectives.entropy(torch.tensor([rate, 1 - rate], dtype=torch.float64))
    if 0 < rate < 1 and value > 4 * least and value - least > 0.2:
        bias = evidence.bias(evidence.head)
        logit = math.log(rate / (1 - rate))
        yield Finding(
            "output_bias",
            "wrong",
            evidence.seen.paths[evidence.head],
            f"the loss before the first step is {number(value)}; predicting {number(rate)} everywhere, which is how "
            f"often the target is 1, it would be {number(least)}",
            f"the output begins near probability 0.5, and the first steps, and their large gradients, go into the "
            f"output bias: begin it with ln(p / (1 − p)) = {number(logit)}"
            + ("" if bias is not None else "; the last layer has no bias, so give it one"),
            (f"{spelled(bias[0])}.data.fill_({number(logit)})",) if bias is not None else (),
        )


def _regression(evidence: Evidence, value: float) -> Iterator[Finding]:
    target = evidence.objective.target
    assert target is not None
    wanted = target.detach().double().reshape(len(target), -1) if target.dim() else target.double().reshape(1, 1)
    if len(wanted) < 2:
        return
    mean, spread = wanted.mean(0), float(wanted.var(0, correction=0).mean())
    from_mean = float(mean.square().mean())
    of_output = float(evidence.output.double().square().mean())
    if not spread or value < 4 * spread:
        return
    if of_output > 3 * max(spread, from_mean):
        yield from _too_large(
            evidence, "wrong" if value > 30 * spread else "doubtful",
            f"the loss before the first step is {number(value)}; predicting the mean it would be {number(spread)}",
        )  # fmt: skip
    elif from_mean > spread:
        bias = evidence.bias(evidence.head)
        one = len(mean) == 1
        line = (
            f".data.fill_({number(float(mean[0]))})" if one else ".data.copy_(target.reshape(len(target), -1).mean(0))"
        )
        told = number(float(mean[0])) if one else "the targets' means"
        fits = bias is not None and bias[1].numel() == len(mean)
        yield Finding(
            "output_bias",
            "wrong" if value > 10 * spread else "doubtful",
            evidence.seen.paths[evidence.head],
            f"the loss before the first step is {number(value)}; predicting the mean it would be {number(spread)}",
            f"the output begins near 0 and the target lies around {told}: begin the output bias there, or "
            "standardise the target",
            (spelled(bias[0]) + line,) if fits and bias is not None else (),
        )


def _too_large(evidence: Evidence, severity: str, what: str) -> Iterator[Finding]:
    """Outputs that are far too large, and whose fault that is: the head, what comes into it, or its bias."""
    row = evidence.head
    where, weight = evidence.seen.paths[row], evidence.weight(row)
    given = evidence.seen.layers["input_rms"][row]
    bias = evidence.bias(row)
    if weight is not None and scale(weight) > _LARGE:
        yield _head(evidence, severity, what, weight)
    elif given > _LARGE:
        yield _before(evidence, severity, what, given)
    elif bias is not None and rms(bias[1]) > 1:
        yield Finding(
            "output_bias",
            severity,
            where,
            what,
            f"the output bias has a root mean square of {number(rms(bias[1]))}",
            (f"torch.nn.init.zeros_({spelled(bias[0])})",),
        )
    elif (of_output := rms(evidence.output)) > 2 * (of_layer := evidence.seen.layers["output_rms"][row]):
        yield Finding(
            "output_scale",
            severity,
            where,
            what,
            f"{where} gives numbers of size {number(of_layer)}, and the output has {number(of_output)}: what comes "
            "behind the last layer makes it larger",
        )


def _head(evidence: Evidence, severity: str, what: str, weight: Parameter) -> Finding:
    fan_in = true_fans(weight)[0]
    names = evidence.owners[id(weight.tensor)]
    wanted, has = 1 / math.sqrt(fan_in), rms(weight.tensor)
    own = f"std {number(has)} where {fan_in} inputs ask for 1/√{fan_in} = {number(wanted)}"
    if len(names) > 1:
        tied = " and ".join(names)
        return Finding(
            "tied_head", severity, names[-1], what,
            f"{tied} are one parameter, drawn as an embedding: {own}",
            (f"torch.nn.init.normal_({spelled(names[0])}, std={number(wanted)})",),
        )  # fmt: skip
    return Finding(
        "head_scale", severity, names[0], what,
        f"the last layer is {number(has / wanted)} times too large: {own}",
        (f"torch.nn.init.normal_({spelled(names[0])}, std={number(wanted)})",),
    )  # fmt: skip


def _before(evidence: Evidence, severity: str, what: str, given: float) -> Finding:
    """What comes into the head is large: the first layer that puts out more than it got, and is not normed."""
    if of_blocks := next((one for one in stream(evidence) if one.check == "stream_grows"), None):
        size = f"what comes into the last layer has size {number(given)}, not 1; {of_blocks.what}"
        return Finding("hidden_scale", severity, of_blocks.where, what, size, of_blocks.lines)
    layers = evidence.seen.layers
    worst, most = evidence.head, 0.0
    for row in range(evidence.head):
        came = layers["input_rms"][row]
        out = layers["output_rms"][row]
        grown = out / came if came == came and came > 0 else out
        if not evidence.is_normed(row) and grown > most:
            worst, most = row, grown
    where = evidence.seen.paths[worst]
    weight = evidence.weight(worst)
    lines: tuple[str, ...] = ()
    if weight is not None and most > 1:
        lines = (f"{spelled(weight.name)}.data.mul_({number(1 / most)})",)
    return Finding(
        "hidden_scale",
        severity,
        where,
        what,
        f"what comes into the last layer has size {number(given)}, not 1; {where} puts out {number(most)} times what "
        "it gets",
        lines,
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(tensor.isfinite().all())
