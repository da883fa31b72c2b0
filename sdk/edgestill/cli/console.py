"""Rich on the terminal: progress bars where somebody is looking, plain lines in a log."""

import atexit
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table


def _own_stream(descriptor: int) -> TextIO:
    # A stream of our own: exporters' output is sent away from 1 and 2 while they run, the progress must not go with it.
    stream = os.fdopen(os.dup(descriptor), "w", buffering=1, encoding="utf-8", errors="replace")
    atexit.register(stream.close)
    return stream


# Of several processes (torchrun, accelerate launch) only the first one speaks.
FIRST = os.environ.get("RANK", "0") == "0"
# What is printed has names of people's own in it, `a[red]` or `image-folder:tv`: nothing in a text is markup or emoji.
# A style is given beside the text, in a table by `rich.text.Text`.
CONSOLE = Console(file=_own_stream(1), quiet=not FIRST, markup=False, emoji=False)
ERRORS = Console(file=_own_stream(2), stderr=True, markup=False, emoji=False)
LOG_SECONDS = 10.0


def say(text: str, style: str | None = None) -> None:
    """Print a line as it is: no colours guessed, no wrapping."""
    CONSOLE.print(text, style=style, highlight=False, soft_wrap=True)


def columns(words: Sequence[str], numbers: Sequence[str], title: str = "", caption: str = "") -> Table:
    """A table that stays readable in 80 columns: numbers are never cut, words go on in the next line.

    Args:
        words: headings of the columns that may be folded, the first ones. numbers: of those that are not.
    """
    table = Table(
        title=title or None, caption=caption or None, title_justify="left", caption_justify="left",
        box=box.SIMPLE_HEAD, padding=0,
    )  # fmt: skip
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True, overflow="fold")
    return table


_LABELS = {"validation_accuracy": "val. accuracy", "images_per_second": "images/s"}


class TerminalProgress:
    """`edgestill.progress.Progress` on a terminal: a bar a task, with its facts and the time left.

    Tasks may be open at the same time, in several threads: they share one display, which lasts while any of them does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Progress | None = None
        self._open = 0

    @contextmanager
    def task(self, description: str, total: float) -> Iterator["_Bar | _Lines"]:
        """A bar while the block runs; in a log, a line now and then and one at the end."""
        if not CONSOLE.is_terminal:
            lines = _Lines(description, total)
            yield lines
            lines.end()
            return
        with self._lock:
            self._open += 1
            if self._display is None:
                self._display = _display()
                self._display.start()
            display = self._display
            name = display.add_task(f"{description:18}", total=total or None, facts="")
        try:
            yield _Bar(display, name)
        finally:
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    display.stop()
                    self._display = None

    def message(self, text: str) -> None:
        """One line that stays."""
        say(text, style="dim")


def _display() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    return Progress(*columns, console=CONSOLE, redirect_stdout=False, redirect_stderr=False)


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: float = 1, **facts: float | str) -> None:
        self._progress.advance(self._task, steps)
        if facts:
            self._progress.update(self._task, facts=_shown(facts))


class _Lines:
    def __init__(self, description: str, total: float) -> None:
        self._description, self._total, self._done = description, total, 0.0
        self._started = self._said = time.monotonic()
        self._facts: dict[str, float | str] = {}

    def advance(self, steps: float = 1, **facts: float | str) -> None:
        self._done += steps
        self._facts |= facts
        if time.monotonic() - self._said >= LOG_SECONDS:
            self._say()

    def end(self) -> None:
        self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        share = f"{100 * self._done / self._total:3.0f} %" if self._total else f"{self._done:.0f}"
        seconds = self._said - self._started
        say(f"{self._description:18} {share} {seconds:6.1f} s  {_shown(self._facts)}")


def _shown(facts: dict[str, float | str]) -> str:
    words = []
    for name, value in facts.items():
        if isinstance(value, str):
            words.append(value)
        elif "accuracy" in name:
            words.append(f"{_LABELS.get(name, name)} {100 * value:.2f} %")
        else:
            number = f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.4f}"
            words.append(f"{_LABELS.get(name, name)} {number}")
    return "  ".join(words)
