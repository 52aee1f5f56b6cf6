"""The contenders of the throughput benchmark: each trains the same networks from the same start on the same batches.

A contender is a function from a problem to a closure that trains once and returns ``(seconds, trial_steps, losses)``,
the losses being trial 0's mean training loss of every step, or of the epoch. What is not training (drawing weights,
building data loaders, compiling) happens before the closure is called or before its clock starts.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initbench.data import Samples
from initbench.engine import compiled, stacked
from initbench.engine.job import Job, Networks, Orders, Schedule
from initbench.engine.optimizers import OPTIMIZERS
from initbench.engine.stacked.perceptrons import MLP, parameters
from initbench.initializers import draw
from initbench.processors import processors
from initbench.seeding import permutation, stream

LR, MOMENTUM = 0.01, 0.9

Run = Callable[[], tuple[float, int, list[float]]]


@dataclass(frozen=True)
class Problem:
    """Networks of ``depth`` hidden layers of ``width`` relu units, trained for one epoch by SGD with momentum.

    Attributes:
        x: ``[n, features]`` bytes; ``y`` ``[n]`` classes. ``n`` is a multiple of ``batch``.
        trials: how many networks; trial ``t`` has seed ``t`` and its own order of the samples.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    width: int
    depth: int
    batch: int
    trials: int
    device: torch.device

    @property
    def steps(self) -> int:
        """Optimizer steps of the epoch."""
        return len(self.y) // self.batch

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The ``(out, in)`` of every layer."""
        shapes = parameters(self.x.shape[1], [self.width] * self.depth, int(self.y.max()) + 1)
        return [shape for name, shape in shapes.items() if name.endswith("weight")]

    @property
    def flops_per_step(self) -> int:
        """Multiply-adds of one trial's step, times two: forward, both gradients, none for the input."""
        sizes = [math.prod(shape) for shape in self.shapes]
        return 2 * self.batch * (3 * sum(sizes) - sizes[0])

    def weights(self, trial: int) -> list[NDArray[np.float32]]:
        """He-normal weights ``[out, in]`` of every layer; biases are zero."""
        return [draw("he_normal", s, stream(trial, "init", f"layers.{i}.weight")) for i, s in enumerate(self.shapes)]

    def order(self, trial: int) -> NDArray[np.int64]:
        """The order in which a trial sees the samples."""
        return permutation(len(self.y), trial, "order", "epoch.0")

    def standardised(self) -> tuple[NDArray[np.float32], float, float]:
        """The samples with mean 0 and standard deviation 1, and what was subtracted and divided by."""
        mean, std = float(self.x.mean()), float(self.x.std())
        return ((self.x - np.float32(mean)) / np.float32(std)).astype(np.float32), mean, std


def _plain_torch(problem: Problem) -> tuple[nn.Sequential, torch.optim.Optimizer, torch.Tensor, torch.Tensor]:
    layers: list[nn.Module] = []
    for weight in problem.weights(0):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.zeros(weight.shape[0])
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(problem.device)
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM)
    x, _, _ = problem.standardised()
    return model, optimizer, torch.from_numpy(x).to(problem.device), torch.from_numpy(problem.y).to(problem.device)


def _torch_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def torch_dataloader(problem: Problem) -> Run:
    """The textbook loop: a TensorDataset and a DataLoader, one network after the other (here: the first)."""

    def run() -> tuple[float, int, list[float]]:
        model, optimizer, x, y = _plain_torch(problem)
        sampler = problem.order(0).tolist()
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x.cpu(), y.cpu()), batch_size=problem.batch, sampler=sampler
        )
        losses = []
        start = time.perf_counter()
        for batch_x, batch_y in loader:
            losses.append(_torch_step(model, optimizer, batch_x.to(problem.device), batch_y.to(problem.device)))
        _wait(problem.device)
        return time.perf_counter() - start, problem.steps, torch.stack(losses).tolist()

    return run


def torch_sliced(problem: Problem) -> Run:
    """The loop of those who know: the data is one tensor, a batch is an index into it."""

    def run() -> tuple[float, int, list[float]]:
        model, optimizer, x, y = _plain_torch(problem)
        order = torch.from_numpy(problem.order(0)).to(problem.device)
        losses = []
        start = time.perf_counter()
        for rows in order.split(problem.batch):
            losses.append(_torch_step(model, optimizer, x[rows], y[rows]))
        _wait(problem.device)
        return time.perf_counter() - start, problem.steps, torch.stack(losses).tolist()

    return run


def initbench(problem: Problem) -> Run:
    """Our engine as ``run`` uses it: bytes, an order per seed, progress, histories.

    On a CPU the clock runs over each trial's epoch of training, while the other threads train theirs; on a GPU over
    everything, since steps are only queued there.
    """
    device, n_trials = problem.device, problem.trials
    _, mean, std = problem.standardised()
    n, features = problem.x.shape
    few = np.arange(16)
    samples = Samples(
        x=problem.x,
        y=problem.y,
        mean=np.full(features, mean, np.float32),
        std=np.full(features, std, np.float32),
        train=np.arange(n),
        val=few,
        test=few,
        n_classes=int(problem.y.max()) + 1,
    )
    drawn = [problem.weights(trial) for trial in range(n_trials)]
    params: dict[str, NDArray[np.float32]] = {}
    for layer, weights in enumerate(zip(*drawn, strict=True)):
        params[f"layers.{layer}.weight"] = np.stack(weights)
        params[f"layers.{layer}.bias"] = np.zeros((n_trials, len(weights[0])), np.float32)
    networks = Networks(params, "relu", {})
    settings = OPTIMIZERS["sgd"].defaults | {"momentum": MOMENTUM}
    hyper = {name: np.full(n_trials, value) for name, value in settings.items()}
    rows = [problem.order(trial) for trial in range(n_trials)]

    def on_cpu() -> tuple[float, int, list[float]]:
        started: dict[tuple[int, int], float] = {}

        def order(trial: int, epoch: int) -> NDArray[np.int64]:
            started[trial, epoch] = time.perf_counter()
            return rows[trial]

        # The second epoch, which is not counted, tells when the first ended.
        schedule = Schedule(np.full(n_trials, LR), np.full(n_trials, 2), problem.batch)
        orders = Orders(np.arange(n_trials), order)
        history = compiled.train(Job([samples] * n_trials, networks, "sgd", hyper, schedule, orders))
        seconds = sum(started[trial, 1] - started[trial, 0] for trial in range(n_trials))
        at_once = min(processors(), n_trials)
        return seconds / at_once, n_trials * problem.steps, [float(history.train_loss[0, 0])]

    def on_gpu() -> tuple[float, int, list[float]]:
        schedule = Schedule(np.full(n_trials, LR), np.ones(n_trials, int), problem.batch)
        orders = Orders(np.arange(n_trials), lambda trial, epoch: rows[trial])
        start = time.perf_counter()
        job = Job([samples] * n_trials, networks, "sgd", hyper, schedule, orders)
        history = stacked.train(job, partial(MLP, activation="relu"), device=device)
        _wait(device)
        return time.perf_counter() - start, n_trials * problem.steps, [float(history.train_loss[0, 0])]

    return on_cpu if device.type == "cpu" else on_gpu


def jax_vmap(problem: Problem, stack: int) -> Run:
    """JAX: one compiled program, ``scan`` over the steps, ``vmap`` over ``stack`` trials, data resident."""
    import jax
    import jax.numpy as jnp

    n_trials = min(stack, problem.trials)
    x_np, _, _ = problem.standardised()
    x, y = jnp.asarray(x_np), jnp.asarray(problem.y)
    drawn = [problem.weights(trial) for trial in range(n_trials)]
    weights = [jnp.asarray(np.stack([w.T for w in layer])) for layer in zip(*drawn, strict=True)]
    biases = [jnp.zeros((n_trials, w.shape[2])) for w in weights]
    orders = jnp.asarray(np.stack([problem.order(trial) for trial in range(n_trials)]))
    orders = orders.reshape(n_trials, problem.steps, problem.batch)

    def loss_of(params, rows):  # type: ignore[no-untyped-def]
        h, (ws, bs) = x[rows], params
        for w, b in zip(ws[:-1], bs[:-1], strict=True):
            h = jax.nn.relu(h @ w + b)
        log_p = jax.nn.log_softmax(h @ ws[-1] + bs[-1])
        return -jnp.take_along_axis(log_p, y[rows][:, None], 1).mean()

    def step(carry, rows):  # type: ignore[no-untyped-def]
        params, velocity = carry
        loss, grads = jax.value_and_grad(loss_of)(params, rows)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        return (jax.tree.map(lambda p, v: p - LR * v, params, velocity), velocity), loss

    def one(params, order):  # type: ignore[no-untyped-def]
        return jax.lax.scan(step, (params, jax.tree.map(jnp.zeros_like, params)), order)

    program = jax.jit(jax.vmap(one))

    def run() -> tuple[float, int, list[float]]:
        start = time.perf_counter()
        _, losses = jax.block_until_ready(program((weights, biases), orders))
        return time.perf_counter() - start, n_trials * problem.steps, np.asarray(losses[0]).tolist()

    return run


def gemm_rates(device: torch.device) -> dict[str, float]:
    """FLOP/s of one 1024³ fp32 product by every route on this machine that keeps fp32 accuracy."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1024, 1024), np.float32), rng.standard_normal((1024, 1024), np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    ta, tb = torch.tensor(a, device=device), torch.tensor(b, device=device)
    routes: dict[str, Callable[[], object]] = {"torch.mm": lambda: ta @ tb}
    if device.type == "cpu":
        routes["numpy"] = lambda: a @ b
        routes["oneDNN"] = lambda: torch.ops.mkldnn._linear_pointwise(ta, tb.T, None, "none", [], "")
    rates = {}
    for name, route in routes.items():
        try:
            result = route()
        except (RuntimeError, AttributeError):
            continue
        array = result.cpu().numpy() if isinstance(result, torch.Tensor) else np.asarray(result)
        error = np.abs(array - exact).max() / np.abs(exact).max()
        if error > 1e-5:
            continue
        for _ in range(3):
            route()
        _wait(device)
        start = time.perf_counter()
        for _ in range(20):
            route()
        _wait(device)
        rates[name] = 20 * 2 * 1024**3 / (time.perf_counter() - start)
    return rates


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
