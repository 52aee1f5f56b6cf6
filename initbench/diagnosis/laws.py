"""Weights that follow a law with the wrong fans, a recipe that was applied by half, and gates that forget."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.init import _calculate_fan_in_and_fan_out

from initbench.diagnosis.evidence import Evidence, rms, true_fans
from initbench.diagnosis.findings import Finding, compressed, listed, number, spelled
from initbench.initializers.parameters import Parameter

# Of the expected root mean square, in its standard errors.
_ERRORS = 5.0
# GPT-2's: every matrix, and those that end a branch divided by √(2 · layers).
_GPT2 = 0.02
# An LSTM over fewer steps need not remember for long.
_LONG = 20
_LAWS: dict[str, Callable[[int, int], float]] = {
    "he": lambda fan_in, fan_out: math.sqrt(2 / fan_in),
    "xavier": lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out)),
    "lecun": lambda fan_in, fan_out: math.sqrt(1 / fan_in),
    "torch's default": lambda fan_in, fan_out: math.sqrt(1 / (3 * fan_in)),
}


def wrong_fans(evidence: Evidence) -> Iterator[Finding]:
    """Weights that are what a law gives with the fans torch reads off their shape, where these are not those of use."""
    for weight in evidence.parameters.values():
        if "weight" not in weight.roles or "embedding" in weight.roles or weight.tensor.dim() < 2:
            continue
        of_shape, of_use = _calculate_fan_in_and_fan_out(weight.tensor), true_fans(weight)
        has = rms(weight.tensor)
        error = _ERRORS * has * math.sqrt(0.5 / weight.tensor.numel())
        if right := _stacked_orthogonal(weight):
            yield _misread(evidence, weight, "orthogonal", right)
        meant = [std(*of_use) for std in _LAWS.values()]
        if weight.blocks[0].layer == "recurrent":
            # Torch's own: U(±1/√hidden), of all of them.
            meant.append(1 / math.sqrt(3 * weight.blocks[0].shape[0]))
        if of_shape == of_use or any(abs(has - std) < error for std in meant):
            continue
        law = next((name for name, std in _LAWS.items() if abs(has - std(*of_shape)) < error), None)
        if law is not None:
            yield _misread(evidence, weight, law, _LAWS[law](*of_use))


def half_gpt2(evidence: Evidence) -> Iterator[Finding]:
    """Matrices that end a residual branch and were drawn as GPT-2's others, without their factor."""
    last = [one for one in evidence.parameters.values() if "branch_last" in one.roles and one.tensor.dim() > 1]
    others = [
        one for one in evidence.parameters.values()
        if "weight" in one.roles and "branch_last" not in one.roles and one.blocks[0].layer == "linear"
    ]  # fmt: skip
    # It is a law of language models; others are drawn like that on purpose.
    has_embedding = any("embedding" in one.roles for one in evidence.parameters.values())
    if len(last) < 4 or not others or not has_embedding:
        return
    if all(_is_close(one, _GPT2) for one in last) and sum(_is_close(one, _GPT2) for one in others) > len(others) / 2:
        factor = 1 / math.sqrt(len(last))
        yield Finding(
            "half_gpt2",
            "doubtful",
            last[0].name,
            f"{listed([one.name for one in last])} have std {_GPT2}, as all other matrices",
            f"this is GPT-2's law without its second half: what ends a residual branch is to be divided by "
            f"√(number of branches) = √{len(last)}; without it what the branches add grows with the depth",
            compressed([f"{spelled(one.name)}.data.mul_({number(factor)})" for one in last]),
        )


def forgetting(evidence: Evidence) -> Iterator[Finding]:
    """LSTMs whose forget gates begin half closed, over many steps."""
    lstms = [(name, part) for name, part in evidence.module.named_modules() if isinstance(part, nn.LSTM | nn.LSTMCell)]
    for path, part in lstms:
        rows = [row for row, name in enumerate(evidence.seen.paths) if name == path]
        # A cell is called at each step; a whole layer hands on what all steps give, unless they are packed.
        steps = len(rows)
        if isinstance(part, nn.LSTM) and rows:
            shape = evidence.seen.shapes[rows[0]]
            steps = shape[1 if part.batch_first else 0] if len(shape) == 3 else 0
        biases = [(name, one) for name, one in part.named_parameters() if name.startswith("bias_ih")]
        size = part.hidden_size
        open_by = [
            float((one + getattr(part, name.replace("_ih", "_hh"))).detach()[size : 2 * size].mean())
            for name, one in biases
        ]
        if not open_by or steps < _LONG or max(open_by) > 0.5:
            continue
        kept = 1 / (1 + math.exp(-max(open_by)))
        own = [f"{path}.{name}".strip(".") for name, _ in biases]
        yield Finding(
            "forgetting",
            "doubtful",
            path,
            f"the forget gates of {path or 'the LSTM'} begin at {number(kept)}: after {steps} steps "
            f"{number(kept**steps)} of a state is left",
            f"their bias is about {number(max(open_by))}: torch draws it like the others (two of them add up). A gate "
            "that shall remember for n steps begins with ln n, and lets in as little more (Tallec & Ollivier 2018, "
            "arXiv:1804.11188: n from 1 to the length); at least with 1 (Jozefowicz et al. 2015)",
            tuple(
                line
                for name in own
                for line in (
                    f"gates = torch.empty({size}).uniform_(1, {steps - 1}).log()",
                    f"{spelled(name)}.data[:{2 * size}] = torch.cat([-gates, gates])",
                )
            ),
        )


def normed(evidence: Evidence) -> Iterator[Finding]:
    """How many layers have a norm right behind them, so that the size of their weights is a learning rate only."""
    rows = [row for row, normed in enumerate(evidence.seen.layers["normed"]) if normed == 1]
    if rows:
        paths = [evidence.seen.paths[row] for row in rows]
        yield Finding(
            "normed",
            "note",
            paths[0],
            f"a norm comes right behind {len(rows)} of {len(evidence.seen.paths)} layers: {listed(paths)}",
            "the size of their weights does not change what they put out; it divides their learning rate by its square",
        )


def _misread(evidence: Evidence, weight: Parameter, law: str, right: float) -> Finding:
    """A law that was given another shape than the weight has in use."""
    has, blocks = rms(weight.tensor), weight.blocks
    shape = "x".join(map(str, weight.tensor.shape))
    if len(blocks) > 1:
        roles = listed([*dict.fromkeys(block.role for block in blocks if block.role in ("query", "key", "value"))])
        what = f"{len(blocks)} matrices" + (f" ({roles})" if roles else "")
        why = f"there are {what} in it, each of which is multiplied with its input by itself"
    else:
        why = f"torch takes the fans of a transposed convolution the wrong way round; a unit has {true_fans(weight)[0]}"
    layer = weight.name.rpartition(".")[0]
    rows = [row for row, path in enumerate(evidence.seen.paths) if path == layer]
    ratio = max(right / has, has / right)
    harmless = ratio < 1.5 or any(evidence.seen.layers["normed"][row] == 1 for row in rows)
    return Finding(
        "wrong_fans",
        "note" if harmless else "doubtful",
        weight.name,
        f"{weight.name} is drawn as {law} of one {shape} weight: std {number(has)} instead of {number(right)}",
        why,
        (
            f"for block in {spelled(weight.name)}.data.chunk({len(blocks)}): torch.nn.init.orthogonal_(block)"
            if law == "orthogonal"
            else f"{spelled(weight.name)}.data.mul_({number(right / has)})",
        ),
    )


def _stacked_orthogonal(weight: Parameter) -> float | None:
    """The std that each of several matrices would have, if the parameter is one orthogonal matrix over all of them."""
    tensor = weight.tensor.detach()
    if len(weight.blocks) < 2 or tensor.dim() != 2 or not tensor.is_floating_point():
        return None
    block = tensor.shape[0] // len(weight.blocks)
    if not _is_orthogonal(tensor) or _is_orthogonal(tensor[:block]):
        return None
    return rms(tensor) * math.sqrt(max(tensor.shape) / max(block, tensor.shape[1]))


def _is_orthogonal(tensor: torch.Tensor) -> bool:
    """Whether the rows or the columns of a matrix, whichever are fewer, are orthogonal and of one norm."""
    tall = tensor.double() if tensor.shape[0] >= tensor.shape[1] else tensor.double().T
    gram = tall.T @ tall
    size = float(gram.diagonal().mean())
    return size > 0 and float((gram / size - torch.eye(len(gram), dtype=gram.dtype)).abs().max()) < 1e-3


def _is_close(weight: Parameter, std: float) -> bool:
    """Whether a weight was drawn with this std, as far as its size tells."""
    return abs(rms(weight.tensor) - std) < _ERRORS * std * math.sqrt(0.5 / weight.tensor.numel())
