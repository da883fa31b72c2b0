"""Progress in a log without a terminal: a line now and then, and one at the end of each task."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOG_SECONDS = 10.0
_LABELS = {"images_per_second": "images/s"}


class LogProgress:
    """`edgestill.progress.Progress` as plain lines.

    Args:
        write: takes each line, without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    @contextmanager
    def task(self, description: str, total: float) -> Iterator["_Lines"]:
        """A line every ten seconds while the block runs; the last one only if it ended well."""
        lines = _Lines(description, total, self._write)
        yield lines
        lines.write()

    def message(self, text: str) -> None:
        """One line."""
        self._write(text)


class _Lines:
    def __init__(self, description: str, total: float, write: Callable[[str], None]) -> None:
        self._description, self._total, self._done, self._write = description, total, 0.0, write
        self._started = self._written = time.monotonic()
        self._facts: dict[str, float | str] = {}

    def advance(self, steps: float = 1, **facts: float | str) -> None:
        self._done += steps
        self._facts |= facts
        if time.monotonic() - self._written >= LOG_SECONDS:
            self.write()

    def write(self) -> None:
        self._written = time.monotonic()
        share = f"{100 * self._done / self._total:3.0f} %" if self._total else f"{self._done:.0f}"
        seconds = self._written - self._started
        self._write(f"{self._description:18} {share} {seconds:6.1f} s  {shown(self._facts)}")


def shown(facts: dict[str, float | str]) -> str:
    """A task's facts as a line shows them: `loss 0.4021  val. accuracy 91.20 %`."""
    words = []
    for name, value in facts.items():
        if isinstance(value, str):
            words.append(value)
        else:
            number = f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.4f}"
            words.append(f"{_LABELS.get(name, name)} {number}")
    return "  ".join(words)
