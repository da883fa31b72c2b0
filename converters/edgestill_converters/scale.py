"""How an int8 tensor stands for real numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """How an int8 tensor stands for real numbers: `real = (code - zero_point) * scale`."""

    scale: float
    zero_point: int
