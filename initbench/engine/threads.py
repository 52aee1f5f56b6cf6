"""One network per thread: who trains next, how far all are, and how they stop."""

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import torch

from initbench.engine.job import Ints, Progress
from initbench.processors import processors

_SECONDS_BETWEEN_PROGRESS = 0.05


def each(work: Callable[[int], None], steps: Ints, stop: Ints, progress: Progress, threads: int | None = None) -> None:
    """Do one piece of work for every trial, as many at once as there are threads.

    Each works on one thread from start to end: torch's own operations share nothing out among threads meanwhile.

    Args:
        work: trains one trial, by its number.
        steps: ``[trial]``, raised by the work as it goes.
        stop: one number, set to 1 when the work should end early.
        progress: told of the steps from the calling thread; what it raises stops every piece.
        threads: how many at once; all processors if None.
    """
    before = torch.get_num_threads()
    # Of the threads that start from here on.
    torch.set_num_threads(1)
    try:
        _each(work, steps, stop, progress, min(threads or processors(), len(steps)))
    finally:
        torch.set_num_threads(before)


def _each(work: Callable[[int], None], steps: Ints, stop: Ints, progress: Progress, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        pending: set[Future[None]] = {pool.submit(work, trial) for trial in range(len(steps))}
        reported = 0
        try:
            while pending:
                done, pending = wait(pending, _SECONDS_BETWEEN_PROGRESS, FIRST_EXCEPTION)
                for future in done:
                    future.result()
                made = int(steps.sum())
                if made > reported:
                    progress(made - reported)
                    reported = made
        except BaseException:
            stop[0] = 1
            pool.shutdown(wait=False, cancel_futures=True)
            raise
