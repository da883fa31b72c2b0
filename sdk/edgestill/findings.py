"""Findings of a check of files, and their level."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["failure", "undecided", "warning"]


@dataclass(frozen=True)
class Finding:
    """A finding, and what to do.

    Args:
        level: a `failure` closes the gate; `undecided` says that there were too few samples for a verdict, and a
            `warning` what may be improved: neither closes it.
    """

    level: Level
    text: str


def failure(text: str) -> Finding:
    """A finding that fails the gate."""
    return Finding("failure", text)


def undecided(text: str) -> Finding:
    """A finding for which these samples do not suffice."""
    return Finding("undecided", text)


def warning(text: str) -> Finding:
    """A finding that may be improved."""
    return Finding("warning", text)
