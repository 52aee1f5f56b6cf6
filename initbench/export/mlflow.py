"""A database for MLflow: an experiment for every setting, a run for every trial."""

import logging
from collections.abc import Iterable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from initbench.export.runs import Run

SHOWN_BY = "mlflow ui --backend-store-uri sqlite:///{}/mlflow.db"
# As many numbers as MLflow takes at once.
_MOST = 1000


def write(runs: Iterable[Run], folder: Path) -> None:
    """``mlflow.db`` in a folder.

    Raises:
        OSError: it cannot be written.
    """
    # It tells of every table that it makes.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    place = folder.absolute()
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    experiments: dict[str, str] = {}
    for run in runs:
        title = run.setting or "initbench"
        if title not in experiments:
            experiments[title] = client.create_experiment(title, artifact_location=(place / "artifacts").as_uri())
        _run(client, experiments[title], run)


def _run(client: MlflowClient, experiment: str, run: Run) -> None:
    moment = round(1000 * run.finished)
    tags = {"technique": run.technique, "outcome": run.outcome, "key": run.key}
    name = f"{run.technique} · seed {run.seed}"
    made = client.create_run(experiment, start_time=moment, tags=tags, run_name=name).info.run_id
    settings = [Param(name, str(value)) for name, value in {**run.settings, "seed": run.seed}.items()]
    client.log_batch(made, params=settings)
    numbers = [Metric(name, value, moment, epoch) for name, curve in run.curves.items() for epoch, value in curve]
    numbers += [Metric(f"results/{name}", value, moment, 0) for name, value in run.results.items()]
    for start in range(0, len(numbers), _MOST):
        client.log_batch(made, metrics=numbers[start : start + _MOST])
    client.set_terminated(made, "FINISHED" if run.ended else "FAILED", moment)
