"""The wedge of Schoenholz et al. 2017: how deep a tanh network trains, by the variance of its weights, beside theory.

Reads the records of ``initbench run experiment=wedge`` and writes a page and a figure: the mean test accuracy after 200
steps for every depth and σ_w², and the depth 6ξ from which on nothing is left of how alike two inputs are. It was
fitted to nothing: ξ comes from :mod:`initbench.probing.theory` alone.

    initbench run experiment=wedge results=results/published
    python benchmarks/wedge.py results/published/wedge --out results/published
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from initbench.analysis.trials import to_trials
from initbench.probing.theory import Field
from initbench.records import index

BIAS = math.sqrt(0.05)
# A test accuracy that counts as training, as in the public re-run of the experiment.
TRAINS = 0.3


def accuracies(folder: Path) -> pd.DataFrame:
    """Mean test accuracy, ``[depth, σ_w²]``."""
    trials = to_trials(index.load([folder])[0])
    frame = trials.frame()
    scale = [identity["init"]["scale"] for identity in trials.identities]
    frame["depth"] = trials.cells["depth"].to_numpy()[frame["cell"]]
    frame["scale"] = np.array(scale)[frame["cell"]]
    # One that did not finish names the most frequent class.
    chance = frame["test_majority"] / frame["test_total"]
    frame["accuracy"] = frame["test_accuracy"].fillna(chance)
    return frame.pivot_table(index="depth", columns="scale", values="accuracy", aggfunc="mean")


def limits(scales: list[float]) -> list[float]:
    """6ξ for every σ_w², σ_b² = 0.05."""
    return [6 * Field("tanh", math.sqrt(scale), BIAS).xi for scale in scales]


def checks(table: pd.DataFrame) -> dict[str, float]:
    """How theory and networks agree: shares that train within and beyond 6ξ, and a rank correlation."""
    allowed = np.array(limits(list(table.columns)))[None, :] / np.array(table.index)[:, None]
    inside, values = allowed >= 1, table.to_numpy()
    return {
        "inside": float((values[inside] > TRAINS).mean()),
        "outside": float((values[~inside] > TRAINS).mean()),
        "n_inside": int(inside.sum()),
        "n_outside": int((~inside).sum()),
        "spearman": float(spearmanr(np.minimum(allowed, 1e6).ravel(), values.ravel()).statistic),
    }


def band(row: pd.Series) -> str:
    """The smallest and the largest σ_w² that train."""
    found = [scale for scale, value in row.items() if value > TRAINS]
    return f"{found[0]:g} to {found[-1]:g}" if found else "none"


def page(table: pd.DataFrame) -> str:
    """The page."""
    scales, found = list(table.columns), checks(table)
    lines = [
        "# The wedge: how deep a tanh network trains",
        "",
        "Mean test accuracy in % on MNIST after 200 steps of 250 samples, three seeds each: tanh, width 128, Gaussian "
        "weights of variance σ_w² / fan_in, biases of variance 0.05, SGD with momentum 0.9 at a learning rate of 0.01. "
        "The last row is 6ξ, the depth from which on the theory of wide networks sees nothing left of how alike two "
        "inputs are; it is infinite on the edge of chaos, σ_w² = 1.76.",
        "",
        "![Accuracy by depth and variance of the weights, and the line of 6ξ](figures/wedge.png)",
        "",
        f"| depth | {' | '.join(f'{scale:g}' for scale in scales)} | trains |",
        f"| --- | {' | '.join(['---:'] * len(scales))} | --- |",
    ]
    for depth, row in table.iterrows():
        lines.append(f"| {depth} | {' | '.join(f'{100 * value:.1f}' for value in row)} | {band(row)} |")
    shown = [f"{limit:.0f}" if limit < 1000 else "> 1000" for limit in limits(scales)]
    best = [100 * float(table.loc[depth].max()) for depth in (60, 80)]
    inside, outside = (100 * found[side] for side in ("inside", "outside"))
    lines += [
        f"| 6ξ | {' | '.join(shown)} | |",
        "",
        f"Within 6ξ {inside:.0f} % of {found['n_inside']} cells are above {100 * TRAINS:.0f} %, beyond it "
        f"{outside:.0f} % of {found['n_outside']}; the rank correlation of 6ξ / depth with accuracy is "
        f"{found['spearman']:.2f}. The band of variances that train narrows with depth, towards the edge of chaos. "
        f"What this does not reproduce is how deep it goes there: at 60 layers the best mean is {best[0]:.1f} %, at 80 "
        f"{best[1]:.1f} %. One learning rate and 200 steps are a limit of their own, and a network of width 128 is "
        "less of a wide one than the paper's 300.",
        "",
    ]
    return "\n".join(lines)


def figure(table: pd.DataFrame, out: Path) -> None:
    """A heat map with the line of 6ξ."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    depths, fine = np.array(table.index, dtype=float), np.linspace(min(table.columns), max(table.columns), 181)
    fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
    centres = np.array(table.columns)
    mesh = ax.pcolormesh(edges(centres), edges(depths), 100 * table.to_numpy(), cmap="viridis", vmin=10, vmax=100)
    ax.plot(fine, np.minimum(limits(fine.tolist()), 1e4), color="white", linewidth=2)
    ax.text(2.55, 72, "6ξ, from theory alone", color="white", fontsize=9, va="center")
    ax.set_ylim(edges(depths)[0], edges(depths)[-1])
    ax.set_xlabel("σ_w²")
    ax.set_ylabel("hidden layers")
    ax.set_title("Test accuracy, %, after 200 steps (tanh, MNIST)", fontsize=10, loc="left")
    fig.colorbar(mesh)
    out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(out, dpi=110)
    plt.close(fig)


def edges(centres: np.ndarray) -> np.ndarray:
    """Half-way between centres, and as far beyond the first and the last."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description="Write the page and the figure of the wedge.")
    parser.add_argument("folder", type=Path, help="the records of initbench run experiment=wedge")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the page")
    given = parser.parse_args()
    table = accuracies(given.folder)
    (given.out / "wedge.md").write_text(page(table), encoding="utf-8")
    figure(table, given.out / "figures" / "wedge.png")


if __name__ == "__main__":
    main()
