"""What a worker does with its commands: check, divide, train, publish."""

import logging
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from initbench.data import samples
from initbench.engine.choose import choose
from initbench.engine.compiled.blas import chosen
from initbench.errors import InputError, StorageError, one_line, out_of_memory, readable
from initbench.experiment import checkpoints, chunks, train
from initbench.experiment.checks import checks
from initbench.experiment.describe import environment, failed
from initbench.experiment.messages import (
    Answer,
    Checked,
    Checking,
    Command,
    Divide,
    Divided,
    Done,
    Error,
    Failed,
    Kind,
    Leave,
    Note,
    Progress,
    Refused,
    Train,
    Work,
)
from initbench.experiment.plan import Trial, trial_of
from initbench.experiment.sharing import held
from initbench.experiment.start import architecture_of
from initbench.experiment.train import now
from initbench.models import modules
from initbench.records.schema import TrialRecord
from initbench.records.store import publish
from initbench.settings.request import Request

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_PROGRESS = 0.1

Send = Callable[[Answer], None]


def serve(commands: Iterable[Command], send: Send) -> None:
    """Answer every command."""
    session: _Session | None = None
    for command in commands:
        try:
            if isinstance(command, Work):
                session = _begun(command)
                _check(session, command, send)
                continue
            assert session is not None
            assert not isinstance(command, Leave)
            trials = [session.todo[number] for number in command.trials]
            if isinstance(command, Divide):
                send(_divided(session, trials, command))
            elif isinstance(command, Train):
                with held(Path(command.claim)):
                    _train(session, trials, send)
            else:
                records = [failed(trial, command.reason) for trial in trials]
                send(_published(session, trials, records, now()))
        except InputError as error:
            send(_error("input", error))
        except StorageError as error:
            send(_error("storage", error))
        except Exception as error:
            send(_error("memory" if out_of_memory(error) else "internal", error))


@dataclass(frozen=True)
class _Session:
    """What a coordinator has asked for."""

    request: Request
    todo: Sequence[Trial]
    device: torch.device


def _begun(work: Work) -> _Session:
    """Where the coordinator is, with what it has.

    Raises:
        InputError: a plugin or a device is not here, or a user's file has changed.
    """
    if work.folder:
        try:
            os.chdir(work.folder)
        except OSError as error:
            raise InputError(f"{platform.node()} has no folder {os.fsdecode(work.folder)}") from error
    for name, value in work.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environb[name.encode()] = value
    logging.getLogger("initbench").setLevel(work.log)
    request = Request.from_json(bytes(work.request))
    for model in dict.fromkeys(cell.model for cell in request.cells):
        modules.check_unchanged(model.name, dict(model.params))
    todo = [trial_of(request.cells[cell], seed) for cell, seed in zip(work.cells, work.seeds, strict=True)]
    device = train.find_device(request.device)
    if device.type == "cpu":
        # That there is no such product is said before anything is trained.
        chosen(request.blas)
    return _Session(request, todo, device)


def _check(session: _Session, work: Work, send: Send) -> None:
    numbers = {cell: number for number, cell in enumerate(session.request.cells)}
    refused = set(work.refused)
    todo = checks(session.todo)
    for number, check in enumerate(todo):
        cells = [numbers[cell] for cell in check.cells if numbers[cell] not in refused]
        if number < work.checks or not cells:
            continue
        send(Checking(number, cells))
        try:
            for note in check.run():
                send(Note(note))
        except BaseException as error:
            send(Refused(cells, _reason(error), _trace(error), out_of_memory(error)))
            if out_of_memory(error):
                return
            refused.update(cells)
    send(Checked(str(session.device), len(todo)))


def _divided(session: _Session, trials: Sequence[Trial], command: Divide) -> Divided:
    numbers = {trial.key: number for trial, number in zip(trials, command.trials, strict=True)}
    made = chunks.chunks(trials, session.device, command.workers)
    return Divided(
        [[numbers[trial.key] for trial in chunk] for chunk in made],
        [chunks.n_steps(chunk) for chunk in made],
        train.how(made, session.device, session.request.blas) if command.how else [],
        session.device.type == "cpu" and any(modules.draws(architecture_of(chunk[0].cell)) for chunk in made),
    )


def _train(session: _Session, trials: Sequence[Trial], send: Send) -> None:
    # That the data cannot be read is no trial's fault.
    samples(trials[0].cell.dataset)
    started, made, told = now(), 0, time.monotonic()

    def advance(n_steps: int) -> None:
        nonlocal made, told
        made += n_steps
        if time.monotonic() - told >= _SECONDS_BETWEEN_PROGRESS:
            send(Progress(made))
            made, told = 0, time.monotonic()

    try:
        kept = partial(checkpoints.Files, checkpoints.folder_of(session.request.folder))
        records = train.train(trials, session.device, advance, kept, session.request.blas)
    # Someone else's law or module need not raise an Exception.
    except BaseException as error:
        _log.info("the training of %d trials has ended early", len(trials), exc_info=error)
        send(Failed(_reason(error), out_of_memory(error)))
        return
    send(Progress(made))
    done = _published(session, trials, records, started)
    checkpoints.sweep(session.request.folder, lambda: {trial.key for trial in trials})
    send(done)


def _published(session: _Session, trials: Sequence[Trial], records: Sequence[TrialRecord], started: str) -> Done:
    # Of one chunk, so of one engine.
    cell = trials[0].cell
    engine = choose(architecture_of(cell), cell.optimizer.name, session.device).name
    made_here = environment(session.device, session.request.blas, engine)
    return Done(str(publish(session.request.folder, records, started, now(), made_here)))


def _reason(error: BaseException) -> str:
    if out_of_memory(error):
        more = readable(str(error)) if isinstance(error, MemoryError) else one_line(error)
        return f"ran out of memory: {more}" if more else "ran out of memory"
    return readable(str(error)) if isinstance(error, InputError) else one_line(error)


def _error(kind: Kind, error: BaseException) -> Error:
    return Error(kind, str(error).encode("utf-8", "replace").decode(), _trace(error))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).encode("utf-8", "replace").decode()
