"""What became of trials, as records, and where they were made."""

import hashlib
import platform
from collections.abc import Sequence
from typing import Any

import msgspec
import numba
import numpy as np
import scipy
import torch
from msgspec.structs import replace

from initbench.data import samples
from initbench.data_driven import DATA_LAWS
from initbench.engine.compiled.blas import chosen
from initbench.engine.job import History
from initbench.errors import readable
from initbench.experiment.plan import Trial
from initbench.experiment.start import ParamArrays, Start, certificate
from initbench.initializers.plugins import law_of
from initbench.initializers.schemes import SCHEMES
from initbench.processors import processor, processors
from initbench.records.schema import SPLITS, Cost, Counts, Curves, Environment, Losses, TrialRecord, Weights
from initbench.tasks import TASKS
from initbench.trial import Init
from initbench.version import __version__


def environment(device: torch.device, blas: str = "auto", engine: str = "compiled") -> Environment:
    """Where the numbers were made: recorded beside them, part of no key.

    Args:
        device: they were trained on.
        blas: the setting.
        engine: the name of the one that trained; torch calls products of its own.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    on_cpu = device.type == "cpu"
    return Environment(
        initbench=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=np.__version__,
        system=f"{platform.system()} {platform.machine()}",
        device=device.type,
        processor=name,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=processors() if on_cpu else None,
        blas=(chosen(blas).name if engine == "compiled" else "torch's own") if on_cpu else None,
        scipy=scipy.__version__,
        numba=numba.__version__,
    )


def computed_by(device: torch.device, blas: str, engine: str) -> dict[str, Any]:
    """Of the environment all that may change the bits of a number, as plain JSON values."""
    # How many networks are trained at once does not.
    return msgspec.structs.asdict(replace(environment(device, blas, engine), threads=None))


def failed(trial: Trial, error: str) -> TrialRecord:
    """The record of a trial that could not start, or not go on to its end."""
    return TrialRecord(**_about(trial), outcome="failed", error=readable(error))


def described(chunk: Sequence[Trial], initial: Sequence[Start], history: History) -> list[TrialRecord]:
    """One record per trial: integers where things are counted, None where there is no number."""
    last = chunk[0].cell.epochs
    curves = {name: getattr(history, name).tolist() for name in Curves.__struct_fields__}
    n_correct = [history.train_correct[:, last - 1], history.val_correct[:, last], history.test_correct]
    loss = [history.train_loss[:, last - 1], history.val_loss[:, last], history.test_loss]
    counts = TASKS[chunk[0].cell.dataset.task].counts
    result = []
    for i, (trial, begun, at) in enumerate(zip(chunk, initial, history.diverged_at.tolist(), strict=True)):
        ok = at < 0
        end = {name: values[i] for name, values in history.params.items()}
        record = TrialRecord(
            **_about(trial),
            outcome="ok" if ok else "diverged",
            diverged_at=None if ok else at,
            n_correct=Counts(*(int(values[i]) for values in n_correct)) if ok and counts else None,
            n_answers=int(history.test_answers[i]) if ok and counts else None,
            loss=Losses(*(_number(float(values[i])) for values in loss)) if ok else None,
            history=Curves(**{name: list(map(_number, curve[i])) for name, curve in curves.items()}),
            weights=Weights(_hash(begun.params), _hash(end) if ok else None),
            certificate=certificate(trial.cell, begun.params),
            init_cost=Cost(**begun.cost) if begun.cost else None,
        )
        result.append(record)
    return result


def _about(trial: Trial) -> dict[str, Any]:
    """What is known of a trial before it starts."""
    data = samples(trial.cell.dataset, trial.seed)
    return {
        "key": trial.key,
        "trial": trial.identity,
        "asked": trial.cell.asked(),
        "formula": formula(trial.cell.init),
        "n_total": Counts(*(len(getattr(data, name)) for name in SPLITS)),
        "n_majority": data.n_majority,
        "constant": Losses(*data.constant),
    }


def formula(init: Init) -> str:
    """What an initializer draws from, as text."""
    own = (DATA_LAWS.get(init.law) or law_of(init.law, init.code, init.file)).formula
    return f"{own}; {SCHEMES[init.scheme].formula}" if init.scheme else own


def _number(value: float) -> Any:
    """A count of -1 and a loss that is not finite stand for "not measured", which JSON calls null."""
    return None if value == -1 or not np.isfinite(value) else value


def _hash(params: ParamArrays) -> str:
    """16 hex digits of the parameters' bytes: the cheapest check of reproducibility there is."""
    digest = hashlib.sha256()
    for values in params.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]
