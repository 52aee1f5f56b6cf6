"""Who need not race: networks that no learning rate trains, by what they do before the first step.

Only what no rate can mend counts, in every seed that is looked at: a loss or a gradient that is not finite, since the
first step then ends the training; and weights all of whose gradients are exactly zero and stay so while everything else
moves. What is merely very small or very large may train at some rate, and is left to the search and the race.
"""

from collections.abc import Iterable

from initbench.errors import InputError
from initbench.settings.request import Request
from initbench.trial import Cell

# After so many steps whatever waits for a layer of zeros to be filled has got a gradient.
_STEPS, _STEP = 3, 1e-2


def untrainable(request: bytes, seeds: Iterable[int]) -> dict[str, str]:
    """The name of each initializer that no learning rate trains, and why; it runs users' code, and imports torch.

    Args:
        request: as JSON; a cell for each initializer.
        seeds: all of them must fail.
    """
    wanted = Request.from_json(request)
    found: dict[str, str] = {}
    for cell in wanted.cells:
        reasons = [_reason(cell, seed) for seed in seeds]
        if all(reasons):
            found[cell.init.name] = reasons[0]
    return found


def _reason(cell: Cell, seed: int) -> str:
    """Why the network of this seed cannot be trained; empty where nothing is against it."""
    import numpy as np
    import torch

    from initbench.data import samples
    from initbench.engine.stacked.module import StackedModule
    from initbench.engine.stacked.training import gradient, on_device
    from initbench.experiment.plan import trial_of
    from initbench.experiment.start import architecture_of, starts
    from initbench.models import modules
    from initbench.seeding import own_generators, permutation, stream
    from initbench.tasks import TASKS

    (start,) = starts([trial_of(cell, seed)])
    if isinstance(start, InputError):
        return str(start)
    architecture, data = architecture_of(cell), samples(cell.dataset, seed)
    # A law may give a transposed view.
    params = {name: torch.tensor(np.ascontiguousarray(values))[None] for name, values in start.params.items()}
    module = modules.template(architecture, seed)
    stack, task = StackedModule(module, params, architecture.sample_shape), TASKS[cell.dataset.task]
    weights = {name for name, one in module.named_parameters() if one.requires_grad and one.dim() > 1}
    rows = torch.tensor(data.train[permutation(len(data.train), seed, "order", "epoch.0")][: cell.batch_size])
    x, y = on_device(torch.device("cpu"), (data,)).gather(rows[None], torch.zeros(1, dtype=torch.int64))
    log = torch.zeros(2, 1)
    for step in range(_STEPS):
        with own_generators(stream(seed, "dropout", f"step.{step}")):
            grad = gradient(stack, task, x, y, log)
            gradients = [(name, param, add) for name, param, add in stack.backward(grad)]
        if not step and not bool(log[0].isfinite().all()):
            return f"the loss before the first step is {float(log[0] / len(rows)):g}"
        for name, param, add in gradients:
            change = torch.zeros_like(param)
            add(change)
            if not step and not bool(change.isfinite().all()):
                return f"the first gradient of {name} is not finite"
            if size := float(change.square().mean().sqrt()):
                if name in weights:
                    return ""
                param.sub_(change, alpha=_STEP / size)
    return f"the gradient of every weight is exactly zero, and stays so for {_STEPS} steps"
