"""Call a function that runs someone else's code in a process of its own, so that it can end no other. Needs no torch.

What it is given and what it gives go through pipes, pickled: both ends are this file. What users' code prints goes to
stderr.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from initbench.errors import STOPS, InputError, out_of_memory
from initbench.experiment.process import ERRORS, Trace, died, search_path

T = TypeVar("T")


def apart(where: str, function: Callable[..., T], *args: Any) -> T:
    """What ``function(*args)`` gives, called in a process of its own.

    Args:
        where: whose code it runs, for a message.
        function: found by its name in its module.
        args: what can be pickled; so must be what it gives.

    Raises:
        InputError: the function raised one, or its process has ended before it was done.
    """
    environment = {**os.environ, "PYTHONPATH": search_path()}
    command = [sys.executable, "-P", "-m", "initbench.experiment.apart"]
    done = subprocess.run(
        command, input=pickle.dumps((function, args)), stdout=subprocess.PIPE, env=environment, check=False
    )
    if not done.stdout:
        raise InputError(f"{where} ended the process that ran it: {died(done.returncode).reason}")
    kind, *found = pickle.loads(done.stdout)
    if kind == "done":
        result: T = found[0]
        return result
    message, trace = found
    raise ERRORS[kind](message) from Trace(trace)


def _main() -> None:
    from initbench.experiment.worker import die_with_parent

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    die_with_parent()
    # Who waits for the answer decides when to stop.
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    function, args = pickle.load(sys.stdin.buffer)
    try:
        answer = pickle.dumps(("done", function(*args)))
    except Exception as error:
        kind = next((name for name, of in ERRORS.items() if isinstance(error, of)), "internal")
        trace = "".join(traceback.format_exception(error))
        answer = pickle.dumps(("memory" if out_of_memory(error) else kind, str(error), trace))
    answers.write(answer)
    answers.flush()
    # Whatever users' code has left behind, threads or exit handlers, has nothing more to do.
    os._exit(0)


if __name__ == "__main__":
    _main()
