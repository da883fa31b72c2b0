"""Rich on the terminal: progress bars on a terminal, plain lines in a log."""

import atexit
import os
import threading
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

from ..log_progress import LogProgress, shown
from ..progress import Task


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


class TerminalProgress:
    """`edgestill.progress.Progress` on a terminal: a bar a task, with its facts and the time left.

    Tasks may be open at the same time, in several threads: they share one display, which lasts while any of them does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._display: Progress | None = None
        self._open = 0

    @contextmanager
    def task(self, description: str, total: float) -> Iterator[Task]:
        """A bar while the block runs; in a log, a line now and then and one at the end."""
        if not CONSOLE.is_terminal:
            with LogProgress(say).task(description, total) as lines:
                yield lines
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
            self._progress.update(self._task, facts=shown(facts))
