"""What a check of files has found, and what that means for whoever waits for a verdict."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["failure", "undecided", "warning"]


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do.

    Args:
        level: a `failure` closes the gate; `undecided` says that there were too few samples for a verdict, and a
            `warning` what may be improved: neither closes it.
    """

    level: Level
    text: str


def failure(text: str) -> Finding:
    """What closes the gate."""
    return Finding("failure", text)


def undecided(text: str) -> Finding:
    """What these samples cannot tell."""
    return Finding("undecided", text)


def warning(text: str) -> Finding:
    """What may be improved."""
    return Finding("warning", text)
