"""What an isolated engine may take; apart from isolation.py, which is imported only where an engine is isolated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What an isolated engine may take.

    Args:
        load_seconds: from the start of its process to a loaded model. call_seconds: for one call.
        memory_bytes: resident memory of its process, Python and numpy included. Linux only.
    """

    load_seconds: float = 60.0
    call_seconds: float = 30.0
    memory_bytes: int = 1 << 31
