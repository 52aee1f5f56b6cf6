"""How fast does initbench train, beside the best that each core can do in a process of its own?

Opponents are processes pinned to a core each, all at work at once, every one training networks one after the other:
what someone would write who knows how. initbench is one process with all cores. They take turns, round by round; all
processes live through the whole measurement, so no round has an import or a compilation. A contender that cannot run
here (torch.compile without a compiler) is left out and named. Needs Linux and ``pip install -e ".[bench]"``; see
``python benchmarks/opponents.py --help``.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

LR, MOMENTUM = 0.01, 0.9

# What is trained: the name of a model with its settings, and the sizes of its data and batches.
SHAPES: dict[str, dict[str, Any]] = {
    **{
        f"mlp {width}, {depth}, {batch}": {"model": "mlp", "depth": depth, "width": [width] * depth, "batch": batch}
        for width, depth, batch in ((64, 2, 64), (128, 2, 128), (128, 8, 128), (256, 4, 128))
    },
    "cnn depth 3": {"model": "cnn", "depth": 3, "settings": {"channels": 16, "kernel": 3, "stride": 2}},
    "residual_cnn depth 2": {
        "model": "residual_cnn",
        "depth": 2,
        "settings": {"channels": 16, "kernel": 3, "stride": 2, "layers": 2},
    },
    "residual_mlp 128, depth 3": {"model": "residual_mlp", "depth": 3, "width": [128], "settings": {"layers": 2}},
    "mlp 128, 2, layer norm": {"model": "mlp", "depth": 2, "width": [128] * 2, "settings": {"norm": "layer"}},
    "mlp 128, 2, batch norm": {"model": "mlp", "depth": 2, "width": [128] * 2, "settings": {"norm": "batch"}},
    "a user's module": {
        "model": "module",
        "depth": 0,
        "settings": {"path": str(Path(__file__).with_name("own_module.py")), "function": "net"},
    },
}

# A training of some networks: how many steps it made, and the mean loss of the first network.
Round = Callable[[], tuple[int, float]]


class Work:
    """The data, and the networks' start: the same for every contender."""

    def __init__(self, name: str, steps: int) -> None:
        """Random images of MNIST's size, enough for so many steps."""
        self.asked, self.steps = SHAPES[name], steps
        self.batch = self.asked.get("batch", 128)
        rng = np.random.default_rng(0)
        self.x = (rng.random((steps * self.batch, 784)) ** 4 * 255).astype(np.uint8)
        self.y = self.x[:, :10].argmax(1).astype(np.int64)
        self.mean, self.std = np.float32(self.x.mean()), np.float32(self.x.std())

    def architecture(self) -> Any:
        """As the engines have it."""
        from initbench.models import Architecture, code_hash

        settings = {"norm": None} if self.asked["model"] == "mlp" else {}
        settings |= self.asked.get("settings", {})
        if self.asked["model"] == "module":
            settings["code"] = code_hash(Path(settings["path"]).read_bytes())
        flat = "mlp" in self.asked["model"]
        return Architecture(
            self.asked["model"],
            tuple(settings.items()),
            self.asked["depth"],
            tuple(self.asked.get("width", ())),
            "relu",
            (),
            (784,) if flat else (1, 28, 28),
            10,
        )

    def order(self, trial: int) -> NDArray[np.int64]:
        """The order in which a network sees the samples."""
        return np.random.default_rng([1, trial]).permutation(len(self.y))

    def standardised(self) -> NDArray[np.float32]:
        """The samples as networks see them."""
        return ((self.x - self.mean) / self.std).astype(np.float32)


def initbench(work: Work, trials: int) -> Round:
    """Our engine as ``run`` uses it; the clock runs over each network's first epoch, the second tells when it ended."""
    import torch

    from initbench.data import Samples
    from initbench.engine.checkpoints import NONE
    from initbench.engine.choose import choose
    from initbench.engine.job import Job, Networks, Orders, Schedule
    from initbench.models import modules

    few, n = np.arange(16), len(work.y)
    features = work.x.shape[1]
    mean, std = np.full(features, work.mean), np.full(features, work.std)
    samples = Samples(work.x, work.y, mean, std, np.arange(n), few, few, 10)
    architecture = work.architecture()
    module = modules.build(architecture)
    start = {name: values.detach().numpy() for name, values in [*module.named_parameters(), *module.named_buffers()]}
    networks = Networks({name: np.stack([values] * trials) for name, values in start.items()}, "relu", {})
    hyper = {
        "momentum": np.full(trials, MOMENTUM),
        "nesterov": np.full(trials, False),
        "weight_decay": np.zeros(trials),
    }
    rows = [work.order(trial) for trial in range(trials)]
    train = choose(architecture, "sgd", torch.device("cpu")).train
    started: dict[tuple[int, int], float] = {}

    def order(trial: int, epoch: int) -> NDArray[np.int64]:
        started[trial, epoch] = time.perf_counter()
        return rows[trial]

    def run() -> tuple[int, float]:
        schedule = Schedule(np.full(trials, LR), np.full(trials, 2), work.batch)
        job = Job([samples] * trials, networks, "sgd", hyper, schedule, Orders(np.arange(trials), order))
        history = train(job, lambda n_steps: None, NONE)
        run.seconds = sum(started[t, 1] - started[t, 0] for t in range(trials)) / min(os.cpu_count() or 1, trials)  # type: ignore[attr-defined]
        return trials * work.steps, float(history.train_loss[0, 0])

    return run


def torch_loop(work: Work, form: str) -> Round:
    """The plain loop with fused SGD: as it is, with channels last, or compiled."""
    import torch

    from initbench.models import modules

    x = torch.from_numpy(work.standardised()).view(-1, *work.architecture().sample_shape)
    y, order = torch.from_numpy(work.y), torch.from_numpy(work.order(0))
    last = form == "channels last"
    if last and x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    forward: Any = None

    def run() -> tuple[int, float]:
        nonlocal forward
        module = modules.build(work.architecture()).train()
        if last:
            module = module.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(module.parameters(), LR, momentum=MOMENTUM, fused=True)
        if form == "compiled":
            forward = forward or torch.compile(lambda module, x, y: torch.nn.functional.cross_entropy(module(x), y))
        total = torch.zeros(())
        for rows in order.split(work.batch):
            if form == "compiled":
                loss = forward(module, x[rows], y[rows])
            else:
                loss = torch.nn.functional.cross_entropy(module(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return work.steps, float(total) / work.steps

    return run


def torch_by_hand(work: Work) -> Round:
    """A perceptron without autograd: its backward pass written out, all memory given, one fused update a step."""
    import torch

    from initbench.models import modules

    x, y, order = torch.from_numpy(work.standardised()), torch.from_numpy(work.y), torch.from_numpy(work.order(0))
    n = work.batch

    @torch.no_grad()
    def run() -> tuple[int, float]:
        module = modules.build(work.architecture())
        params = [param.detach() for param in module.parameters()]
        weights, biases = params[0::2], params[1::2]
        grads, velocity = [torch.empty_like(p) for p in params], [torch.zeros_like(p) for p in params]
        outs = [torch.empty(n, len(b)) for b in biases]
        back = [torch.empty(n, len(b)) for b in biases]
        batch, ones, total = torch.empty(n, x.shape[1]), torch.ones(n), torch.zeros(())
        for rows in order.split(n):
            torch.index_select(x, 0, rows, out=batch)
            below = batch
            for w, b, out in zip(weights, biases, outs, strict=True):
                torch.addmm(b, below, w.T, out=out)
                if out is not outs[-1]:
                    out.relu_()
                below = out
            log_p, targets = torch.log_softmax(outs[-1], 1), y[rows].unsqueeze(1)
            total -= log_p.gather(1, targets).mean()
            grad = back[-1]
            torch.exp(log_p, out=grad)
            grad.scatter_add_(1, targets, torch.full_like(targets, -1, dtype=grad.dtype)).div_(n)
            for layer in range(len(weights) - 1, -1, -1):
                below = outs[layer - 1] if layer else batch
                torch.mm(grad.T, below, out=grads[2 * layer])
                torch.mv(grad.T, ones, out=grads[2 * layer + 1])
                if layer:
                    torch.mm(grad, weights[layer], out=back[layer - 1])
                    grad = torch.ops.aten.threshold_backward.grad_input(
                        back[layer - 1], below, 0, grad_input=back[layer - 1]
                    )
            torch._fused_sgd_(
                params, grads, velocity, weight_decay=0.0, momentum=MOMENTUM, lr=LR, dampening=0.0, nesterov=False,
                maximize=False, is_first_step=False,
            )  # fmt: skip
        return work.steps, float(total) / work.steps

    return run


def jax_scan(work: Work) -> Round:
    """JAX: the whole epoch as one compiled program."""
    import jax
    import jax.numpy as jnp

    from initbench.models import modules

    module = modules.build(work.architecture())
    start = [jnp.asarray(p.detach().numpy()) for p in module.parameters()]
    x, y = jnp.asarray(work.standardised()), jnp.asarray(work.y)
    order = jnp.asarray(work.order(0).reshape(work.steps, work.batch))

    def loss_of(params: Any, rows: Any) -> Any:
        h = x[rows]
        for layer in range(0, len(params), 2):
            h = h @ params[layer].T + params[layer + 1]
            h = jax.nn.relu(h) if layer + 2 < len(params) else h
        return -jnp.take_along_axis(jax.nn.log_softmax(h), y[rows][:, None], 1).mean()

    def step(carry: Any, rows: Any) -> Any:
        params, velocity = carry
        loss, grads = jax.value_and_grad(loss_of)(params, rows)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        return (jax.tree.map(lambda p, v: p - LR * v, params, velocity), velocity), loss

    program = jax.jit(lambda params: jax.lax.scan(step, (params, jax.tree.map(jnp.zeros_like, params)), order))

    def run() -> tuple[int, float]:
        _, losses = jax.block_until_ready(program(start))
        return work.steps, float(losses.mean())

    return run


def products(work: Work) -> Round:
    """The limit: nothing but the products of a perceptron's step, at its shapes, by the BLAS that initbench calls."""
    from numba import njit

    from initbench.engine.compiled import blas
    from initbench.engine.compiled.memory import aligned, places
    from initbench.engine.compiled.products import input_gradients, outputs, weight_gradient

    route, single = blas.chosen(), np.dtype(np.float32)
    route.enter_thread()
    sizes, n = np.array([784, *work.asked["width"], 10]), work.batch
    at, weight_at = places(list(n * sizes), single), places(list(sizes[1:] * sizes[:-1]), single)
    values, grads, weights, by_weights = (aligned(int(one[-1]), single) for one in (at, at, weight_at, weight_at))
    for array in (values, grads, weights):
        array[:] = np.random.default_rng(0).standard_normal(len(array), np.float32)

    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def multiply(times, product, values, grads, weights, by_weights):  # type: ignore[no-untyped-def]
        for _ in range(times):
            for i in range(len(sizes) - 1):
                w = weights[weight_at[i] :]
                outputs(product, values[at[i] :], w, values[at[i + 1] :], n, sizes[i], sizes[i + 1])
            for i in range(len(sizes) - 2, -1, -1):
                w, into = weights[weight_at[i] :], by_weights[weight_at[i] :]
                weight_gradient(product, grads[at[i + 1] :], values[at[i] :], 0.0, into, n, sizes[i], sizes[i + 1])
                if i:
                    input_gradients(product, grads[at[i + 1] :], w, grads[at[i] :], n, sizes[i], sizes[i + 1])

    def run() -> tuple[int, float]:
        # Weights so small that nothing grows.
        weights[:] *= 0.01 / (np.abs(weights).max() + 1e-9)
        multiply(work.steps, route.product(single), values, grads, weights, by_weights)
        return work.steps, float("nan")

    return run


# Of a name what makes its rounds, given the work and the number of networks.
CONTENDERS: dict[str, Callable[[Work, int], Round]] = {
    "initbench": initbench,
    "torch, all threads": lambda work, trials: torch_loop(work, ""),
    "torch": lambda work, trials: torch_loop(work, ""),
    "torch, channels last": lambda work, trials: torch_loop(work, "channels last"),
    "torch.compile": lambda work, trials: torch_loop(work, "compiled"),
    "torch by hand": lambda work, trials: torch_by_hand(work),
    "JAX scan": lambda work, trials: jax_scan(work),
    "products": lambda work, trials: products(work),
}
ALL_CORES = ("initbench", "torch, all threads")


def serve(contender: str, shape: str, steps: int, trials: int, clock: str) -> None:
    """Rounds, one for each line of stdin: seconds, steps and loss as JSON."""
    if contender not in ALL_CORES:
        import torch

        torch.set_num_threads(1)
    run = CONTENDERS[contender](Work(shape, steps), trials)
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        made, loss = run()
        seconds = getattr(run, "seconds", time.perf_counter() - start)
        if clock == "cpu":
            seconds = time.process_time() - used
            if contender == "initbench":
                # Both of its epochs, by as many cores as there are.
                made, seconds = 2 * made, seconds / min(os.cpu_count() or 1, trials)
        print(json.dumps([seconds, made, loss]), flush=True)


class Team:
    """The processes of a contender."""

    def __init__(self, contender: str, shape: str, steps: int, trials: int, clock: str = "wall") -> None:
        """Started, and warmed up by a round that is not counted."""
        cores = [None] if contender in ALL_CORES else sorted(os.sched_getaffinity(0))
        self._processes = []
        for core in cores:
            environment = os.environ | ({"OMP_NUM_THREADS": "1"} if core is not None else {})
            pinned = [] if core is None else ["taskset", "-c", str(core)]
            line = [*pinned, sys.executable, __file__, "--serve", contender, "--shape", shape]
            line += ["--steps", str(steps), "--trials", str(trials), "--clock", clock]
            self._processes.append(
                subprocess.Popen(
                    line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                    env=environment,
                )
            )  # fmt: skip
        self.loss = self.round()[1]

    def round(self) -> tuple[float, float]:
        """Steps per second, summed over the processes, and the loss of the first network.

        Raises:
            ValueError: a process has ended.
        """
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for process in self._processes if process.stdout]
        return sum(steps / seconds for seconds, steps, _ in answers), answers[0][2]

    def leave(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.wait()


def measure(
    shape: str, trials: int, rounds: int, seconds: float, among: list[str], clock: str
) -> dict[str, list[float]]:
    """Of every contender its rates, round by round."""
    plain = shape.startswith("mlp") and "norm" not in shape
    teams: dict[str, Team] = {}
    steps = _steps(shape, seconds)
    for name in CONTENDERS:
        if among and name not in among or not plain and name in ("torch by hand", "JAX scan", "products"):
            continue
        if name == "torch, channels last" and "cnn" not in shape and "module" not in shape:
            continue
        try:
            teams[name] = Team(name, shape, steps, trials, clock)
        except (ValueError, BrokenPipeError):
            print(f"{name} does not run here", file=sys.stderr)
    expected = teams["torch"].loss if "torch" in teams else None
    for name, team in teams.items():
        if expected is not None and not abs(team.loss / expected - 1) < 2e-3 and name != "products":
            sys.exit(f"{name} does not train the same: mean loss {team.loss}, the plain loop's is {expected}")
    rates: dict[str, list[float]] = {name: [] for name in teams}
    for _ in range(rounds):
        for name, team in teams.items():
            rates[name].append(team.round()[0])
    for team in teams.values():
        team.leave()
    return rates


def _steps(shape: str, seconds: float) -> int:
    team = Team("torch", shape, 20, 1)
    rate = team.round()[0] / len(os.sched_getaffinity(0))
    team.leave()
    return max(20, min(400, round(seconds * rate)))


def main(
    shape: Annotated[list[str], typer.Option(help=f"Repeat for several of: {'; '.join(SHAPES)}.")] = [],  # noqa: B006
    trials: Annotated[int, typer.Option(help="Networks that initbench trains.")] = 10,
    rounds: Annotated[int, typer.Option(help="Rounds; medians are printed.")] = 5,
    seconds: Annotated[float, typer.Option(help="About how long the plain loop trains in a round.")] = 0.5,
    among: Annotated[list[str], typer.Option(help=f"Only these of: {'; '.join(CONTENDERS)}.")] = [],  # noqa: B006
    clock: Annotated[str, typer.Option(help="wall, or cpu for a busy machine.")] = "wall",
    steps: Annotated[int, typer.Option(hidden=True)] = 0,
    serve_as: Annotated[str, typer.Option("--serve", hidden=True)] = "",
) -> None:
    """Print what initbench's rate is of each opponent's, as a Markdown table."""
    if serve_as:
        serve(serve_as, shape[0], steps, trials, clock)
        return
    names = [name for name in CONTENDERS if name != "initbench" and (not among or name in among)]
    print(f"| model | networks | steps/s | {' | '.join(f'x {name}' for name in names)} |")
    print(f"| --- | ---: | ---: | {' | '.join('---:' for _ in names)} |")
    for one in shape or SHAPES:
        rates = measure(one, trials, rounds, seconds, among, clock)
        cells = []
        for name in names:
            ratios = [a / b for a, b in zip(rates["initbench"], rates.get(name, []), strict=False)]
            cells.append(f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else "–")
        print(f"| {one} | {trials} | {statistics.median(rates['initbench']):,.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
