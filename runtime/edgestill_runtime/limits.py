"""What an isolated engine may take; apart from isolation.py, which is imported only where an engine is isolated."""

from dataclasses import dataclass

from .errors import EngineError

MOST = 1 << 62
"""Largest limit: a system's own numbers hold twice that."""


@dataclass(frozen=True)
class Limits:
    """What an isolated engine may take.

    Args:
        load_seconds: from the start of its process to a loaded model. call_seconds: for one call. Above 0.
        memory_bytes: resident memory of its process, Python and numpy included; a whole number from 1. Linux only.

    Raises:
        EngineError: a limit that is none: no number, not above 0, or endless.
    """

    load_seconds: float = 60.0
    call_seconds: float = 30.0
    memory_bytes: int = 1 << 31

    def __post_init__(self) -> None:
        for name, kinds, words in (
            ("load_seconds", (int, float), "a number"),
            ("call_seconds", (int, float), "a number"),
            ("memory_bytes", (int,), "a whole number"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= MOST:
                raise EngineError(f"Limits: {name} must be {words} above 0 and at most 2**62, not {value!r:.40}")
