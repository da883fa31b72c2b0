"""What an isolated engine may take; apart from isolation.py, which is imported only where an engine is isolated."""

import math
from dataclasses import dataclass, fields

from .errors import EngineError


@dataclass(frozen=True)
class Limits:
    """What an isolated engine may take.

    Args:
        load_seconds: from the start of its process to a loaded model. call_seconds: for one call.
        memory_bytes: resident memory of its process, Python and numpy included. Linux only.

    Raises:
        EngineError: a limit that is none: not above 0, or endless.
    """

    load_seconds: float = 60.0
    call_seconds: float = 30.0
    memory_bytes: int = 1 << 31

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise EngineError(f"Limits: {field.name} must be a number above 0, not {value}")
