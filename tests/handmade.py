"""Records made by hand, whose reports one can do by head; run as a script it writes the golden files anew."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from initbench import records
from initbench.analysis.trials import Trials, to_trials
from initbench.experiment.plan import Trial, plan
from initbench.records.columns import from_records
from initbench.records.schema import Environment, Header, TrialRecord, record_of
from initbench.render.blocks import Block, Figure, Table
from initbench.report.document import Options
from initbench.report.output import report
from initbench.settings.compose import compose
from initbench.settings.request import request

GOLDEN = Path(__file__).parent / "golden"

ENVIRONMENT: dict[str, Any] = {
    "initbench": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "numpy": "2.0.0", "system": "Linux x86_64",
    "device": "cpu", "processor": "A CPU", "cpu_capability": "AVX2", "threads": 2,
}  # fmt: skip
# Of a GPU: nobody counts its threads.
GPU = {key: value for key, value in ENVIRONMENT.items() if key not in ("threads", "cpu_capability")}
GPU |= {"device": "cuda", "processor": "A GPU"}
HEADER: dict[str, Any] = {"finished": "2026-01-01T00:00:00+00:00", "environment": ENVIRONMENT}


def make_record(
    init: str = "he", seed: int = 0, correct: int | None = 90, total: int = 100, **trial: Any
) -> dict[str, Any]:
    """One trial's record; ``correct=None`` is a trial that diverged."""
    std = trial.pop("std", 0.1)
    identity = {
        "recipe": 1,
        "dataset": {
            "name": "digits",
            "sha256": "0123456789abcdef",
            "val": 0.2,
            "test": 0.2,
            "standardize": "global",
        },
        "model": "mlp",
        "depth": 2,
        "width": [128, 128],
        "activation": {"name": "relu"},
        "init": {"name": init, "law": "normal", "std": std, "bias": "zeros"},
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
        "lr": 0.1,
        "schedule": "cosine",
        "warmup": 0.0,
        "epochs": 2,
        "batch_size": 128,
        "precision": "float32",
        "seed": seed,
    } | trial
    ok = correct is not None
    return {
        "key": f"{init}-{std}-{seed}-{sorted(trial.items())}",
        "trial": identity,
        "formula": "N(0, std²)",
        "outcome": "ok" if ok else "diverged",
        "diverged_at": None if ok else 7,
        "n_total": {"train": 600, "val": 200, "test": total},
        "n_majority": total // 10,
        "n_correct": {"train": 500, "val": 150, "test": correct} if ok else None,
        "loss": {"train": 0.1, "val": 0.2, "test": 0.3} if ok else None,
        "history": {
            "train_loss": [1.0, 0.5], "train_correct": [300, 450],
            "val_loss": [2.3, 0.4, 0.3], "val_correct": [20, 150, 140],
        },
        "weights": {"initial": "0" * 16, "final": "1" * 16},
    }  # fmt: skip


def failed_record(init: str, seed: int, error: str = "the plugin raised ValueError: no") -> dict[str, Any]:
    """A trial whose initializer raised: an outcome, a line, and no numbers at all."""
    nothing = dict.fromkeys(("diverged_at", "n_total", "n_majority", "n_correct", "loss", "weights"))
    made = make_record(init, seed)
    if init != "he":
        # By a law of its own: where another name's trial is the same, its result counts.
        made["trial"]["init"] = {"name": init, "law": init}
    return made | nothing | {"outcome": "failed", "error": error, "history": {}}


def foreign_record(
    init: str = "he", seed: int = 0, correct: int | None = 90, total: int = 100, **trial: Any
) -> dict[str, Any]:
    """A trial of somebody else's: what was trained and how many answers were correct, and nothing more."""
    made = make_record(init, seed, correct, total, **trial)
    return {key: made[key] for key in ("key", "trial", "outcome", "n_total", "n_correct")}


def recorded(made: Iterable[dict[str, Any]]) -> list[TrialRecord]:
    """Lines as initbench reads them: these are of its first format."""
    return [record_of(line, written=1) for line in made]


def trials_of(
    made: Iterable[dict[str, Any]], target: float | None = None, environment: Mapping[str, Any] = ENVIRONMENT
) -> Trials:
    """The trials of lines, as if they were read from one file."""
    header = Header(format=1, finished=str(HEADER["finished"]), environment=Environment(**environment))
    return to_trials(from_records(recorded(made), header), target)


def trials_of_plan(planned: Iterable[Trial]) -> Trials:
    """Trials of these identities, asked for in these ways, all with the same numbers."""
    (one,) = recorded([make_record()])
    made = [
        msgspec.structs.replace(one, key=trial.key, trial=trial.identity, asked=trial.cell.asked()) for trial in planned
    ]
    return to_trials(from_records(made))


def publish(folder: Path, made: Iterable[dict[str, Any]], finished: str = "2026-01-01T00:00:00+00:00") -> Path:
    """A file of records, of today's format."""
    return records.publish(folder, recorded(made), finished=finished, environment=Environment(**ENVIRONMENT))


def write_lines(file: Path, *lines: Any) -> Path:
    """A whole file of the given header and lines, with the right checksum, whoever wrote it."""
    body = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body + f"{json.dumps({'sha256': hashlib.sha256(body).hexdigest()})}\n".encode())
    return file


def csv_of(trials: Trials) -> str:
    """The report of trials as CSV."""
    return report(trials, Options(), "csv")


def table(blocks: list[Block], title: str) -> dict[str, dict[str, str]]:
    """A table, or a figure's, by how its title starts: row label to column to text."""
    found = [
        b.table if isinstance(b, Figure) else b
        for b in blocks
        if isinstance(b, Table | Figure) and b.title.startswith(title)
    ]
    return {row[0]: dict(zip(found[0].header[1:], row[1:], strict=True)) for row in found[0].rows}


def odd_records() -> list[dict[str, Any]]:
    """Everything that can be odd about a cell: gaps, single seeds, all failed, all equal, nothing finite, signs."""
    made = [make_record("he", seed, n) for seed, n in enumerate([97, 98, 97, 96, 95, 97, 97, 96, None])]
    made += [make_record("zero", seed, 10) for seed in range(9)]
    made += [make_record("xavier", seed, 90 + seed) for seed in (0, 2, 8)]
    made += [make_record("a|b_$x%&#{", 1, 50)]
    made += [make_record("gone", seed, None) for seed in range(9)]
    made += [failed_record("broken", seed) for seed in range(9)]
    made += [
        make_record(
            "orthogonal",
            seed,
            94 + seed // 3,
            init_output={"name": "zero", "law": "constant", "value": 0.0},
            bias={"name": "uniform", "bound": 0.1},
        )
        for seed in range(9)
    ]
    made[0]["loss"] = {"train": None, "val": None, "test": None}
    made[1]["history"] = {"val_correct": [20, None, 190]}
    return made


def many(folder: Path, settings: int, seeds: int) -> int:
    """Publish records of ten initializers, 300 a file, with curves of 30 epochs; returns how many."""
    curve = {"val_correct": [20, *(100 + 3 * epoch for epoch in range(30))], "train_loss": [0.123456789] * 30}
    total = 0
    for lr in range(settings):
        made = [
            make_record(f"init{init}", seed, 50 + (7 * init + seed) % 40, lr=0.001 * (1 + lr), std=0.1 * (1 + init))
            | {"history": curve}
            for init in range(10)
            for seed in range(seeds)
        ]
        total += len(made)
        for start in range(0, len(made), 300):
            publish(folder / "run" / "records", made[start : start + 300])
    return total


def finished(folder: Path, *overrides: str) -> int:
    """Publish a record of every trial that a command asks for, 64 a file, as if it had run; returns how many."""
    asked = request(compose([*overrides, f"results={folder}"]))
    (one,) = recorded([make_record()])
    trials = sorted(plan(asked, {}).trials, key=lambda trial: trial.seed)
    for start in range(0, len(trials), 64):
        made = [
            msgspec.structs.replace(one, key=trial.key, trial=trial.identity, asked=trial.cell.asked())
            for trial in trials[start : start + 64]
        ]
        records.publish(asked.folder, made, finished=str(HEADER["finished"]), environment=Environment(**ENVIRONMENT))
    return len(trials)


def write_golden() -> None:
    """What the reports say today, to be read before it is committed."""
    from test_report_formats import FORMATS, golden_text

    for suffix in FORMATS:
        (GOLDEN / f"report.{suffix}").write_text(golden_text(suffix), encoding="utf-8")


if __name__ == "__main__":
    write_golden()
