"""How fast does initbench train, beside the loops people write, JAX, and the machine's own limit?

One process interleaves the contenders, with a warm-up and several rounds, and checks that all of them reach the same
loss from the same start; so the ratios hold on a noisy machine although the absolute figures do not. Needs
``pip install -e ".[bench]"``; run ``python benchmarks/throughput.py --help``.
"""

import csv
import math
import statistics
import sys
from pathlib import Path
from typing import Annotated

import contenders
import numpy as np
import torch
import typer
from contenders import Problem, Run

SHAPES = ((64, 2, 64), (128, 2, 128), (128, 8, 128), (256, 4, 128), (512, 4, 128), (64, 30, 128))
PEERS = ("torch + DataLoader", "torch, sliced", "JAX vmap")


def problem_of(data: str, shape: tuple[int, int, int], trials: int, device: torch.device, seconds: float) -> Problem:
    """A problem with so many samples that one trial's epoch takes the sliced loop about ``seconds``."""
    width, depth, batch = shape
    if data == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x, y = x.astype(np.uint8), y.astype(np.int64)
    else:
        rng = np.random.default_rng(0)
        x = (rng.random((12_800, 784)) ** 4 * 255).astype(np.uint8)
        y = x[:, :10].argmax(1).astype(np.int64)
    whole = Problem(x[:batch], y[: len(x)], width, depth, batch, trials, device)
    steps = int(np.clip(seconds * 1e11 / whole.flops_per_step, 10, len(x) // batch))
    return Problem(x[: steps * batch], y[: steps * batch], width, depth, batch, trials, device)


def entrants(problem: Problem) -> dict[str, Run]:
    """Everyone who can run here; sequential loops train one network, whatever the number of trials."""
    runs = {
        "torch + DataLoader": contenders.torch_dataloader(problem),
        "torch, sliced": contenders.torch_sliced(problem),
        "initbench": contenders.initbench(problem),
    }
    if problem.device.type == "cpu":
        for stack in {1, min(10, problem.trials), problem.trials}:
            runs[f"JAX vmap x{stack}"] = contenders.jax_vmap(problem, stack)
    return runs


def check_losses(losses: dict[str, list[float]]) -> None:
    """All contenders saw the same networks and batches: their mean losses over the epoch agree to fp32 drift."""
    means = {name: statistics.fmean(values) for name, values in losses.items()}
    reference = means["torch, sliced"]
    for name, mean in means.items():
        if not math.isclose(mean, reference, rel_tol=2e-3):
            sys.exit(
                f"{name} does not train the same networks: mean loss {mean:.6f}, the sliced loop has {reference:.6f}"
            )


def measure(problem: Problem, repeats: int) -> dict[str, list[float]]:
    """Trial-steps per second of every contender, one figure a round; and the GEMM limit in FLOP/s as ``GEMM``."""
    runs = entrants(problem)
    check_losses({name: run()[2] for name, run in runs.items()})
    rates: dict[str, list[float]] = {name: [] for name in [*runs, "GEMM"]}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds, steps, _ = run()
            rates[name].append(steps / seconds)
        rates["GEMM"].append(max(contenders.gemm_rates(problem.device).values()))
    stacked = [name for name in rates if name.startswith("JAX")]
    if stacked:
        best = max(stacked, key=lambda name: statistics.median(rates[name]))
        rates["JAX vmap"] = rates[best]
        for name in stacked:
            del rates[name]
    return rates


def main(
    data: Annotated[str, typer.Option(help="mnist (random images of MNIST's size) or digits.")] = "mnist",
    trials: Annotated[list[int], typer.Option(help="How many networks; repeat for several.")] = [1, 10, 100],  # noqa: B006
    shape: Annotated[list[str], typer.Option(help="width,depth,batch; repeat for several.")] = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Rounds; medians are printed.")] = 5,
    seconds: Annotated[float, typer.Option(help="About how long one contender trains in a round.")] = 0.5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Also write every round to this CSV file.")] = None,
) -> None:
    """Print trial-steps per second and the ratios to initbench, as a Markdown table."""
    shapes = [tuple(map(int, text.split(","))) for text in shape] or SHAPES
    print(f"| width, depth, batch | trials | initbench | {' | '.join(f'x {peer}' for peer in PEERS)} | of GEMM |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for one in shapes:
        for n in trials:
            problem = problem_of(data, one, n, torch.device(device), seconds)
            rates = measure(problem, repeats)
            ours = rates["initbench"]
            cells = []
            for peer in PEERS:
                ratios = [a / b for a, b in zip(ours, rates.get(peer, []), strict=False)]
                spread = f" ({min(ratios):.1f}–{max(ratios):.1f})" if ratios else ""
                cells.append(f"{statistics.median(ratios):.2f}{spread}" if ratios else "not measured")
            share = statistics.median(a * problem.flops_per_step / b for a, b in zip(ours, rates["GEMM"], strict=True))
            name = ", ".join(map(str, one))
            print(f"| {name} | {n} | {statistics.median(ours):,.0f} | {' | '.join(cells)} | {share:.0%} |", flush=True)
            rows += [
                {"data": data, "width": one[0], "depth": one[1], "batch": one[2], "trials": n, "contender": name,
                 "round": i, "trial_steps_per_second": "" if name == "GEMM" else f"{rate:.1f}",
                 "gflops": f"{rate * (1 if name == 'GEMM' else problem.flops_per_step) / 1e9:.1f}"}
                for name, values in rates.items() for i, rate in enumerate(values)
            ]  # fmt: skip
    if out is not None:
        with open(out, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    typer.run(main)
