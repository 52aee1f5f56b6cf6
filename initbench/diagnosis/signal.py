"""How the size of signals and gradients changes from layer to layer, and which layers are to blame."""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from initbench.activations import ACTIVATIONS, rms_gain
from initbench.diagnosis.evidence import Evidence, scale, true_fans
from initbench.diagnosis.findings import Finding, compressed, number, spelled

# From the first to the last layer, by the trend over all of them.
_DRIFT, _GREAT_DRIFT = 1e2, 1e3
_NORMED_DRIFT = 1e4
# A layer by itself, beside its neighbours.
_ALONE = 8.0
# A stream from the first to the last block; sums of equal parts grow by the root of their number.
_STREAM = 30.0
# Fewer layers show no trend.
_LEAST = 4
# The weights of a layer are what its activation asks for if they are so within this factor.
_FITS = 1.4
# As torch's modules and functions call them, in small letters.
_SAME_AS = {"leakyrelu": "leaky_relu", "hardtanh": "tanh", "relu6": "relu", "logsigmoid": "sigmoid", "prelu": "relu"}


def overflow(evidence: Evidence) -> Iterator[Finding]:
    """The first layer that puts out something that is not finite."""
    out = evidence.seen.layers["output_rms"]
    row = next((row for row, value in enumerate(out) if not math.isfinite(value)), None)
    if row is None:
        return
    where, came = evidence.seen.paths[row], evidence.seen.layers["input_rms"][row]
    growth = _trend(out[: max(row, 1)])
    if not math.isfinite(came):
        why = "what comes into it is not finite: look at the input"
    elif row >= _LEAST and growth > 1.5:
        why = f"the signal grows {number(growth)} times a layer until no number can hold it; {_blame(evidence, row)}"
    else:
        why = f"its input has size {number(came)}: its own weights hold what is not finite, or overflow"
    yield Finding(
        "overflow",
        "wrong",
        where,
        f"{where} is the first layer that puts out what is not finite",
        why,
        _lines(evidence, range(row)) if row >= _LEAST else (),
    )


def drift(evidence: Evidence) -> Iterator[Finding]:
    """A gradient that shrinks or grows on its way back, or a signal on its way forward, by a factor a layer."""
    seen = evidence.filled
    rows = [row for row in range(len(seen.paths)) if row != evidence.head]
    back = [seen.layers["backward_norm"][row] for row in rows]
    forth = [seen.layers["output_rms"][row] for row in rows]
    if len(rows) < _LEAST or not all(math.isfinite(value) and value > 0 for value in (*back, *forth)):
        return
    # Both by layer from the first to the last; the gradient goes the other way.
    for what, by_layer in (("gradient", 1 / _trend(back)), ("signal", _trend(forth))):
        total = by_layer ** (len(rows) - 1)
        extent = max(total, 1 / total)
        # Behind norms the size of a gradient is a learning rate only, and deep networks of them train.
        normed = 2 * sum(evidence.is_normed(row) for row in rows) > len(rows)
        if extent < (_NORMED_DRIFT if normed else _DRIFT):
            continue
        first, last = seen.paths[rows[0]], seen.paths[rows[-1]]
        grows = total > 1
        way = f"from {last} back to {first}" if what == "gradient" else f"from {first} to {last}"
        factor = by_layer if grows else 1 / by_layer
        yield Finding(
            f"{what}_{'grows' if grows else 'shrinks'}",
            "wrong" if extent > _GREAT_DRIFT and not normed else "doubtful",
            first if what == "gradient" else last,
            f"the {what} {'grows' if grows else 'shrinks'} {number(factor)} times a layer, {number(extent)} times "
            f"{way}",
            _blame(evidence, len(rows)),
            _lines(evidence, rows),
        )
        return


def stream(evidence: Evidence) -> Iterator[Finding]:
    """Blocks that hand on ever more, or ever less: the residual stream, which no single layer shows."""
    for name, sizes in evidence.streams.items():
        values = [*sizes.values()]
        if len(values) < _LEAST or not all(math.isfinite(value) and value > 0 for value in values):
            continue
        by_block = _trend(values)
        total = by_block ** (len(values) - 1)
        grows = total > 1
        extent = total if grows else 1 / total
        if extent < _STREAM:
            continue
        (first, begin), (last, end) = list(sizes.items())[0], list(sizes.items())[-1]
        yield Finding(
            f"stream_{'grows' if grows else 'shrinks'}",
            "doubtful",
            name,
            f"what the blocks of {name or 'the module'} hand on {'grows' if grows else 'shrinks'} "
            f"{number(by_block if grows else 1 / by_block)} times a block, from {number(begin)} behind {first} to "
            f"{number(end)} behind {last}",
            "each block multiplies what it gets: a branch that is added as large as its input does so, and one that "
            "ends in zeros, or is divided by the root of the number of blocks, does not",
            _emptied(evidence, name),
        )


def alone(evidence: Evidence) -> Iterator[Finding]:
    """A single layer that changes the size of its signal far more than the others do, with no norm behind it."""
    seen = evidence.seen
    gains = {}
    for row, (came, out) in enumerate(zip(seen.layers["input_rms"], seen.layers["output_rms"], strict=True)):
        if row == evidence.head or evidence.is_normed(row) or not (came > 0 and out > 0) or not math.isfinite(out):
            continue
        if (weight := evidence.weight(row)) is not None:
            gains[row] = out / came, scale(weight)
    if len(gains) < 2:
        return
    middle = float(np.median([math.log(gain) for gain, _ in gains.values()]))
    for row, (gain, own) in gains.items():
        off = math.log(gain) - middle
        # Its weights must be the cause, and not how its inputs lie.
        others = np.median([math.log(size) for other, (_, size) in gains.items() if other != row and size > 0] or [0.0])
        if own <= 0 or abs(off) < math.log(_ALONE) or abs(math.log(own) - float(others)) < math.log(_ALONE):
            continue
        weight, where = evidence.weight(row), seen.paths[row]
        assert weight is not None
        factor = math.exp(abs(off))
        wanted = _wanted(evidence, row) / math.sqrt(true_fans(weight)[0])
        has = own / math.sqrt(true_fans(weight)[0])
        yield Finding(
            "layer_scale",
            "wrong" if factor > 5 * _ALONE else "doubtful",
            where,
            f"{where} puts out {number(gain)} times what it gets, {number(factor)} times "
            f"{'more' if off > 0 else 'less'} than the layer in the middle",
            f"its weights have std {number(has)}; what comes behind it asks for {number(wanted)}",
            (f"torch.nn.init.normal_({spelled(weight.name)}, std={number(wanted)})",),
        )


def _trend(values: Sequence[float]) -> float:
    """The factor from one value to the next: the median of all slopes of their logarithms, which no outlier moves."""
    logs = np.log(np.maximum(values, 1e-300))
    slopes = [(logs[j] - logs[i]) / (j - i) for i, j in itertools.combinations(range(len(logs)), 2)]
    return math.exp(float(np.median(slopes))) if slopes else 1.0


def _blame(evidence: Evidence, n_rows: int) -> str:
    """What the weights of the layers are, beside what their activations ask for."""
    ratios = {row: ratio for row in range(n_rows) if (ratio := _ratio(evidence, row)) is not None}
    if not ratios:
        return "no layer's weights could be compared with what its activation asks for"
    middle = math.exp(float(np.median([math.log(ratio) for ratio in ratios.values()])))
    row = min(ratios, key=lambda row: abs(math.log(ratios[row] / middle)))
    weight, name = evidence.weight(row), _activation(evidence, row)
    assert weight is not None
    fan_in = true_fans(weight)[0]
    has, wanted = scale(weight) / math.sqrt(fan_in), _wanted(evidence, row) / math.sqrt(fan_in)
    if 1 / _FITS < middle < _FITS:
        if blocks := _blocks(evidence):
            return (
                f"the weights are what {name or 'the layers'} ask for, but each block of {blocks[0]} adds a branch as "
                "large as its input, and nothing makes it smaller"
            )
        return f"the weights are what {name or 'the layers'} ask for: it is the depth, or what is between the layers"
    return (
        f"the weights are {number(max(middle, 1 / middle))} times too {'large' if middle > 1 else 'small'}: "
        f"{evidence.seen.paths[row]} has std {number(has)}, where {name or 'no activation'} with {fan_in} inputs asks "
        f"for {number(wanted)}"
    )


def _lines(evidence: Evidence, rows: Sequence[int]) -> tuple[str, ...]:
    """The line for each layer whose weights do not fit; where all do, one that empties the end of each block."""
    off = {row: ratio for row in rows if (ratio := _ratio(evidence, row)) is not None}
    unfit = {row: ratio for row, ratio in off.items() if not 1 / _FITS < ratio < _FITS}
    if off and len(unfit) * 2 < len(off) and (blocks := _blocks(evidence)):
        return _emptied(evidence, blocks[0])
    lines, done = [], set[str]()
    for row in unfit:
        weight = evidence.weight(row)
        assert weight is not None
        if weight.name not in done:
            done.add(weight.name)
            std = _wanted(evidence, row) / math.sqrt(true_fans(weight)[0])
            lines.append(f"torch.nn.init.normal_({spelled(weight.name)}, std={number(std)})")
    return compressed(lines)


def _emptied(evidence: Evidence, name: str) -> tuple[str, ...]:
    """The lines that empty the end of each block of a list."""
    blocks = _blocks(evidence)
    if blocks is None or blocks[0] != name:
        return ()
    return (f"for block in {spelled(name)}:", f"    torch.nn.init.zeros_(block{spelled(blocks[1])[5:]})")


def _ratio(evidence: Evidence, row: int) -> float | None:
    """The size of a layer's weights over what its activation asks for; None where nothing can be said."""
    weight = evidence.weight(row)
    if weight is None or "embedding" in weight.roles or evidence.is_normed(row) or row == evidence.head:
        return None
    own = scale(weight)
    return own / _wanted(evidence, row) if own > 0 and math.isfinite(own) else None


def _wanted(evidence: Evidence, row: int) -> float:
    """``std · √fan_in`` at which the activation in front of the next layer keeps the size of the signal."""
    name = _activation(evidence, row)
    if name == "sin":
        # Sitzmann et al. 2020, arXiv:2006.09661: U(±√(6/n)/ω) for sin(ω(Wx + b)); ω is seen beside the layer's output.
        before, own = (evidence.seen.layers[of][row] for of in ("preactivation_rms", "output_rms"))
        omega = before / own if before == before and own > 0 else 1.0
        return math.sqrt(2) / max(omega, 1e-6)
    return rms_gain(name) if name else 1.0


def _activation(evidence: Evidence, row: int) -> str:
    """The activation behind a layer, by our name for it; empty where none is known."""
    for name in reversed(evidence.seen.behind[row]):
        own = _SAME_AS.get(name, name)
        if own in ACTIVATIONS or own == "sin":
            return own
    return ""


def _blocks(evidence: Evidence) -> tuple[str, str] | None:
    """The list of the most alike blocks, and the name in each of the weight that is used last; None without blocks."""
    of: dict[str, dict[str, list[int]]] = {}
    for row, path in enumerate(evidence.seen.paths):
        parts = path.split(".")
        for at, part in enumerate(parts[:-1]):
            if part.isdigit():
                of.setdefault(".".join(parts[:at]), {}).setdefault(part, []).append(row)
                break
    found = [(len(blocks), name) for name, blocks in of.items() if len(blocks) >= _LEAST // 2]
    if not found:
        return None
    name = max(found)[1]
    block, rows = next(iter(of[name].items()))
    weight = evidence.weight(rows[-1])
    return (name, weight.name.removeprefix(f"{name}.{block}.")) if weight is not None else None
