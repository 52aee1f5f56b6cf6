"""Progress of long work: a bar with rate and time left on a terminal and in a notebook, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from typing import Any

from rich.console import RenderableType
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
def progress(
    total: int,
    quiet: bool = False,
    what: str = "trial-steps",
    more: Callable[[], str] = lambda: "",
    doing: str = "training",
) -> Iterator[Callable[[int], None]]:
    """A function that counts work done and shows it.

    Args:
        total: how much there is to do, in trial-steps or in what else it is.
        quiet: show nothing.
        what: what is counted.
        more: what else is to be told, asked for whenever something is shown.
        doing: what is done to it, in a word.
    """
    if quiet:
        yield lambda amount: None
        return
    console = Terminal(stderr=True)
    # Rich's own bar needs a package of widgets there, and warns without it.
    if console.is_jupyter:
        shown = _cell(total, what, more, doing)
    else:
        shown = _bar(console, total, what, more, doing) if console.is_terminal else _lines(total, what, more, doing)
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


class _Standing(Progress):
    """A bar, and under it what else is to be told, in lines that are never cut."""

    def __init__(self, *columns: ProgressColumn, more: Callable[[], str], **options: Any) -> None:
        self._more = more
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if told := self._more():
            yield Text(printable(told), "dim")


@contextmanager
def _bar(
    console: Terminal, total: int, what: str, more: Callable[[], str], doing: str
) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), _Rate(what),
        TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with _Standing(*columns, more=more, console=console, speed_estimate_period=10) as bar:
        task = bar.add_task(_STARTING, total=total, start=False)
        shown, done = time.monotonic(), 0

        # Some steps take a fraction of a millisecond: tell Rich of many at once.
        def advance(amount: int) -> None:
            nonlocal shown, done
            if not done:
                bar.start_task(task)
                bar.update(task, description=doing)
            done += amount
            if time.monotonic() - shown > 0.1:
                shown = time.monotonic()
                bar.update(task, completed=done)

        yield advance
        bar.update(task, completed=done)


@contextmanager
def _lines(total: int, what: str, more: Callable[[], str], doing: str) -> Iterator[Callable[[int], None]]:
    def show(done: int, text: str) -> None:
        say("; ".join(filter(None, [f"{doing} {text}", more()])))

    with _timed(total, what, _SECONDS_BETWEEN_LINES, show) as advance:
        yield advance


@contextmanager
def _cell(total: int, what: str, more: Callable[[], str], doing: str) -> Iterator[Callable[[int], None]]:
    """A bar in the output of a notebook's cell, of HTML's own; it goes when the work is done."""
    from IPython.display import display

    def bar(done: int, text: str) -> dict[str, str]:
        told = escape(printable("; ".join(filter(None, [text, more()]))))
        html = f'<progress value="{done}" max="{total}" style="vertical-align: middle"></progress> {told}'
        return {"text/plain": text, "text/html": html}

    handle = display(bar(0, _STARTING), raw=True, display_id=True)
    with _timed(total, what, 0.2, lambda done, text: handle.update(bar(done, f"{doing} {text}"), raw=True)) as advance:
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
