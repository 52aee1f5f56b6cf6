"""Progress of long work: a bar with rate and time left on a terminal and in a notebook, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from initbench.printable import printable
from initbench.render.terminal import Terminal

_SECONDS_BETWEEN_LINES = 10
# Until the first step is made; rates and times count from there.
_STARTING = "starting (a first run compiles)"


def say(text: str) -> None:
    """One line to the user, on stderr."""
    # Nobody is told where stderr cannot be written; the work goes on.
    with suppress(OSError):
        print(f"initbench: {printable(text)}", file=sys.stderr, flush=True)


@contextmanager
def progress(total: int, quiet: bool = False, what: str = "trial-steps") -> Iterator[Callable[[int], None]]:
    """A function that counts work done, out of ``total`` trial-steps or of what else it is, and shows it."""
    if quiet:
        yield lambda amount: None
        return
    console = Terminal(stderr=True)
    # Rich's own bar needs a package of widgets there, and warns without it.
    if console.is_jupyter:
        shown = _cell(total, what)
    else:
        shown = _bar(console, total, what) if console.is_terminal else _lines(total, what)
    with shown as advance:
        yield advance


class _Rate(ProgressColumn):
    """Trial-steps per second: optimizer steps, summed over the trials that make them side by side; or trials."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def render(self, task: Task) -> Text:
        return Text(_rate(task.speed or 0, self._what) if task.started else "")


def _rate(rate: float, what: str) -> str:
    return f"{rate:,.{0 if rate >= 10 or not rate else 1}f} {what}/s"


@contextmanager
def _bar(console: Terminal, total: int, what: str) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), _Rate(what))
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
def _lines(total: int, what: str) -> Iterator[Callable[[int], None]]:
    with _timed(total, what, _SECONDS_BETWEEN_LINES, lambda done, text: say(f"training {text}")) as advance:
        yield advance


@contextmanager
def _cell(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar in the output of a notebook's cell, of HTML's own; it goes when the work is done."""
    from IPython.display import display

    def bar(done: int, text: str) -> dict[str, str]:
        html = f'<progress value="{done}" max="{total}" style="vertical-align: middle"></progress> {text}'
        return {"text/plain": text, "text/html": html}

    handle = display(bar(0, _STARTING), raw=True, display_id=True)
    with _timed(total, what, 0.2, lambda done, text: handle.update(bar(done, f"training {text}"), raw=True)) as advance:
        yield advance
    handle.update({"text/plain": "", "text/html": ""}, raw=True)


@contextmanager
def _timed(total: int, what: str, seconds: float, show: Callable[[int, str], None]) -> Iterator[Callable[[int], None]]:
    """Counts work, and shows it no more often than every so many seconds: how much, how fast, and what is left."""
    start = last = time.monotonic()
    done = 0

    def advance(amount: int) -> None:
        nonlocal done, start, last
        now = time.monotonic()
        if not done:
            start = last = now
        done += amount
        if now - last >= seconds:
            last = now
            rate = done / (now - start)
            left = int((total - done) / rate)
            show(done, f"{done / total:.0%}, {_rate(rate, what)}, {left // 60}:{left % 60:02d} left")

    yield advance
