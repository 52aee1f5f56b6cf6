"""Offline runs of Weights & Biases, a folder each, which ``wandb sync`` sends where its user wants."""

import os
from collections.abc import Iterable
from pathlib import Path

import wandb

from initbench.export.runs import Run

SHOWN_BY = "wandb sync {}/wandb/offline-run-*"


def write(runs: Iterable[Run], folder: Path) -> None:
    """A run for every trial, those of one technique in a setting as a group.

    Raises:
        OSError: it cannot be written.
    """
    # Nothing of where it is written is told: a run is what its record says.
    settings = wandb.Settings(
        mode="offline", silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
    )
    for run in runs:
        with wandb.init(
            dir=os.fspath(folder),
            project="initbench",
            id=run.key,
            name=run.name,
            group=" · ".join(filter(None, [run.setting, run.technique])),
            config={**run.settings, "technique": run.technique, "seed": run.seed, "key": run.key},
            settings=settings,
        ) as made:
            by_epoch: dict[int, dict[str, float]] = {}
            for name, curve in run.curves.items():
                for epoch, value in curve:
                    by_epoch.setdefault(epoch, {})[name] = value
            for epoch in sorted(by_epoch):
                made.log({**by_epoch[epoch], "epoch": epoch}, step=epoch)
            made.summary.update({"outcome": run.outcome, **run.results})
            made.finish(exit_code=0 if run.ended else 1)
    # Their service writes the files, and on a busy machine it may still be at it.
    wandb.teardown()
