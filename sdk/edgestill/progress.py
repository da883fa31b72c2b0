"""How long work tells where it is: libraries report to a `Progress`, the command line draws one with Rich.

`SILENT` is the default everywhere, so that a function called from a script prints nothing.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, steps: float = 1, **facts: float | str) -> None:
        """`steps` more are done; `facts` are shown beside the bar (loss, accuracy, images/s)."""


class Progress(Protocol):
    """Something that shows bars and messages."""

    def task(self, description: str, total: float) -> AbstractContextManager[Task]:
        """A bar over `total` steps (0: unknown), gone or complete when the block ends."""

    def message(self, text: str) -> None:
        """One line that stays."""


class _SilentTask:
    def advance(self, steps: float = 1, **facts: float | str) -> None:
        pass


class _Silent:
    @contextmanager
    def task(self, description: str, total: float) -> Iterator[Task]:
        yield _SilentTask()

    def message(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
