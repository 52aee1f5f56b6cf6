"""Networks of the catalogue: drawn as a run draws them, measured on the first batch of their training, as records."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from initbench.data import samples
from initbench.data_driven import DATA_LAWS
from initbench.engine.stacked.state import OptimizerState
from initbench.errors import InputError, readable
from initbench.experiment.describe import formula
from initbench.experiment.plan import Trial
from initbench.experiment.start import Start, architecture_of, parts_of, starts
from initbench.initializers.fans import fans
from initbench.models import modules
from initbench.probing.measures import uniform_loss
from initbench.probing.module import Elementwise, Seen, observe
from initbench.probing.perceptrons import Measured, Step, measure
from initbench.probing.plan import Probe, identity
from initbench.records.probe import ProbeRecord
from initbench.seeding import own_generators, permutation, stream
from initbench.trial import Cell

# How many numbers the networks of a group may hold at once: 200 MB.
MOST_NUMBERS = 50_000_000


def numbers_of(cell: Cell) -> int:
    """About how many numbers a network of a cell and what is measured of it hold at once."""
    architecture = architecture_of(cell)
    if not architecture.is_plain:
        # Measured one by one: a group is what a kill may cost.
        return MOST_NUMBERS // 8
    sizes = [math.prod(architecture.sample_shape), *architecture.width, architecture.n_classes]
    return sum(fan_in * out + 4 * cell.batch_size * out for fan_in, out in zip(sizes, sizes[1:], strict=False))


def measured(group: Sequence[Probe], device: torch.device) -> list[ProbeRecord]:
    """The records of some networks of one shape, in their order; one that could not start is a record too.

    Raises:
        InputError: a data set cannot be read, or a model cannot be built.
    """
    records: list[ProbeRecord | None] = [None] * len(group)
    ready: list[tuple[int, Start]] = []
    for place, start in enumerate(starts([Trial(one.cell, one.seed, one.key) for one in group])):
        if isinstance(start, InputError):
            records[place] = _record(group[place], outcome="failed", error=readable(str(start)))
        else:
            ready.append((place, start))
    if ready:
        some = [group[place] for place, _ in ready]
        found = _measure(some, [start for _, start in ready], device)
        for (place, _), record in zip(ready, _records(some, found), strict=True):
            records[place] = record
    return [record for record in records if record is not None]


def _measure(group: Sequence[Probe], ready: Sequence[Start], device: torch.device) -> Measured:
    cell = group[0].cell
    architecture = architecture_of(cell)
    if not architecture.is_plain:
        seen = [_observed(one, start, device) for one, start in zip(group, ready, strict=True)]
        return _one_by_one(seen, architecture.n_classes)
    params = {
        name: torch.tensor(np.stack([start.params[name] for start in ready]), device=device) for name in ready[0].params
    }
    batches = [first_batch(cell, one.seed) for one in group]
    x, y = (torch.tensor(np.stack(part), device=device) for part in zip(*batches, strict=True))
    return measure(architecture, params, x, y, _step(group, device))


def _observed(one: Probe, start: Start, device: torch.device) -> Seen:
    """A network that is no plain perceptron, by hooks; its activations are made modules, so that these see them."""
    cell, architecture = one.cell, architecture_of(one.cell)
    module = modules.build(architecture, one.seed)
    module.load_state_dict({name: torch.tensor(values) for name, values in start.params.items()}, strict=False)
    if architecture.model != "module":
        for part in list(module.modules()):
            activation = getattr(part, "activation", None)
            if callable(activation) and not isinstance(activation, torch.nn.Module):
                del part.activation
                part.activation = Elementwise(activation)
    x, y = (torch.tensor(part, device=device) for part in first_batch(cell, one.seed))
    rule = _step([one], device)

    def step(params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # The optimizer takes what has three dimensions at least.
        return {
            name: rule(name, values.reshape(1, len(values), -1), grads[name].reshape(1, len(values), -1))
            .reshape(values.shape)
            .to(values.dtype)
            for name, values in params.items()
            if values.dim() > 1
        }

    module.to(device).train()
    with own_generators(stream(one.seed, "dropout", "step.0")):
        x = x.view(-1, *architecture.sample_shape)
        return observe(module, x, lambda logits: cross_entropy(modules.output_of(logits), y), step)


def _one_by_one(seen: Sequence[Seen], n_classes: int) -> Measured:
    """As a stack has it, of networks that were measured alone."""
    layers = {name: torch.tensor([one.layers[name] for one in seen]) for name in seen[0].layers}
    values = {name: torch.tensor([one.values[name] for one in seen]) for name in seen[0].values}
    values["loss_uniform"] = torch.full((len(seen),), uniform_loss(n_classes))
    return Measured(layers, values, {})


def first_batch(cell: Cell, seed: int) -> tuple[Any, Any]:
    """The first batch of the training, standardised, and its classes."""
    data = samples(cell.dataset, seed)
    rows = data.train[permutation(len(data.train), seed, "order", "epoch.0")][: cell.batch_size]
    return (data.x[rows] - data.mean) / data.std, data.y[rows]


def _step(group: Sequence[Probe], device: torch.device) -> Step:
    """The first step of each network's optimizer, with its learning rate before any schedule, in float64."""
    cell = group[0].cell
    names = dict(cell.optimizer.params)
    hyper = {name: np.array([dict(one.cell.optimizer.params)[name] for one in group]) for name in names}
    lr = torch.tensor([one.cell.lr for one in group], dtype=torch.float64, device=device).view(-1, 1, 1)
    optimizer = OptimizerState(cell.optimizer.name, hyper, torch.float64, device)
    optimizer.begin_step()

    def step(name: str, values: Tensor, grad: Tensor) -> Tensor:
        before, exact = values.double(), grad.double()
        after = before.clone()
        optimizer.update(name, after, partial(_add, exact), lr)
        return after - before

    return step


def _add(grad: Tensor, target: Tensor) -> Tensor:
    return target.add_(grad)


def _records(group: Sequence[Probe], found: Measured) -> list[ProbeRecord]:
    """A record for each network: numbers that are not finite are None, and say so where they are measured."""
    layers = {name: values.double().cpu().numpy() for name, values in found.layers.items()}
    values = {name: numbers.double().cpu().numpy() for name, numbers in found.values.items()}
    inputs = {name: numbers.double().cpu().numpy() for name, numbers in found.inputs.items()}
    records = []
    for i, one in enumerate(group):
        always = [layers[name][i] for name in ("forward_rms", "backward_rms", "weight_gradient_rms")]
        finite = np.isfinite(values["loss"][i]) and all(np.isfinite(numbers).all() for numbers in always)
        records.append(
            _record(
                one,
                outcome="ok" if finite else "diverged",
                layers={name: _numbers(numbers[i]) for name, numbers in layers.items()},
                values={name: _numbers([numbers[i]])[0] for name, numbers in values.items()},
                given={name: _numbers(numbers[i]) for name, numbers in inputs.items()}
                | (_promised(one.cell) if inputs else {}),
            )
        )
    return records


def _record(one: Probe, **more: Any) -> ProbeRecord:
    return ProbeRecord(
        key=one.key,
        trial=identity(one.cell, one.seed),
        asked=one.cell.asked(),
        formula=formula(one.cell.init),
        **more,
    )


def _numbers(values: Any) -> list[float | None]:
    """With the seven digits that float32 has."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def _promised(cell: Cell) -> dict[str, list[float | None]]:
    """Of each layer what the theory of wide networks needs to know of its laws, as far as they promise it.

    ``sigma_w`` (weights of variance ``sigma_w² / fan_in``) and ``sigma_b`` (biases of variance ``sigma_b²``), None
    where the entries are not random with mean zero; ``orthogonal``, whether the weight is a multiple of an orthogonal
    one, as 0 or 1; and its ``fan_in``.
    """
    found: dict[str, list[float | None]] = {"sigma_w": [], "sigma_b": [], "orthogonal": [], "fan_in": []}
    for part in parts_of(cell):
        if "bias" in part.parameter.roles:
            promise = part.promises()[0] if part.draws else None
            found["sigma_b"].append(None if promise is None or promise.mean else promise.std)
        else:
            fan_in, _ = fans(part.parameter.blocks[0].shape)
            promise = part.promises()[0] if part.draws and cell.init.law not in DATA_LAWS else None
            known = promise is not None and not promise.mean and promise.distribution is not None
            found["sigma_w"].append(promise.std * math.sqrt(fan_in) if promise is not None and known else None)
            found["orthogonal"].append(float(promise is not None and promise.gain is not None))
            found["fan_in"].append(float(fan_in))
    return found
