"""Progress of long work on stderr: bars with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10
# Until the first step is made; rates and times count from there.
_STARTING = "starting (a first run compiles)"


def say(text: str) -> None:
    """One line to the user, on stderr."""
    # Nobody is told where stderr cannot be written; the work goes on.
    with suppress(OSError):
        print(f"initbench: {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A function that counts work done, out of ``total`` trial-steps, and shows it: in a notebook as a bar too."""
    if quiet:
        yield lambda amount: None
        return
    console = Console(stderr=True)
    with _bar(console, total) if console.is_terminal or console.is_jupyter else _lines(total) as advance:
        yield advance


class _Rate(ProgressColumn):
    """Trial-steps per second: optimizer steps, summed over the trials that make them side by side."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} trial-steps/s" if task.started else "")


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), _Rate())
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console, speed_estimate_period=10) as bar:
        task = bar.add_task(_STARTING, total=total, start=False)
        shown, done = time.monotonic(), 0

        # Some steps take a fraction of a millisecond: tell Rich of many at once.
        def advance(amount: int) -> None:
            nonlocal shown, done
            if not done:
                bar.start_task(task)
                bar.update(task, description="training")
            done += amount
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                bar.update(task, completed=done)

        yield advance
        bar.update(task, completed=done)


@contextmanager
def _lines(total: int) -> Iterator[Callable[[int], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(amount: int) -> None:
        nonlocal done, start, last
        now = time.monotonic()
        if not done:
            start = last = now
        done += amount
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            left = int((total - done) / rate)
            say(f"training {done / total:.0%}, {rate:,.0f} trial-steps/s, {left // 60}:{left % 60:02d} left")

    yield advance
