"""A job array of Slurm, submitted by submitit: its jobs share the work, and go on without whoever submitted them.

What is handed over, submitit's files and the jobs' logs are in ``<results>/.slurm/<request>``; the folder may be
deleted when its jobs have ended. The state of the work is in the records and nowhere else.
"""

import contextlib
import logging
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

from initbench.errors import InputError
from initbench.experiment.executors import Detached, Sweep
from initbench.experiment.executors.member import errors, hand_over, notes, work
from initbench.experiment.progress import progress
from initbench.experiment.requests import file_of, keep
from initbench.experiment.standing import Standing
from initbench.files import write
from initbench.records import store
from initbench.settings.request import Request

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 2.0
# After the last job has ended, for what a shared file system shows late.
_PATIENCE_SECONDS = 20.0
# Of a job, before its time is up, to end cleanly and be queued again.
_SIGNAL_SECONDS = 90


def train(sweep: Sweep) -> None:
    """As :func:`initbench.experiment.executors.train` has it."""
    request, tell = sweep.request, sweep.tell
    store.check_writable(request.folder)
    keep(request)
    folder = folder_of(request)
    n_done = sweep.now.n_distinct - len(sweep.now.todo)
    tell(f"{sweep.now.n_distinct} trials: {n_done} already done, {len(sweep.now.todo)} to train by Slurm")
    job = job_of(folder)
    if job and states(job) != {}:
        tell(f"job {job} is at it already")
    else:
        job = _submit(folder, sweep)
        tell(f"submitted job {job}; its logs are in {folder}")
    if sweep.detach:
        raise Detached
    _wait(sweep, folder, job)


def folder_of(request: Request) -> Path:
    """Where the jobs of a request have their files."""
    return (request.results / ".slurm" / file_of(request)[0].stem).absolute()


def job_of(folder: Path) -> str:
    """The number of the array that was submitted last; empty if there is none."""
    with contextlib.suppress(OSError):
        return (folder / "job").read_text().strip()
    return ""


def states(job: str) -> "Counter[str] | None":
    """How many jobs of an array are in which state, as squeue has it: none when all have ended. None: nobody knows."""
    command = ["squeue", "--noheader", "--array", "--jobs", job, "--format", "%T"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        # It has been forgotten.
        return Counter() if "Invalid job id" in answer.stderr else None
    return Counter(answer.stdout.split())


def _submit(folder: Path, sweep: Sweep) -> str:
    """Submit the array; its number.

    Raises:
        InputError: there is no submitit or no Slurm, or it does not take such jobs.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError("executor=slurm needs submitit: pip install 'initbench[slurm]'") from error
    hand_over(folder / "request.json", sweep.request, sweep.retry)
    for old in (*folder.glob("*.error"), *folder.glob("*.note")):
        old.unlink(missing_ok=True)
    asked = dict(sweep.request.executor.params)
    number, minutes = asked["workers"], asked["minutes"]
    optional = {name: asked[name] for name in ("partition", "account", "qos", "constraint")}
    optional |= {"gpus_per_node": asked["gpus"] or None, "setup": asked["setup"] and [asked["setup"]]}
    try:
        # Whoever goes on after each time limit does so as often as it takes.
        executor = submitit.SlurmExecutor(folder / "jobs", max_num_timeout=1_000_000, python=asked["python"])
        executor.update_parameters(
            job_name=f"initbench {sweep.request.name}",
            time=minutes,
            mem=f"{round(asked['memory'] * 1024)}MB",
            cpus_per_task=asked["cpus"],
            array_parallelism=asked["parallel"] or number,
            signal_delay_s=min(_SIGNAL_SECONDS, 15 * minutes),
            additional_parameters={"requeue": True},
            **{name: value for name, value in optional.items() if value is not None},
        )
        member = Member()
        jobs = executor.map_array(member, [str(folder / "request.json")] * number, range(number), [number] * number)
    except (RuntimeError, ValueError, OSError, submitit.core.utils.FailedJobError) as error:
        raise InputError(f"Slurm takes no such jobs: {' '.join(str(error).split())[-300:]}") from error
    job = str(jobs[0].job_id).partition("_")[0]
    write(folder / "job", job.encode())
    return job


class Member:
    """What submitit runs in each job, and what it queues again when the time of a job is up."""

    def __call__(self, file: str, number: int, of: int) -> None:
        """As :func:`initbench.experiment.executors.member.work`."""
        work(Path(file), number, of)

    def checkpoint(self, file: str, number: int, of: int) -> Any:
        """All that is done is on disk: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, file, number, of)


def _wait(sweep: Sweep, folder: Path, job: str) -> None:
    """Until what is to do has its records.

    Raises:
        InputError: the jobs have ended before.
    """
    left = {trial.key for trial in sweep.now.todo}
    told, ended = set[str](), None
    standing = Standing(sweep.now.todo)
    with progress(len(left), sweep.quiet, "trials", standing.text) as advance:
        while True:
            recorded = sweep.sharing.recorded()
            standing.add(recorded)
            found = recorded.keys() & left
            left -= found
            advance(len(found))
            if not left:
                return
            failed = errors(folder)
            for line in (*notes(folder), *failed):
                if line not in told:
                    sweep.tell(line)
                    told.add(line)
            if states(job) != {}:
                ended = None
            elif ended is None:
                ended = time.monotonic()
            # One that says why it ended leaves nothing to wait for.
            elif failed or time.monotonic() - ended > _PATIENCE_SECONDS:
                why = next(iter(failed), f"see the logs in {folder / 'jobs'}")
                raise InputError(f"job {job} has ended, and {len(left)} trials have no record: {why}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)
