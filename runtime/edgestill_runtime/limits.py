"""Time and memory limits of an isolated engine; a file of its own, as isolation.py is imported only on use."""

from dataclasses import dataclass

from .errors import EngineError

MOST = 1 << 62
"""Largest limit: half the range of the system's 64-bit integers."""


@dataclass(frozen=True)
class Limits:
    """Time and memory that an isolated engine may use.

    Args:
        load_seconds: to start the process and load the model, > 0. call_seconds: for one call, > 0.
        memory_bytes: resident memory of the process, Python and numpy included, ≥ 1. Linux only.

    Raises:
        EngineError: a limit is not a number, not above 0, or above 2**62.
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
