"""Is there any protocol under which article D4's ten means hold? A search over protocols on MNIST.

D4 prints ten accuracies for each of ten techniques and names no data set, model, learning rate or law. Here protocols
are drawn at random, then those around the best ones; the closest are trained again with ten fresh seeds, and only
these figures are what a protocol gives. Everything goes into one file, a line of JSON each, from which the same
command goes on after any stop, and from which ``--report`` writes the page.

    nice python benchmarks/d4_search.py --root DIR --out d4_search.jsonl
    python benchmarks/d4_search.py --out results/published/d4_search.jsonl.xz --report

*Protocol*: how many of the training samples, epochs, depth, width, activation, optimizer, learning rate, batch size,
schedule, input scaling; each drawn from :data:`SPACE`, again where the work for one network would be above
:data:`WORK`. *Laws*: the article's words leave open which law a technique is; :data:`LAWS` has those that its name may
mean. Given a protocol, the mean of a technique depends on nothing of the others, so its laws are tried one by one with
seed 0 until one is within :data:`NEAR` of the article's mean; the nearest is trained with seed 1 too, and the mean of
both is the technique's. *Distance*: root mean square deviation of the ten means, in percentage points, on validation
samples. A protocol is left as soon as the deviations found already make it farther than the twenty nearest: its
distance is then at least what is written down. *Confirmation*: the test samples, seeds 1000 to 1009, no choice left.

The search is a selection, of laws by technique and of protocols; nothing but the confirmation says how near one is.
"""

import argparse
import json
import lzma
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from initbench.analysis.articles import D4
from initbench.engine.checkpoints import NONE
from initbench.errors import InputError
from initbench.experiment.plan import Trial
from initbench.experiment.train import train
from initbench.settings.compose import compose
from initbench.settings.request import request
from initbench.trial import Cell, Init, trial_key

Protocol = dict[str, Any]
# A law and its parameters.
LawOf = tuple[str, dict[str, Any]]

MEANS = {name: float(np.mean(runs)) for name, runs in D4.items()}
# Those that say most about a protocol first: their names leave least open.
ORDER = ("he", "xavier", "orthogonal", "positive", "gaussian", "uniform", "random", "sparse", "constant", "zero")

N_RANDOM, N_REFINED, N_CONFIRMED, N_BEST = 1000, 180, 3, 20
SEARCH_SEEDS, FRESH_SEEDS = (0, 1), tuple(range(1000, 1010))
NEAR = 0.5
# Samples seen times parameters, for one network: about two seconds.
WORK = 1e10

SPACE: dict[str, Sequence[Any]] = {
    "train": (1000, 2000, 5000, 10_000, 20_000, 50_000),
    "epochs": (1, 2, 3, 5, 10, 20),
    "depth": (0, 1, 2, 3, 4, 5),
    "width": (16, 32, 64, 128, 256, 512),
    "activation": ("relu", "tanh", "sigmoid", "leaky_relu", "elu", "gelu"),
    "optimizer": ("sgd", "sgd momentum=0", "adam", "rmsprop"),
    "batch_size": (16, 32, 64, 128, 256, 512),
    "schedule": ("constant", "cosine"),
    "standardize": ("global", "unit", "none"),
}
# Of the learning rate, drawn log-uniformly.
RATES = {"sgd": (1e-3, 1.0), "sgd momentum=0": (3e-3, 3.0), "adam": (3e-5, 3e-2), "rmsprop": (3e-5, 3e-2)}


def normal(std: float) -> LawOf:
    """N(0, std²)."""
    return "normal", {"std": std, "mean": 0.0}


def between(low: float, high: float) -> LawOf:
    """U(low, high)."""
    return "uniform", {"low": low, "high": high}


HE, FAN_IN = math.sqrt(2), "fan_in"
LAWS: dict[str, list[LawOf]] = {
    "random": [between(-a, a) for a in (0.05, 0.5, 0.2, 0.1, 1.0, 0.01)] + [normal(1.0), normal(0.1), between(0, 1)],
    "zero": [("constant", {"value": 0.0})],
    "gaussian": [normal(std) for std in (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 0.001)],
    "xavier": [
        ("glorot_uniform", {"gain": 1.0}),
        ("glorot_normal", {"gain": 1.0}),
        ("lecun_normal", {"gain": 1.0}),
    ],
    "he": [
        ("he_normal", {"gain": HE, "mode": FAN_IN}),
        ("he_uniform", {"gain": HE, "mode": FAN_IN}),
        ("he_normal", {"gain": HE, "mode": "fan_out"}),
    ],
    "orthogonal": [("orthogonal", {"gain": 1.0}), ("orthogonal", {"gain": HE})],
    "sparse": [
        ("sparse", {"k": 15, "std": 1.0}),
        *(("sparse_torch", {"sparsity": part, "std": std}) for std in (0.01, 0.1, 0.5) for part in (0.1, 0.5, 0.9)),
    ],
    "uniform": [
        ("uniform_fan_in", {}),
        ("lecun_uniform", {"gain": 1.0}),
        *(between(-a, a) for a in (0.05, 0.1, 0.2, 0.5, 1.0, 0.01)),
        between(0, 1),
    ],
    "constant": [("constant", {"value": value}) for value in (0.01, 0.1, 0.5, 1.0, 0.001)],
    "positive": [
        ("positive", {"gain": HE, "distribution": "normal"}),
        ("positive", {"gain": HE, "distribution": "uniform"}),
        ("positive_mean", {"distribution": "normal"}),
        *(("half_normal", {"std": std}) for std in (0.01, 0.05, 0.001)),
        *(between(0, high) for high in (0.05, 0.01, 0.1)),
    ],
}
# The parameters of a law whose size its technique's name leaves open.
SIZES = ("std", "low", "high", "value")


def draw(rng: np.random.Generator) -> Protocol:
    """A protocol at random."""
    while True:
        protocol = {name: values[rng.integers(len(values))] for name, values in SPACE.items()}
        low, high = RATES[protocol["optimizer"]]
        protocol["lr"] = _digits(math.exp(rng.uniform(math.log(low), math.log(high))))
        if work(protocol) <= WORK:
            return protocol


def neighbour(protocol: Protocol, rng: np.random.Generator) -> Protocol:
    """A protocol that differs in the learning rate and in at most two other settings, where these have steps by one."""
    while True:
        other = dict(protocol)
        for name in rng.choice(list(SPACE), size=rng.integers(0, 3), replace=False).tolist():
            values = SPACE[name]
            if name in ("activation", "optimizer", "schedule", "standardize"):
                other[name] = values[rng.integers(len(values))]
            else:
                place = values.index(protocol[name]) + rng.choice([-1, 1])
                other[name] = values[min(max(place, 0), len(values) - 1)]
        if other["optimizer"] != protocol["optimizer"]:
            low, high = RATES[other["optimizer"]]
            other["lr"] = math.exp(rng.uniform(math.log(low), math.log(high)))
        other["lr"] = _digits(other["lr"] * math.exp(rng.normal(0, 0.3)))
        if work(other) <= WORK:
            return other


def _digits(value: float) -> float:
    """As it can be typed."""
    return float(f"{value:.3g}")


def work(protocol: Protocol) -> float:
    """Samples seen times parameters, for one network."""
    sizes = [784, *[protocol["width"]] * protocol["depth"], 10]
    n_params = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    return float(protocol["train"] * protocol["epochs"] * n_params)


@dataclass(frozen=True)
class Trainer:
    """Trains one network at a time with the project's own engine; ``root`` is where MNIST lies."""

    root: str

    def accuracy(self, protocol: Protocol, law: LawOf, seed: int, split: str) -> float:
        """In %, of a split; 0 where the training diverged."""
        cell = replace(self.cell(json.dumps(protocol)), init=Init(law[0], law[0], tuple(sorted(law[1].items()))))
        identity = cell.identity(seed, cell.dataset.sha256 or "")
        trial = Trial(cell, seed, trial_key(identity))
        (record,) = train([trial], torch.device("cpu"), lambda n_steps: None, lambda keys, about: NONE)
        if record.outcome == "failed":
            raise InputError(f"{law}: {record.error}")
        if record.n_correct is None or record.n_total is None:
            return 0.0
        return float(100 * getattr(record.n_correct, split) / getattr(record.n_total, split))

    def cell(self, protocol: str) -> Cell:
        """What trains by a protocol, with some initializer."""
        return _cell(protocol, self.root)


@lru_cache(maxsize=8)
def _cell(text: str, root: str) -> Cell:
    (cell,) = request(compose(overrides(json.loads(text), root))).cells
    return cell


def overrides(protocol: Protocol, root: str = "") -> list[str]:
    """A protocol as ``initbench run`` takes it."""
    optimizer, _, momentum = protocol["optimizer"].partition(" ")
    return [
        "dataset=mnist",
        *([f"dataset.root={root}"] if root else []),
        f"dataset.train={protocol['train']}",
        "dataset.split=fixed",
        f"dataset.standardize={protocol['standardize']}",
        f"optimizer={optimizer}",
        *([f"optimizer.{momentum}"] if momentum else []),
        *(
            f"{key}={protocol[key]}"
            for key in ("depth", "width", "activation", "lr", "epochs", "batch_size", "schedule")
        ),
    ]


def candidates(name: str, known: LawOf | None) -> Iterator[LawOf]:
    """The laws that a technique may be; beside one that was near for a similar protocol, first, others of its size."""
    if known is not None:
        yield known
        for factor in (0.8, 1.25) if name not in ("he", "xavier", "orthogonal", "zero") else ():
            sized = {key: _digits(value * factor) for key, value in known[1].items() if key in SIZES}
            if sized:
                yield known[0], known[1] | sized
    yield from LAWS[name]


def tried(trainer: Trainer, protocol: Protocol, near: Mapping[str, LawOf], limit: float) -> dict[str, Any]:
    """A protocol's means, and how far they are from the article's.

    Args:
        trainer: trains.
        protocol: the protocol.
        near: laws that were near for a similar protocol.
        limit: a distance beyond which it need not be known.
    """
    means: dict[str, float] = {}
    laws: dict[str, LawOf] = {}
    n_networks, begun = 0, time.process_time()
    for name in ORDER:
        found: list[tuple[float, float, LawOf]] = []
        for law in candidates(name, near.get(name)):
            score = trainer.accuracy(protocol, law, SEARCH_SEEDS[0], "val")
            n_networks += 1
            found.append((abs(score - MEANS[name]), score, law))
            if found[-1][0] < NEAR:
                break
        _, score, laws[name] = min(found, key=lambda each: each[0])
        more = [trainer.accuracy(protocol, laws[name], seed, "val") for seed in SEARCH_SEEDS[1:]]
        n_networks += len(more)
        means[name] = float(np.mean([score, *more]))
        if distance(means, whole=False) > limit:
            break
    complete = len(means) == len(ORDER)
    return {
        "protocol": protocol,
        "means": {name: round(mean, 3) for name, mean in means.items()},
        "laws": laws,
        "complete": complete,
        "distance": round(distance(means, whole=False), 4),
        "spearman": round(order(means), 4) if complete else None,
        "networks": n_networks,
        "seconds": round(time.process_time() - begun, 2),
    }


def distance(means: Mapping[str, float], whole: bool = True) -> float:
    """Root mean square deviation from the article's ten means; of fewer, what it is at least."""
    assert not whole or len(means) == len(MEANS)
    return math.sqrt(sum((mean - MEANS[name]) ** 2 for name, mean in means.items()) / len(MEANS))


def order(means: Mapping[str, float]) -> float:
    """Spearman's rank correlation with the article's ten means."""
    return float(spearmanr([means[name] for name in MEANS], list(MEANS.values())).statistic)


def read(out: Path) -> list[dict[str, Any]]:
    """The lines that were written; one that a kill has cut is written again. One that is packed is only read."""
    if not out.exists():
        return []
    if out.suffix == ".xz":
        return [json.loads(line) for line in lzma.decompress(out.read_bytes()).decode().splitlines()]
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def nearest(lines: Sequence[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Of the protocols whose ten means are known, the nearest."""
    return sorted((line for line in lines if line.get("complete")), key=lambda line: line["distance"])[:n]


def search(trainer: Trainer, out: Path, n_random: int, n_refined: int, n_confirmed: int) -> None:
    """Go on until all is done."""
    lines = read(out)
    while len([line for line in lines if "complete" in line]) < n_random + n_refined:
        number = len(lines)
        rng = np.random.default_rng([4, number])
        best = nearest(lines, N_BEST)
        limit = best[-1]["distance"] if len(best) == N_BEST else math.inf
        if number < n_random or not best:
            line = tried(trainer, draw(rng), {}, limit)
        else:
            parent = best[rng.integers(len(best))]
            near = {name: (law, params) for name, (law, params) in parent["laws"].items()}
            line = tried(trainer, neighbour(parent["protocol"], rng), near, limit)
        _write(out, lines, {"number": number, "stage": "random" if number < n_random else "refined", **line})
    confirmed = {line["of"] for line in lines if line["stage"] == "confirmed"}
    for line in nearest(lines, n_confirmed):
        if line["number"] not in confirmed:
            runs = {
                name: [
                    trainer.accuracy(line["protocol"], tuple(line["laws"][name]), seed, "test") for seed in FRESH_SEEDS
                ]
                for name in D4
            }
            about = {"protocol": line["protocol"], "laws": line["laws"], "runs": runs}
            _write(out, lines, {"number": len(lines), "stage": "confirmed", "of": line["number"], **about})


def _write(out: Path, lines: list[dict[str, Any]], line: dict[str, Any]) -> None:
    with open(out, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    lines.append(line)


def intervals(runs: Mapping[str, Sequence[float]], resamples: int = 10_000) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of distance and rank correlation: seeds are drawn, all techniques of a seed together."""
    table = np.array([runs[name] for name in MEANS])
    rng = np.random.default_rng(0)
    drawn = table[:, rng.integers(table.shape[1], size=(resamples, table.shape[1]))].mean(axis=2)
    target = np.array(list(MEANS.values()))
    distances = np.sqrt(((drawn - target[:, None]) ** 2).mean(axis=0))
    orders = [float(spearmanr(column, target).statistic) for column in drawn.T[: resamples // 10]]
    low, high = np.quantile(distances, [0.025, 0.975])
    return {"distance": (float(low), float(high)), "spearman": (min(orders), max(orders))}


def written(law: Sequence[Any]) -> str:
    """A law with its parameters, for people."""
    name, params = law
    return " ".join(
        [name, *(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items())]
    )


def report(lines: Sequence[dict[str, Any]]) -> str:
    """The page: how near the nearest protocols are, and what they are."""
    searched = [line for line in lines if "complete" in line]
    confirmed = [line for line in lines if line["stage"] == "confirmed"]
    confirmed.sort(key=lambda line: distance({name: float(np.mean(runs)) for name, runs in line["runs"].items()}))
    n_random = sum(line["stage"] == "random" for line in searched)
    text = [
        "# How near any protocol comes to the article's table",
        "",
        f"{len(searched):,} protocols on MNIST ({n_random:,} at random, the others around the best), "
        f"{sum(line['networks'] for line in searched):,} networks, "
        f"{sum(line['seconds'] for line in searched) / 3600:.1f} hours of one core; of "
        f"{sum(line['complete'] for line in searched):,} all ten means are known, the others were left when they could "
        "not be among the nearest any more. What was searched, and how, is in `benchmarks/d4_search.py`.",
        "",
    ]
    for number, line in enumerate(confirmed, 1):
        means = {name: float(np.mean(runs)) for name, runs in line["runs"].items()}
        wide = intervals(line["runs"])
        (found,) = [each for each in searched if each["number"] == line["of"]]
        text += [
            f"## {number}. {distance(means):.2f} points away",
            "",
            f"`{' '.join(overrides(line['protocol']))}`",
            "",
            f"Ten fresh seeds, test samples: root mean square deviation of the ten means {distance(means):.2f} points "
            f"(95 % {wide['distance'][0]:.2f} to {wide['distance'][1]:.2f}), rank correlation {order(means):.2f} "
            f"({wide['spearman'][0]:.2f} to {wide['spearman'][1]:.2f}). Where it was chosen: {found['distance']:.2f}.",
            "",
            "| technique | law | article | sd | here | sd | difference |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, mean in means.items():
            spread = np.std(D4[name], ddof=1), np.std(line["runs"][name], ddof=1)
            text.append(
                f"| {name} | {written(line['laws'][name])} | {MEANS[name]:.2f} | {spread[0]:.2f} | {mean:.2f} "
                f"| {spread[1]:.2f} | {mean - MEANS[name]:+.2f} |"
            )
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Search, or report."""
    parser = argparse.ArgumentParser(description="Search for protocols under which article D4's ten means hold.")
    parser.add_argument("--out", type=Path, required=True, help="the file that is written and gone on from")
    parser.add_argument("--root", default="", help="where MNIST lies; by default the user's cache folder")
    parser.add_argument("--random", type=int, default=N_RANDOM, help="how many protocols at random")
    parser.add_argument("--refine", type=int, default=N_REFINED, help="how many around the best")
    parser.add_argument("--confirm", type=int, default=N_CONFIRMED, help="how many are trained again")
    parser.add_argument("--report", action="store_true", help="print the page instead")
    given = parser.parse_args()
    if given.report:
        print(report(read(given.out)))
    else:
        search(Trainer(given.root), given.out, given.random, given.refine, given.confirm)


if __name__ == "__main__":
    main()
